//! Whom a box is for, and what that provider wants in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value as Json, json};

use crate::component::Artifact;
use crate::post_processor::base_name;

/// A provider that boxes can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// The box refers to AMIs.
    Aws,
    /// The box holds the files of the artifact.
    File,
    /// The box holds the disks of a QEMU machine.
    Libvirt,
}

/// What a provider puts into a box.
#[derive(Debug)]
pub(super) struct Contents {
    /// For `metadata.json`.
    pub(super) metadata: Map<String, Json>,
    /// For the Vagrantfile.
    pub(super) vagrantfile: String,
    /// Names in the box and where their contents are.
    pub(super) files: Vec<(String, PathBuf)>,
}

/// Providers whose builders are not built yet.
const NOT_BUILT: [&str; 11] = [
    "azure",
    "digitalocean",
    "docker",
    "google",
    "hyperv",
    "lxc",
    "parallels",
    "scaleway",
    "virtualbox",
    "vmware",
    "vmware_desktop",
];

/// Which provider's machines a builder makes.
const BUILDERS: [(&str, &str); 19] = [
    ("mitchellh.amazonebs", "aws"),
    ("mitchellh.amazon.instance", "aws"),
    ("transcend.qemu", "libvirt"),
    ("packer.file", "file"),
    ("mitchellh.virtualbox", "virtualbox"),
    ("mitchellh.vmware", "vmware"),
    ("mitchellh.vmware-esx", "vmware"),
    ("vmware.desktop", "vmware"),
    ("pearkes.digitalocean", "digitalocean"),
    ("packer.googlecompute", "google"),
    ("hashicorp.scaleway", "scaleway"),
    ("packer.parallels", "parallels"),
    ("MSOpenTech.hyperv", "hyperv"),
    ("ustream.lxc", "lxc"),
    ("Azure.ResourceManagement.VMImage", "azure"),
    ("packer.docker", "docker"),
    ("packer.post-processor.docker-import", "docker"),
    ("packer.post-processor.docker-tag", "docker"),
    ("packer.post-processor.docker-push", "docker"),
];

impl Provider {
    const ALL: [Self; 3] = [Self::Aws, Self::File, Self::Libvirt];

    /// Its name in templates.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::File => "file",
            Self::Libvirt => "libvirt",
        }
    }

    /// The provider called `name`, or why there is none.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        Self::known(name)?;
        let found = Self::ALL.into_iter().find(|provider| provider.name() == name);
        found.ok_or_else(|| format!("boxes for `{name}` are not built yet"))
    }

    /// Whether `name` is a provider at all.
    pub(super) fn known(name: &str) -> Result<(), String> {
        let built = Self::ALL.iter().map(|provider| provider.name());
        let mut names: Vec<_> = built.chain(NOT_BUILT).collect();
        if names.contains(&name) {
            return Ok(());
        }
        names.sort_unstable();
        Err(format!("`{name}` is no provider; there are {}", names.join(", ")))
    }

    /// The provider for what the builder `id` makes.
    pub(super) fn of(id: &str) -> Result<Self, String> {
        let found = BUILDERS.iter().find(|(builder, _)| *builder == id);
        let (_, name) = found.ok_or_else(|| {
            format!(
                "Unknown artifact type, can't build box: {id}; `provider_override` may name one"
            )
        })?;
        Self::named(name)
    }

    /// Whether the box is worth nothing without the artifact that it was made from.
    pub(super) fn keeps_input(self) -> bool {
        self == Self::Aws
    }

    /// What goes into a box of `artifact`.
    pub(super) fn contents(self, artifact: &dyn Artifact) -> anyhow::Result<Contents> {
        match self {
            Self::Aws => aws(&artifact.id()),
            Self::File => Ok(file(artifact)),
            Self::Libvirt => libvirt(artifact),
        }
    }
}

fn metadata(provider: &str) -> Map<String, Json> {
    Map::from_iter([("provider".to_owned(), provider.into())])
}

/// A line for each `region:ami-…` of the artifact's id.
fn aws(id: &str) -> anyhow::Result<Contents> {
    let mut lines = String::new();
    for image in id.split(',') {
        let (region, ami) =
            image.split_once(':').with_context(|| format!("`{image}` is not region:ami"))?;
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        ensure!(plain(region) && plain(ami), "`{image}` is not region:ami");
        lines.push_str(&format!("    aws.region_config \"{region}\", ami: \"{ami}\"\n"));
    }
    let vagrantfile = format!(
        "Vagrant.configure(\"2\") do |config|\n  config.vm.provider \"aws\" do |aws|\n{lines}  end\nend\n"
    );
    Ok(Contents { metadata: metadata("aws"), vagrantfile, files: Vec::new() })
}

fn file(artifact: &dyn Artifact) -> Contents {
    let files = artifact.files().into_iter().map(|path| (base_name(&path), path)).collect();
    Contents { metadata: metadata("file"), vagrantfile: String::new(), files }
}

/// The disks as `box_0.img`, `box_1.img`, …
fn libvirt(artifact: &dyn Artifact) -> anyhow::Result<Contents> {
    let text = |name| artifact.state(name).and_then(|value| value.as_str().map(str::to_owned));
    let format = text("diskType").unwrap_or_else(|| "qcow2".to_owned());
    let driver = match text("domainType").as_deref() {
        None | Some("" | "none" | "tcg" | "hvf") => "qemu",
        Some("kvm") => "kvm",
        Some(other) => bail!("libvirt has no driver for the accelerator {other}"),
    };
    let disks = disks(artifact, text("diskName").as_deref());
    ensure!(!disks.is_empty(), "the artifact has no disk");
    let (mut listed, mut files) = (Vec::new(), Vec::new());
    for (number, disk) in disks.into_iter().enumerate() {
        let name = format!("box_{number}.img");
        listed.push(json!({"path": name, "format": format}));
        files.push((name, disk));
    }
    let mut metadata = metadata("libvirt");
    metadata.insert("disks".into(), listed.into());
    let vagrantfile = format!(
        "Vagrant.configure(\"2\") do |config|\n  config.vm.provider :libvirt do |libvirt|\n    libvirt.driver = \"{driver}\"\n  end\nend\n"
    );
    Ok(Contents { metadata, vagrantfile, files })
}

/// The machine's disks, the first one first: those that the builder lists, else the files whose
/// names start with the first one's.
fn disks(artifact: &dyn Artifact, name: Option<&str>) -> Vec<PathBuf> {
    if let Some(Json::Array(paths)) = artifact.state("diskPaths") {
        return paths.iter().filter_map(Json::as_str).map(PathBuf::from).collect();
    }
    let files = artifact.files();
    let Some(name) = name else { return files };
    let mut disks: Vec<_> =
        files.into_iter().filter(|path| base_name(path).starts_with(name)).collect();
    let number = |path: &Path| -> u32 {
        base_name(path)[name.len()..].trim_start_matches('-').parse().unwrap_or(0)
    };
    disks.sort_by_key(|path| number(path));
    disks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::post_processor::fake::Made;

    #[test]
    fn an_ami_box_names_the_image_of_each_region() {
        let contents = aws("eu-west-1:ami-2,us-east-1:ami-1").unwrap();
        insta::assert_snapshot!(contents.vagrantfile, @r#"
        Vagrant.configure("2") do |config|
          config.vm.provider "aws" do |aws|
            aws.region_config "eu-west-1", ami: "ami-2"
            aws.region_config "us-east-1", ami: "ami-1"
          end
        end
        "#);
        assert!(aws("us-east-1:ami-1\"; system(\"x\")").is_err());
        assert!(aws("").is_err());
    }

    #[test]
    fn disks_are_numbered_in_their_order() {
        let names = ["vm", "vm-10", "vm-2", "efivars.fd"];
        let files = names.iter().map(|name| PathBuf::from(format!("out/{name}"))).collect();
        let state = [("diskName", "vm"), ("diskType", "raw"), ("domainType", "kvm")];
        let state =
            state.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
        let made = Made { files, state, ..Made::default() };
        let contents = libvirt(&made).unwrap();
        let files: Vec<_> =
            contents.files.iter().map(|(n, p)| format!("{n} {}", p.display())).collect();
        assert_eq!(files, ["box_0.img out/vm", "box_1.img out/vm-2", "box_2.img out/vm-10"]);
        assert_eq!(contents.metadata["disks"][2], json!({"path": "box_2.img", "format": "raw"}));
        assert!(contents.vagrantfile.contains("libvirt.driver = \"kvm\""));
    }

    #[test]
    fn a_provider_that_is_not_built_is_refused_by_name() {
        assert_eq!(Provider::of("transcend.qemu"), Ok(Provider::Libvirt));
        let refused = Provider::of("mitchellh.virtualbox").unwrap_err();
        assert_eq!(refused, "boxes for `virtualbox` are not built yet");
        assert!(Provider::of("x").unwrap_err().starts_with("Unknown artifact type"));
        assert!(Provider::named("virtualbx").unwrap_err().contains("there are aws, azure,"));
    }
}
