//! Whom a box is for, and what that provider wants in it.
//!
//! | file | which providers |
//! |---|---|
//! | `clouds` | those whose boxes hold nothing: they name an image that is somewhere else |
//! | `machines` | those whose boxes hold the files of a machine |
//! | `virtualbox` | VirtualBox, which wants its files under other names |

mod clouds;
mod machines;
mod virtualbox;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::component::Artifact;
use crate::post_processor::archive::Source;
use crate::post_processor::artifice;

/// A provider that boxes can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    Aws,
    Azure,
    DigitalOcean,
    Docker,
    File,
    Google,
    HyperV,
    Libvirt,
    Lxc,
    Parallels,
    Scaleway,
    VirtualBox,
    VMware,
}

/// What a provider puts into a box.
#[derive(Debug)]
pub(super) struct Contents {
    /// For `metadata.json`.
    pub(super) metadata: Map<String, Json>,
    /// For the Vagrantfile.
    pub(super) vagrantfile: String,
    /// What is in the box, by the names that it has there.
    pub(super) files: BTreeMap<String, Source>,
}

impl Contents {
    /// Nothing but the name by which Vagrant knows the provider.
    fn of(provider: &str) -> Self {
        let metadata = Map::from_iter([("provider".to_owned(), provider.into())]);
        Self { metadata, vagrantfile: String::new(), files: BTreeMap::new() }
    }

    fn with_vagrantfile(self, vagrantfile: String) -> Self {
        Self { vagrantfile, ..self }
    }

    fn with_files(self, files: impl IntoIterator<Item = (String, Source)>) -> Self {
        Self { files: files.into_iter().collect(), ..self }
    }
}

/// Which provider's machines a builder makes.
const BUILDERS: [(&str, Provider); 18] = [
    ("mitchellh.amazonebs", Provider::Aws),
    ("mitchellh.amazon.instance", Provider::Aws),
    ("mitchellh.virtualbox", Provider::VirtualBox),
    ("mitchellh.vmware", Provider::VMware),
    ("mitchellh.vmware-esx", Provider::VMware),
    ("vmware.desktop", Provider::VMware),
    ("pearkes.digitalocean", Provider::DigitalOcean),
    ("packer.googlecompute", Provider::Google),
    ("hashicorp.scaleway", Provider::Scaleway),
    ("packer.parallels", Provider::Parallels),
    ("MSOpenTech.hyperv", Provider::HyperV),
    ("transcend.qemu", Provider::Libvirt),
    ("ustream.lxc", Provider::Lxc),
    ("Azure.ResourceManagement.VMImage", Provider::Azure),
    ("packer.post-processor.docker-import", Provider::Docker),
    ("packer.post-processor.docker-tag", Provider::Docker),
    ("packer.post-processor.docker-push", Provider::Docker),
    ("packer.file", Provider::File),
];

impl Provider {
    const ALL: [(&str, Self); 13] = [
        ("aws", Self::Aws),
        ("azure", Self::Azure),
        ("digitalocean", Self::DigitalOcean),
        ("docker", Self::Docker),
        ("file", Self::File),
        ("google", Self::Google),
        ("hyperv", Self::HyperV),
        ("libvirt", Self::Libvirt),
        ("lxc", Self::Lxc),
        ("parallels", Self::Parallels),
        ("scaleway", Self::Scaleway),
        ("virtualbox", Self::VirtualBox),
        ("vmware", Self::VMware),
    ];

    /// Its name in templates.
    pub(super) fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, provider)| *provider == self);
        found.map_or("", |(name, _)| name)
    }

    /// The provider called `name`, or why there is none.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, provider)| *provider).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name);
            format!("`{name}` is no provider; there are {}", names.join(", "))
        })
    }

    /// The provider for what the builder `id` makes.
    pub(super) fn of(id: &str) -> Result<Self, String> {
        if id == artifice::BUILDER_ID {
            return Err("after `artifice` the provider is not known: name it in \
                        `provider_override`"
                .to_owned());
        }
        let found = BUILDERS.iter().find(|(builder, _)| *builder == id);
        found.map(|(_, provider)| *provider).ok_or_else(|| {
            format!(
                "Unknown artifact type, can't build box: {id}; `provider_override` may name one"
            )
        })
    }

    /// Whether the box is worth nothing without the artifact that it was made from.
    pub(super) fn keeps_input(self) -> bool {
        use Provider::{Aws, Azure, DigitalOcean, Google, Scaleway};
        matches!(self, Aws | Azure | DigitalOcean | Google | Scaleway)
    }

    /// What goes into a box of `artifact`.
    pub(super) fn contents(self, artifact: &dyn Artifact) -> anyhow::Result<Contents> {
        match self {
            Self::Aws => clouds::aws(&artifact.id()),
            Self::Azure => clouds::azure(&artifact.describe()),
            Self::DigitalOcean => clouds::in_region("digital_ocean", &artifact.id()),
            Self::Docker => Ok(clouds::docker(&artifact.id())),
            Self::File => Ok(machines::flat("file", artifact)),
            Self::Google => Ok(clouds::google(&artifact.id())),
            Self::HyperV => machines::hyperv(artifact),
            Self::Libvirt => machines::libvirt(artifact),
            Self::Lxc => Ok(machines::lxc(artifact)),
            Self::Parallels => machines::parallels(artifact),
            Self::Scaleway => clouds::in_region("scaleway", &artifact.id()),
            Self::VirtualBox => virtualbox::contents(artifact),
            Self::VMware => Ok(machines::flat("vmware_desktop", artifact)),
        }
    }
}

/// A Vagrantfile that sets what `lines` say.
fn vagrantfile(lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("Vagrant.configure(\"2\") do |config|\n{lines}end\n")
}

/// `text` as a string of Ruby: a Vagrantfile is a program, and the text is somebody else's.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '#' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A Vagrantfile whose `lines` are about the provider `name`; `more` is what its block takes beside it.
fn provider(name: &str, more: &str, lines: &[String]) -> String {
    let mut all = vec![format!("config.vm.provider :{name} do |{name}{more}|")];
    all.extend(lines.iter().map(|line| format!("  {line}")));
    all.push("end".to_owned());
    vagrantfile(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builder_id_of_packers_has_its_provider_and_others_are_refused() {
        for (id, name) in [
            ("mitchellh.amazonebs", "aws"),
            ("mitchellh.amazon.instance", "aws"),
            ("mitchellh.virtualbox", "virtualbox"),
            ("mitchellh.vmware", "vmware"),
            ("mitchellh.vmware-esx", "vmware"),
            ("vmware.desktop", "vmware"),
            ("pearkes.digitalocean", "digitalocean"),
            ("packer.googlecompute", "google"),
            ("hashicorp.scaleway", "scaleway"),
            ("packer.parallels", "parallels"),
            ("MSOpenTech.hyperv", "hyperv"),
            ("transcend.qemu", "libvirt"),
            ("ustream.lxc", "lxc"),
            ("Azure.ResourceManagement.VMImage", "azure"),
            ("packer.post-processor.docker-import", "docker"),
            ("packer.post-processor.docker-tag", "docker"),
            ("packer.post-processor.docker-push", "docker"),
            ("packer.file", "file"),
        ] {
            assert_eq!(Provider::of(id).unwrap().name(), name, "{id}");
            assert_eq!(Provider::named(name).unwrap().name(), name);
        }
        for (id, reason) in [
            ("mitchellh.amazon.ebssurrogate", "Unknown artifact type, can't build box"),
            ("mitchellh.amazon.chroot", "Unknown artifact type, can't build box"),
            // A file of a container is no image.
            ("packer.docker", "Unknown artifact type, can't build box"),
            (artifice::BUILDER_ID, "name it in `provider_override`"),
        ] {
            let refused = Provider::of(id).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        assert!(Provider::named("virtualbx").unwrap_err().contains("there are aws, azure,"));
    }

    #[test]
    fn what_others_named_is_no_program_in_a_vagrantfile() {
        assert_eq!(quoted("a\"; `x` #{y} \\ \n"), r#""a\"; `x` \#{y} \\ \u{a}""#);
    }
}
