//! The plugins of Packer: which of them are built in, and where other components come from.

use crate::template::ast::{RequiredPlugin, Template};

/// A plugin whose components are built in.
#[derive(Debug)]
pub struct BuiltIn {
    /// The last part of its source, and the word that its components begin with.
    pub name: &'static str,
    /// The version that its components follow.
    pub version: &'static str,
}

/// All plugins that are built in.
pub const BUILT_IN: &[BuiltIn] = &[
    #[cfg(feature = "aws")]
    BuiltIn { name: "amazon", version: "1.8.3" },
    BuiltIn { name: "ansible", version: "1.1.7" },
    BuiltIn { name: "chef", version: "1.0.2" },
    #[cfg(feature = "docker")]
    BuiltIn { name: "docker", version: "1.1.5" },
    BuiltIn { name: "inspec", version: "1.0.0" },
    BuiltIn { name: "puppet", version: "1.0.1" },
    BuiltIn { name: "qemu", version: "1.1.5" },
    BuiltIn { name: "salt", version: "1.0.0" },
    BuiltIn { name: "vagrant", version: "1.1.7" },
];

/// The plugins that this program was compiled without, and the features that they are behind.
const LEFT_OUT: &[(&str, &str)] = &[
    #[cfg(not(feature = "aws"))]
    ("amazon", "aws"),
    #[cfg(not(feature = "docker"))]
    ("docker", "docker"),
];

/// The feature that this program was compiled without, if the plugin of `component` is behind one.
pub fn left_out(component: &str) -> Option<&'static str> {
    let of = LEFT_OUT.iter().find(|(plugin, _)| is_of(component, plugin))?;
    Some(of.1)
}

/// Where the built-in plugins come from in `required_plugins`.
pub const HOME: &str = "github.com/hashicorp/";

/// Plugins that others keep: the word that their components begin with, and their source.
const KNOWN: &[(&str, &str)] = &[
    ("alicloud", "github.com/hashicorp/alicloud"),
    #[cfg(not(feature = "aws"))]
    ("amazon", "github.com/hashicorp/amazon"),
    ("anka", "github.com/veertuinc/veertu-anka"),
    ("azure", "github.com/hashicorp/azure"),
    ("cloudstack", "github.com/hashicorp/cloudstack"),
    ("cnspec", "github.com/mondoohq/cnspec"),
    ("comment", "github.com/sylviamoss/comment"),
    ("converge", "github.com/hashicorp/converge"),
    ("digitalocean", "github.com/digitalocean/digitalocean"),
    #[cfg(not(feature = "docker"))]
    ("docker", "github.com/hashicorp/docker"),
    ("exoscale", "github.com/exoscale/exoscale"),
    ("external", "github.com/joomcode/external"),
    ("git", "github.com/ethanmdavidson/git"),
    ("googlecompute", "github.com/hashicorp/googlecompute"),
    ("goss", "github.com/YaleUniversity/goss"),
    ("hcloud", "github.com/hetznercloud/hcloud"),
    ("hyperone", "github.com/hashicorp/hyperone"),
    ("hyperv", "github.com/hashicorp/hyperv"),
    ("ibmcloud", "github.com/IBM/ibmcloud"),
    ("incus", "github.com/bketelsen/incus"),
    ("jdcloud", "github.com/hashicorp/jdcloud"),
    ("kubevirt", "github.com/hashicorp/kubevirt"),
    ("libvirt", "github.com/thomasklein94/libvirt"),
    ("linode", "github.com/linode/linode"),
    ("lxc", "github.com/hashicorp/lxc"),
    ("lxd", "github.com/hashicorp/lxd"),
    ("ncloud", "github.com/hashicorp/ncloud"),
    ("nutanix", "github.com/nutanix-cloud-native/nutanix"),
    ("oneandone", "github.com/hashicorp/oneandone"),
    ("openstack", "github.com/hashicorp/openstack"),
    ("oracle", "github.com/hashicorp/oracle"),
    ("outscale", "github.com/outscale/outscale"),
    ("parallels", "github.com/Parallels/parallels"),
    ("powervs", "github.com/ppc64le-cloud/powervs"),
    ("profitbricks", "github.com/hashicorp/profitbricks"),
    ("proxmox", "github.com/hashicorp/proxmox"),
    ("rhsm", "github.com/hashicorp/rhsm"),
    ("scaleway", "github.com/scaleway/scaleway"),
    ("sshkey", "github.com/ivoronin/sshkey"),
    ("tart", "github.com/cirruslabs/tart"),
    ("tencentcloud", "github.com/hashicorp/tencentcloud"),
    ("triton", "github.com/hashicorp/triton"),
    ("ucloud", "github.com/ucloud/ucloud"),
    ("upcloud", "github.com/UpCloudLtd/upcloud"),
    ("utm", "github.com/naveenrajm7/utm"),
    ("virtualbox", "github.com/hashicorp/virtualbox"),
    ("vmware", "github.com/hashicorp/vmware"),
    ("vsphere", "github.com/hashicorp/vsphere"),
    ("vultr", "github.com/vultr/vultr"),
    ("windows-update", "github.com/rgl/windows-update"),
    ("xenserver", "github.com/ddelnano/xenserver"),
    ("yandex", "github.com/hashicorp/yandex"),
];

/// The plugins that a template asks for, by the names that it gives them.
#[derive(Clone, Debug, Default)]
pub struct Plugins(Vec<Asked>);

#[derive(Clone, Debug)]
struct Asked {
    /// The word that the template's components of this plugin begin with.
    accessor: String,
    source: String,
    served: Served,
}

/// Where the components of a plugin come from.
#[derive(Clone, Debug)]
pub enum Served {
    /// They are built in, or they are not here at all.
    BuiltIn,
    /// The installed plugin has them; what it has, for messages.
    Installed(String),
    /// What is installed cannot be used.
    Unusable(String),
}

/// Why a component cannot be had.
#[derive(Clone, Debug)]
pub struct WhyNot {
    /// The reason.
    pub cause: String,
    /// What to do.
    pub help: &'static str,
}

impl Plugins {
    /// Those of `required_plugins`, each served as `serve` says.
    pub fn of(template: &Template, mut serve: impl FnMut(&RequiredPlugin) -> Served) -> Self {
        let asked = template.required_plugins.iter().map(|plugin| Asked {
            accessor: plugin.name.value.clone(),
            source: plugin.source.value.clone(),
            served: serve(plugin),
        });
        Self(asked.collect())
    }

    /// How the plugin called `accessor` is served.
    pub fn served(&self, accessor: &str) -> Option<&Served> {
        self.0.iter().find(|asked| asked.accessor == accessor).map(|asked| &asked.served)
    }

    /// How the plugin `source` is had, of which `component` is.
    pub fn to_install(&self, component: &str, source: &str) -> String {
        if self.0.iter().any(|asked| asked.source == source) {
            return "`imgbake init` installs it".to_owned();
        }
        let name = source.rsplit('/').next().unwrap_or(source);
        let name = if is_of(component, name) { name } else { component };
        format!(
            "require it, `packer {{ required_plugins {{ {name} = {{ source = \"{source}\", version = \">= 1\" }} }} }}`, \
             and run `imgbake init`; or run `imgbake plugins install {source}`"
        )
    }

    /// Why an installed plugin that the template asks for does not have `component`.
    pub fn why_not(&self, component: &str) -> Option<WhyNot> {
        let asked = self.0.iter().find(|asked| is_of(component, &asked.accessor))?;
        let source = &asked.source;
        match &asked.served {
            Served::BuiltIn => None,
            Served::Installed(has) => Some(WhyNot {
                cause: format!("the plugin {source} does not have it; it has {has}"),
                help: "write one of these, or require another version of the plugin",
            }),
            Served::Unusable(why) => Some(WhyNot {
                cause: format!("the plugin {source} is installed, but cannot be used: {why}"),
                help: "`imgbake init -force` fetches the plugin anew",
            }),
        }
    }

    /// What `component` is called here: a template may give a built-in plugin another name.
    pub fn built_in_name(&self, component: &str) -> Option<String> {
        self.0.iter().find_map(|Asked { accessor, source, .. }| {
            let own = built_in(source)?.name;
            let rest = component.strip_prefix(accessor.as_str())?;
            is_of(component, accessor).then(|| format!("{own}{rest}"))
        })
    }

    /// The source of the plugin that `component` is of, if it is none that is built in.
    pub fn source_of<'a>(&'a self, component: &str) -> Option<&'a str> {
        let asked = self.0.iter().map(|one| (one.accessor.as_str(), one.source.as_str()));
        let others = asked.filter(|(_, source)| built_in(source).is_none());
        let mut known = others.chain(KNOWN.iter().copied());
        known.find(|(name, _)| is_of(component, name)).map(|(_, source)| source)
    }
}

/// The built-in plugin of this source.
pub fn built_in(source: &str) -> Option<&'static BuiltIn> {
    let name = source.strip_prefix(HOME)?;
    BUILT_IN.iter().find(|built_in| built_in.name == name)
}

/// Whether `component` begins with the word `plugin`, as all components of a plugin do.
pub fn is_of(component: &str, plugin: &str) -> bool {
    let rest = component.strip_prefix(plugin);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
