//! Boxes that hold the files of a machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value as Json, json};

use super::{Contents, provider};
use crate::component::Artifact;
use crate::peer;
use crate::post_processor::archive::Source;
use crate::post_processor::base_name;

/// All files of the artifact side by side.
pub(super) fn flat(provider: &str, artifact: &dyn Artifact) -> Contents {
    let files = artifact.files().into_iter();
    Contents::of(provider).with_files(files.map(|path| (base_name(&path), Source::File(path))))
}

/// The same; Vagrant wants to know the version of the box's form.
pub(super) fn lxc(artifact: &dyn Artifact) -> Contents {
    let mut contents = flat("lxc", artifact);
    contents.metadata.insert("version".into(), "1.0.0".into());
    contents
}

/// The directories that Hyper-V makes for a machine.
const OF_HYPERV: [&str; 3] = ["Virtual Machines", "Virtual Hard Disks", "Snapshots"];

/// The files in the directories that Hyper-V made for them: it imports no others.
pub(super) fn hyperv(artifact: &dyn Artifact) -> anyhow::Result<Contents> {
    let description = artifact.describe();
    // The builder's plugin says it nowhere else: `VM files in directory: output-web`.
    let output = description.split_once(": ").map(|(_, dir)| Path::new(dir.trim()));
    let files = artifact.files().into_iter().map(|path| {
        let inside = output
            .filter(|output| !output.as_os_str().is_empty())
            .and_then(|output| path.strip_prefix(output).ok())
            .or_else(|| path_from(&path, |name| OF_HYPERV.contains(&name)))
            .with_context(|| format!("{} is in no directory of Hyper-V's", path.display()))?;
        Ok((in_box(inside)?, Source::File(path.clone())))
    });
    Ok(Contents::of("hyperv").with_files(files.collect::<anyhow::Result<Vec<_>>>()?))
}

/// The files of the machine's bundle, but those that it does not need.
pub(super) fn parallels(artifact: &dyn Artifact) -> anyhow::Result<Contents> {
    let is_bundle = |name: &str| {
        let stem = name.strip_suffix(".pvm").or_else(|| name.strip_suffix(".macvm"));
        stem.is_some_and(|stem| !stem.is_empty())
    };
    let mut files = Vec::new();
    for path in artifact.files() {
        let Some(inside) = path_from(&path, is_bundle) else { continue };
        let name = in_box(inside)?;
        if !is_unneeded(&name) && inside.components().count() > 1 {
            files.push((name, Source::File(path.clone())));
        }
    }
    ensure!(!files.is_empty(), "No VM file found in source artifact");
    Ok(Contents::of("parallels").with_files(files))
}

/// Whether the file `name` of a bundle is nothing that its machine needs to start.
fn is_unneeded(name: &str) -> bool {
    let ends = [".log", ".backup", ".Backup"].iter().any(|end| name.ends_with(end));
    ends || name.contains(".app/") || name.contains("/Windows Disks/")
}

/// `path` from the first part on that `begins`.
fn path_from(path: &Path, begins: impl Fn(&str) -> bool) -> Option<&Path> {
    let above =
        path.components().take_while(|part| !part.as_os_str().to_str().is_some_and(&begins));
    let inside = path.strip_prefix(above.collect::<PathBuf>()).ok()?;
    (!inside.as_os_str().is_empty()).then_some(inside)
}

/// The name in a box of what is at `inside`.
fn in_box(inside: &Path) -> anyhow::Result<String> {
    let checked = peer::relative_path(inside)?;
    let name = checked.to_str().context("a file of the artifact has a name that is no UTF-8")?;
    Ok(name.to_owned())
}

/// The disks as `box_0.img`, `box_1.img`, …
pub(super) fn libvirt(artifact: &dyn Artifact) -> anyhow::Result<Contents> {
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
        files.push((name, Source::File(disk)));
    }
    let lines = [format!("libvirt.driver = \"{driver}\"")];
    let mut contents = Contents::of("libvirt").with_vagrantfile(provider("libvirt", "", &lines));
    contents.metadata.insert("disks".into(), listed.into());
    Ok(contents.with_files(files))
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

    fn made(files: &[&str]) -> Made {
        Made { files: files.iter().map(PathBuf::from).collect(), ..Made::default() }
    }

    /// `name in the box < file`, in the order of the box.
    fn listed(contents: &Contents) -> Vec<String> {
        let line = |(name, source): (&String, &Source)| match source {
            Source::File(path) => format!("{name} < {}", path.display()),
            _ => name.clone(),
        };
        contents.files.iter().map(line).collect()
    }

    #[test]
    fn files_of_vmware_and_lxc_stand_side_by_side() {
        let artifact = made(&["out/web.vmx", "out/disk.vmdk", "out/nvram"]);
        let contents = flat("vmware_desktop", &artifact);
        assert_eq!(
            listed(&contents),
            ["disk.vmdk < out/disk.vmdk", "nvram < out/nvram", "web.vmx < out/web.vmx"]
        );
        assert_eq!(Json::Object(contents.metadata), json!({"provider": "vmware_desktop"}));
        let contents = lxc(&made(&["out/rootfs.tar.gz", "out/lxc-config"]));
        assert_eq!(Json::Object(contents.metadata), json!({"provider": "lxc", "version": "1.0.0"}));
        assert_eq!(contents.files.len(), 2);
    }

    #[test]
    fn files_of_hyperv_keep_their_directories() {
        let files = ["o/Virtual Hard Disks/web.vhdx", "o/Virtual Machines/1.vmcx", "o/box.xml"];
        let known = Made { description: "VM files in directory: o".to_owned(), ..made(&files) };
        let wanted = [
            "Virtual Hard Disks/web.vhdx < o/Virtual Hard Disks/web.vhdx",
            "Virtual Machines/1.vmcx < o/Virtual Machines/1.vmcx",
            "box.xml < o/box.xml",
        ];
        assert_eq!(listed(&hyperv(&known).unwrap()), wanted);
        // After `artifice` nothing says which directory it was.
        assert_eq!(listed(&hyperv(&made(&files[..2])).unwrap()), wanted[..2]);
        let refused = hyperv(&made(&files)).unwrap_err().to_string();
        assert_eq!(refused, "o/box.xml is in no directory of Hyper-V's");
        let outside = made(&["o/Virtual Machines/../../../etc/passwd"]);
        assert!(hyperv(&outside).is_err());
    }

    #[test]
    fn files_of_parallels_are_those_of_the_bundle_that_it_needs() {
        let artifact = made(&[
            "/out/web.pvm/config.pvs",
            "/out/web.pvm/harddisk.hdd/harddisk.hdd",
            "/out/web.pvm/parallels.log",
            "/out/web.pvm/config.pvs.backup",
            "/out/web.pvm/VmInfo.pvi.Backup",
            "/out/web.pvm/Windows Disks/C",
            "/out/web.pvm/Web.app/Contents/Info.plist",
            "/out/iso/prl-tools.iso",
        ]);
        assert_eq!(
            listed(&parallels(&artifact).unwrap()),
            [
                "web.pvm/config.pvs < /out/web.pvm/config.pvs",
                "web.pvm/harddisk.hdd/harddisk.hdd < /out/web.pvm/harddisk.hdd/harddisk.hdd",
            ]
        );
        let mac = made(&["out/mac.macvm/disk0.img"]);
        assert_eq!(
            listed(&parallels(&mac).unwrap()),
            ["mac.macvm/disk0.img < out/mac.macvm/disk0.img"]
        );
        let refused = parallels(&made(&["out/web.pvm/parallels.log"])).unwrap_err();
        assert_eq!(refused.to_string(), "No VM file found in source artifact");
    }

    #[test]
    fn disks_are_numbered_in_their_order() {
        let state = [("diskName", "vm"), ("diskType", "raw"), ("domainType", "kvm")];
        let state =
            state.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
        let files = ["out/vm", "out/vm-10", "out/vm-2", "out/efivars.fd"];
        let contents = libvirt(&Made { state, ..made(&files) }).unwrap();
        assert_eq!(
            listed(&contents),
            ["box_0.img < out/vm", "box_1.img < out/vm-2", "box_2.img < out/vm-10"]
        );
        assert_eq!(contents.metadata["disks"][2], json!({"path": "box_2.img", "format": "raw"}));
        assert!(contents.vagrantfile.contains("libvirt.driver = \"kvm\""));
    }
}
