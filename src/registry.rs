//! The only file that names every component. `plugins` has those that are not here.

pub mod plugins;

use std::sync::Arc;

use crate::aws::access::Access;
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::secret_store::SecretsManager;
use crate::builder::amazon::AmazonEbs;
use crate::builder::file::File;
use crate::builder::null::Null;
use crate::builder::qemu::Qemu;
use crate::component::{
    Builder, Cleaner, CleanupContext, Component, DataSource, PostProcessor, Provisioner,
    Registered, prepare,
};
use crate::data_source;
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::env::Environment;
use crate::post_processor;
use crate::provisioner;
use crate::registry::plugins::Plugins;
use crate::secret::Redactor;
use crate::source::Spanned;

/// Those who clean up after dead runs, with the credentials that their tools find by themselves.
pub fn cleaners(cx: &CleanupContext) -> Vec<Box<dyn Cleaner>> {
    vec![Box::new(Ec2Cleaner { access: Access::default(), cx: cx.clone() })]
}

/// `environment` with the store that template functions read secrets from.
pub fn with_secrets(environment: Environment, redactor: &Redactor) -> Environment {
    let store = SecretsManager::new(environment.clone(), redactor.clone());
    environment.with_secrets(Arc::new(store))
}

/// All builders, by name.
pub static BUILDERS: &[Registered<dyn Builder>] =
    &[builder::<AmazonEbs>(), builder::<File>(), builder::<Null>(), builder::<Qemu>()];

/// All provisioners, by name.
pub static PROVISIONERS: &[Registered<dyn Provisioner>] = &[
    provisioner::<provisioner::ansible_local::AnsibleLocal>(),
    provisioner::<provisioner::breakpoint::Breakpoint>(),
    provisioner::<provisioner::file::File>(),
    provisioner::<provisioner::shell::Shell>(),
    provisioner::<provisioner::shell_local::ShellLocal>(),
    provisioner::<provisioner::sleep::Sleep>(),
];

/// All post-processors, by name.
pub static POST_PROCESSORS: &[Registered<dyn PostProcessor>] = &[
    post_processor::<post_processor::artifice::Artifice>(),
    post_processor::<post_processor::checksum::Checksum>(),
    post_processor::<post_processor::compress::Compress>(),
    post_processor::<post_processor::manifest::ManifestFile>(),
    post_processor::<post_processor::shell_local::ShellLocal>(),
    post_processor::<post_processor::vagrant::Vagrant>(),
];

/// All data sources, by name.
pub static DATA_SOURCES: &[Registered<dyn DataSource>] = &[
    data_source::<data_source::amazon_ami::AmazonAmi>(),
    data_source::<data_source::amazon_parameterstore::AmazonParameterstore>(),
    data_source::<data_source::amazon_secretsmanager::AmazonSecretsmanager>(),
    data_source::<data_source::http::Http>(),
    data_source::<data_source::null::Null>(),
];

/// What is known of one kind of component.
#[derive(Debug)]
pub struct Kind<T: ?Sized + 'static> {
    /// How messages call the kind.
    pub name: &'static str,
    /// All that are built in.
    pub built: &'static [Registered<T>],
    /// Those of the usual tool and its plugins that are not built yet: refused by name.
    pub not_built: &'static [&'static str],
}

/// Builders.
pub static BUILDER: Kind<dyn Builder> = Kind {
    name: "builder",
    built: BUILDERS,
    not_built: &[
        "amazon-chroot",
        "amazon-ebssurrogate",
        "amazon-ebsvolume",
        "amazon-instance",
        "azure-arm",
        "azure-chroot",
        "azure-dtl",
        "docker",
        "googlecompute",
        "hyperv-iso",
        "hyperv-vmcx",
        "lxc",
        "lxd",
        "openstack",
        "parallels-iso",
        "parallels-pvm",
        "proxmox-clone",
        "proxmox-iso",
        "vagrant",
        "virtualbox-iso",
        "virtualbox-ovf",
        "virtualbox-vm",
        "vmware-iso",
        "vmware-vmx",
        "vsphere-clone",
        "vsphere-iso",
    ],
};

/// Provisioners.
pub static PROVISIONER: Kind<dyn Provisioner> = Kind {
    name: "provisioner",
    built: PROVISIONERS,
    not_built: &[
        "ansible",
        "chef-client",
        "chef-solo",
        "converge",
        "hcp-sbom",
        "inspec",
        "powershell",
        "puppet-masterless",
        "puppet-server",
        "salt-masterless",
        "windows-restart",
        "windows-shell",
        "windows-update",
    ],
};

/// Post-processors.
pub static POST_PROCESSOR: Kind<dyn PostProcessor> = Kind {
    name: "post-processor",
    built: POST_PROCESSORS,
    not_built: &[
        "amazon-import",
        "docker-import",
        "docker-push",
        "docker-save",
        "docker-tag",
        "googlecompute-export",
        "googlecompute-import",
        "provenance",
        "vagrant-cloud",
        "vagrant-registry",
        "vsphere",
        "vsphere-template",
    ],
};

/// Data sources.
pub static DATA_SOURCE: Kind<dyn DataSource> = Kind {
    name: "data source",
    built: DATA_SOURCES,
    not_built: &[
        "hcp-packer-artifact",
        "hcp-packer-image",
        "hcp-packer-iteration",
        "hcp-packer-version",
    ],
};

impl<T: ?Sized + 'static> Kind<T> {
    /// Whether there is a component `name`, built or not.
    pub fn knows(&self, name: &str) -> bool {
        self.built.iter().any(|registered| registered.name == name)
            || self.not_built.contains(&name)
    }

    /// The component that a template calls `name`, if it asks for these `plugins`.
    pub fn find(
        &self,
        name: &Spanned<String>,
        plugins: &Plugins,
    ) -> Result<&'static Registered<T>, Diagnostics> {
        let wanted = name.value.as_str();
        let built = |name: &str| self.built.iter().find(|registered| registered.name == name);
        if let Some(found) = built(wanted) {
            return Ok(found);
        }
        if let Some(found) = plugins.built_in_name(wanted).and_then(|own| built(&own)) {
            return Ok(found);
        }
        let kind = self.name;
        let built = self.built.iter().map(|registered| registered.name);
        let built_names = || built.clone().collect::<Vec<_>>().join(", ");
        if self.not_built.contains(&wanted) {
            let summary = format!("the {kind} `{wanted}` is not built yet");
            let found = Diagnostic::error(code::NOT_BUILT, summary).at(name.span);
            let found = found.because("imgbake knows it, but does not have it");
            return Err(found.help(format!("built: {}", built_names())).into());
        }
        let known = built.clone().chain(self.not_built.iter().copied());
        let help = match (did_you_mean(wanted, known), plugins.source_of(wanted)) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, None) => format!("built: {}", built_names()),
            (None, Some(source)) => {
                let summary = format!("the {kind} `{wanted}` is of the plugin `{source}`");
                let found = Diagnostic::error(code::NOT_BUILT, summary).at(name.span);
                let found = found.because("imgbake does not have this plugin");
                return Err(found.help(format!("built: {}", built_names())).into());
            }
        };
        let summary = format!("there is no {kind} `{wanted}`");
        let found = Diagnostic::error(code::UNKNOWN_COMPONENT, summary).at(name.span);
        Err(found.because("unknown type").help(help).into())
    }
}

macro_rules! registered_as {
    ($function:ident, $kind:ident) => {
        const fn $function<C: Component + $kind + 'static>() -> Registered<dyn $kind> {
            Registered {
                name: C::TYPE,
                about: C::ABOUT,
                options: <C::Options as crate::config::OptionGroups>::docs,
                not_built: C::NOT_BUILT,
                build_data: C::BUILD_DATA,
                outputs: C::OUTPUTS,
                prepare: |body, facts, redactor| {
                    let (component, warnings) = prepare::<C>(body, facts, redactor)?;
                    Ok((Box::new(component), warnings))
                },
            }
        }
    };
}
registered_as!(builder, Builder);
registered_as!(provisioner, Provisioner);
registered_as!(post_processor, PostProcessor);
registered_as!(data_source, DataSource);
