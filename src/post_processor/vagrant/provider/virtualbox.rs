//! Boxes for VirtualBox: an appliance unpacked, with its description as `box.ovf`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use regex::Regex;

use super::{Contents, quoted, vagrantfile};
use crate::component::Artifact;
use crate::peer::{self, PeerName};
use crate::post_processor::archive::{Part, Source};
use crate::post_processor::base_name;

/// The name that Vagrant wants the description of the machine to have.
const OVF: &str = "box.ovf";

/// A description is a text of some kilobytes.
const LARGEST_OVF: u64 = 16 << 20;

/// An appliance has a description, a manifest, a certificate, and its disks.
const MOST_IN_AN_OVA: usize = 1000;

/// The first network card and its address.
const FIRST_CARD: &str = r#"<Adapter\s+slot="0"[^>]*?\sMACAddress="([0-9A-Fa-f]{12})""#;

/// The files of the artifact; an `.ova` among them is unpacked.
pub(super) fn contents(artifact: &dyn Artifact) -> anyhow::Result<Contents> {
    let mut files = BTreeMap::new();
    for path in artifact.files() {
        if path.extension().is_some_and(|extension| extension == "ova") {
            unpack(&path, &mut files)
                .with_context(|| format!("cannot unpack {}", path.display()))?;
        } else {
            files.insert(base_name(&path), Source::File(path));
        }
    }
    let ovf = take_ovf(&mut files)?;
    let mac = base_mac(&ovf)?;
    files.insert(OVF.to_owned(), ovf);
    let lines = [format!("config.vm.base_mac = {}", quoted(&mac))];
    Ok(Contents::of("virtualbox").with_vagrantfile(vagrantfile(&lines)).with_files(files))
}

/// Adds what is in the appliance `path`. It is packed into the box from where it is: the disks are
/// large.
fn unpack(path: &Path, files: &mut BTreeMap<String, Source>) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(peer::open_regular(path)?);
    for (number, entry) in archive.entries_with_seek()?.enumerate() {
        ensure!(number < MOST_IN_AN_OVA, "it has more than {MOST_IN_AN_OVA} files");
        let entry = entry?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let (name, part) = part(path, &entry)?;
        files.insert(name, Source::Part(part));
    }
    Ok(())
}

/// The last part of the name of `entry`, and where its content is.
fn part(path: &Path, entry: &tar::Entry<'_, File>) -> anyhow::Result<(String, Part)> {
    let name = entry.path_bytes();
    let name = PeerName::last_of(&String::from_utf8_lossy(&name))?;
    let kind = entry.header().entry_type();
    ensure!(kind.is_file() || kind.is_contiguous(), "{} is no plain file", name.as_str());
    let part = Part {
        path: path.to_owned(),
        start: entry.raw_file_position(),
        length: entry.size(),
        modified: entry.header().mtime().unwrap_or(0),
    };
    Ok((name.as_str().to_owned(), part))
}

/// The one description among `files`.
fn take_ovf(files: &mut BTreeMap<String, Source>) -> anyhow::Result<Source> {
    let ovfs: Vec<_> = files.keys().filter(|name| name.ends_with(".ovf")).cloned().collect();
    match ovfs.as_slice() {
        [one] => files.remove(one).context("ovf file couldn't be found"),
        [] => bail!("ovf file couldn't be found"),
        _ => bail!("More than one OVF file in VirtualBox artifact: {}", ovfs.join(", ")),
    }
}

/// The address that machines of the box get, too: the guest's network may be bound to it.
fn base_mac(ovf: &Source) -> anyhow::Result<String> {
    let mut text = Vec::new();
    match ovf {
        Source::Part(part) => {
            part.open()?.take(LARGEST_OVF).read_to_end(&mut text)?;
        }
        Source::File(path) => text = peer::read_regular(path, LARGEST_OVF)?,
        Source::Text(own) => text = own.clone().into_bytes(),
    }
    let text = String::from_utf8_lossy(&text);
    let found =
        Regex::new(FIRST_CARD)?.captures(&text).context("can't find base mac address in OVF")?;
    Ok(found[1].to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::post_processor::fake::Made;

    const MACHINE: &str = r#"<Envelope><vbox:Machine><Network>
        <Adapter slot="1" enabled="true" MACAddress="080027000001" type="virtio"/>
        <Adapter slot="0" enabled="true" MACAddress="080027AB12CD" type="82540EM">
    </Network></vbox:Machine></Envelope>"#;

    /// The files of a directory, as an artifact.
    fn made(dir: &Path, files: &[(&str, &str)]) -> Made {
        let write = |(name, text): &(&str, &str)| {
            std::fs::write(dir.join(name), text).unwrap();
            dir.join(name)
        };
        Made { files: files.iter().map(write).collect(), ..Made::default() }
    }

    fn names(contents: &Contents) -> Vec<&str> {
        contents.files.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_description_is_renamed_and_its_address_is_in_the_vagrantfile() {
        let dir = tempfile::tempdir().unwrap();
        let files = [("web.ovf", MACHINE), ("web-disk001.vmdk", "disk"), ("web.mf", "")];
        let contents = contents(&made(dir.path(), &files)).unwrap();
        assert_eq!(names(&contents), ["box.ovf", "web-disk001.vmdk", "web.mf"]);
        let wanted =
            "Vagrant.configure(\"2\") do |config|\n  config.vm.base_mac = \"080027AB12CD\"\nend\n";
        assert_eq!(contents.vagrantfile, wanted);
    }

    #[test]
    fn an_appliance_is_unpacked_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.ova");
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        for (name, text) in [("dir/web.ovf", MACHINE), ("dir/web-disk001.vmdk", "disk")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mtime(7);
            archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        let contents = contents(&Made { files: vec![path.clone()], ..Made::default() }).unwrap();
        assert_eq!(names(&contents), ["box.ovf", "web-disk001.vmdk"]);
        assert!(contents.vagrantfile.contains("\"080027AB12CD\""));
        let Source::Part(part) = &contents.files["web-disk001.vmdk"] else { panic!() };
        let mut text = String::new();
        part.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), part.modified, &part.path), ("disk", 7, &path));
    }

    #[test]
    fn what_is_no_machine_of_virtualbox_is_refused() {
        for (files, reason) in [
            (vec![("web.vmdk", "disk")], "ovf file couldn't be found"),
            (vec![("a.ovf", MACHINE), ("b.ovf", MACHINE)], "More than one OVF file"),
            (vec![("a.ovf", "<Adapter slot=\"0\"/>")], "can't find base mac address in OVF"),
            (vec![("a.ova", "no archive")], "a.ova"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let refused = contents(&made(dir.path(), &files)).unwrap_err();
            assert!(format!("{refused:#}").contains(reason), "{refused:#}");
        }
    }

    #[test]
    fn an_appliance_of_links_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("web.ova");
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "web.ovf", "/etc/passwd").unwrap();
        archive.finish().unwrap();
        let refused = contents(&Made { files: vec![path], ..Made::default() }).unwrap_err();
        assert!(format!("{refused:#}").contains("web.ovf is no plain file"), "{refused:#}");
    }
}
