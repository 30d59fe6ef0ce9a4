use std::process::Command;

use serde_json::json;

use super::*;
use crate::post_processor::fake::{self, Made};

fn ami() -> Made {
    Made { builder_id: "mitchellh.amazonebs", id: "us-east-1:ami-1", ..Made::default() }
}

/// A machine that the qemu builder could have made, with a real disk.
fn machine(dir: &Path) -> Made {
    let disk = dir.join("packer-vm");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-qf", "qcow2"]).arg(&disk).arg("64M");
    assert!(create.status().unwrap().success());
    let state = [("diskName", "packer-vm"), ("diskType", "qcow2"), ("domainType", "tcg")];
    let state = state.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
    let files = vec![disk];
    Made { builder_id: "transcend.qemu", id: "VM", files, state, ..Made::default() }
}

/// Adds the box with the real Vagrant, which checks it; returns what it then has of it.
fn add(file: &Path, provider: &str) -> PathBuf {
    let home = file.parent().unwrap().join("vagrant-home");
    let added = Command::new("vagrant")
        .args(["box", "add", "--name", "imgbake-test"])
        .arg(file)
        .env("VAGRANT_HOME", &home)
        .env("VAGRANT_CHECKPOINT_DISABLE", "1")
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    home.join("boxes/imgbake-test/0").join(provider)
}

#[tokio::test]
async fn vagrant_takes_a_box_of_an_ami() {
    let dir = tempfile::tempdir().unwrap();
    let (include, template) = (dir.path().join("LICENSE"), dir.path().join("Vagrantfile.tpl"));
    std::fs::write(&include, "free").unwrap();
    std::fs::write(&template, "# {{ .Provider }} of {{ .SourceAMI }}").unwrap();
    let output = dir.path().join("out/{{.Provider}}.box");
    let options = json!({
        "output": output, "include": [include], "vagrantfile_template": template,
        "architecture": "386", "compression_level": 9
    });
    let (processed, said) = fake::run::<Vagrant>(options, ami()).await;
    let processed = processed.unwrap();
    assert!(processed.keep_input && processed.keep_forced);
    assert_eq!(said[0], "Creating Vagrant box for 'aws' provider");
    let artifact = processed.artifact.unwrap();
    let file = dir.path().join("out/aws.box");
    assert_eq!((artifact.files(), artifact.id()), (vec![file.clone()], "aws".to_owned()));
    let added = add(&file, "aws");
    let read = |name: &str| std::fs::read_to_string(added.join(name)).unwrap();
    assert_eq!(read("metadata.json"), r#"{"provider":"aws","architecture":"i386"}"#);
    assert_eq!(read("LICENSE"), "free");
    let vagrantfile = read("Vagrantfile");
    assert!(vagrantfile.contains("aws.region_config \"us-east-1\", ami: \"ami-1\""));
    assert!(vagrantfile.contains("# aws of ami-0"), "{vagrantfile}");
}

#[tokio::test]
async fn vagrant_takes_a_box_of_a_machine_with_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("vm.box");
    for level in [0, -1] {
        let options = json!({"output": output, "override": {
            "libvirt": {"compression_level": level}, "aws": {"output": "/nowhere"}
        }});
        let (processed, said) = fake::run::<Vagrant>(options, machine(dir.path())).await;
        let processed = processed.unwrap();
        assert!(!processed.keep_input && !processed.keep_forced);
        let names = ["Vagrantfile", "box_0.img", "metadata.json"];
        assert_eq!(said[1..], names.map(|name| format!("Compressing: {name}")));
        let added = add(&output, "libvirt");
        let metadata = std::fs::read_to_string(added.join("metadata.json")).unwrap();
        let metadata: Json = serde_json::from_str(&metadata).unwrap();
        assert_eq!(metadata["disks"], json!([{"path": "box_0.img", "format": "qcow2"}]));
        let check = Command::new("qemu-img").arg("check").arg(added.join("box_0.img")).output();
        assert!(check.unwrap().status.success());
        std::fs::remove_dir_all(dir.path().join("vagrant-home")).unwrap();
    }
}

/// What `tar` says is in the box, with sizes left out.
fn listed(file: &Path) -> String {
    let listed = Command::new("tar").arg("tf").arg(file).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8(listed.stdout).unwrap()
}

/// A box of `made` at `x.box` in `dir`.
async fn boxed(dir: &Path, made: Made, more: Json) -> (Processed, PathBuf) {
    let file = dir.join("x.box");
    let mut options = json!({"output": file});
    options.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    (fake::run::<Vagrant>(options, made).await.0.unwrap(), file)
}

/// Writes `files` into `dir` and makes them an artifact of the builder `builder_id`.
fn written(dir: &Path, builder_id: &'static str, files: &[&str]) -> Made {
    let write = |name: &&str| {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("this is {name}")).unwrap();
        path
    };
    Made { builder_id, files: files.iter().map(write).collect(), ..Made::default() }
}

#[tokio::test]
async fn vagrant_takes_a_box_of_an_appliance() {
    let dir = tempfile::tempdir().unwrap();
    let ovf = r#"<Adapter slot="0" enabled="true" MACAddress="080027AB12CD"/>"#;
    std::fs::write(dir.path().join("web.ovf"), ovf).unwrap();
    // Larger than a block of the compression.
    let disk: Vec<u8> = (0..3 << 20).map(|n: u32| (n / 251) as u8).collect();
    std::fs::write(dir.path().join("web.vmdk"), &disk).unwrap();
    let tar = ["cf", "web.ova", "--format=ustar", "web.ovf", "web.vmdk"];
    assert!(Command::new("tar").args(tar).current_dir(&dir).status().unwrap().success());
    let files = vec![dir.path().join("web.ova")];
    let made = Made { builder_id: "mitchellh.virtualbox", files, ..Made::default() };
    let (processed, file) = boxed(dir.path(), made, json!({})).await;
    assert!(!processed.keep_input && !processed.keep_forced);
    let added = add(&file, "virtualbox");
    assert_eq!(std::fs::read_to_string(added.join("box.ovf")).unwrap(), ovf);
    assert!(std::fs::read(added.join("web.vmdk")).unwrap() == disk);
    let vagrantfile = std::fs::read_to_string(added.join("Vagrantfile")).unwrap();
    assert!(vagrantfile.contains("config.vm.base_mac = \"080027AB12CD\""), "{vagrantfile}");
}

#[tokio::test]
async fn vagrant_takes_a_box_of_each_hypervisors_files() {
    for (builder_id, provider, files, in_box) in [
        ("mitchellh.vmware", "vmware_desktop", ["web.vmx", "disk.vmdk"], ["disk.vmdk", "web.vmx"]),
        ("vmware.desktop", "vmware_desktop", ["web.vmx", "a.vmdk"], ["a.vmdk", "web.vmx"]),
        (
            "packer.parallels",
            "parallels",
            ["web.pvm/config.pvs", "web.pvm/hdd.hdd/hdd"],
            ["web.pvm/config.pvs", "web.pvm/hdd.hdd/hdd"],
        ),
        (
            "MSOpenTech.hyperv",
            "hyperv",
            ["Virtual Machines/1.vmcx", "Virtual Hard Disks/web.vhdx"],
            ["Virtual Hard Disks/web.vhdx", "Virtual Machines/1.vmcx"],
        ),
        ("ustream.lxc", "lxc", ["rootfs.tar.gz", "lxc-config"], ["lxc-config", "rootfs.tar.gz"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let made = written(&dir.path().join("out"), builder_id, &files);
        let description = format!("VM files in directory: {}", dir.path().join("out").display());
        let made = Made { description, ..made };
        let (_, file) = boxed(dir.path(), made, json!({})).await;
        let names = listed(&file);
        let mut wanted = [in_box.as_slice(), &["Vagrantfile", "metadata.json"]].concat();
        wanted.sort_unstable();
        assert_eq!(names.lines().collect::<Vec<_>>(), wanted, "{builder_id}");
        let added = add(&file, provider);
        for name in files {
            let content = std::fs::read_to_string(added.join(name)).unwrap();
            assert_eq!(content, format!("this is {name}"), "{builder_id}");
        }
    }
}

#[tokio::test]
async fn the_provider_of_artifices_files_is_the_one_that_the_template_names() {
    let dir = tempfile::tempdir().unwrap();
    let made = written(dir.path(), crate::post_processor::artifice::BUILDER_ID, &["web.vmx"]);
    let more = json!({"provider_override": "vmware"});
    let (processed, file) = boxed(dir.path(), made, more).await;
    assert_eq!(processed.artifact.unwrap().id(), "vmware");
    assert!(listed(&file).contains("web.vmx"));
}

#[tokio::test]
async fn what_the_provider_puts_into_the_box_wins_over_what_is_included() {
    let dir = tempfile::tempdir().unwrap();
    let made = written(&dir.path().join("out"), "mitchellh.vmware", &["web.vmx"]);
    for (name, text) in [("web.vmx", "other"), ("metadata.json", r#"{"provider":"own"}"#)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let include = [dir.path().join("web.vmx"), dir.path().join("metadata.json")];
    let (_, file) = boxed(dir.path(), made, json!({"include": include})).await;
    let added = add(&file, "own");
    assert_eq!(std::fs::read_to_string(added.join("web.vmx")).unwrap(), "this is web.vmx");
}

#[tokio::test]
async fn an_artifact_that_nobody_boxes_is_refused() {
    for (builder_id, reason) in [
        ("mitchellh.amazon.chroot", "Unknown artifact type, can't build box"),
        (crate::post_processor::artifice::BUILDER_ID, "name it in `provider_override`"),
    ] {
        let made = Made { builder_id, ..Made::default() };
        let (ended, _) = fake::run::<Vagrant>(json!({}), made).await;
        let error = ended.err().unwrap().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn all_that_is_wrong_with_the_options_is_said_at_once() {
    let wrong = json!({
        "provider_override": "virtualbx", "compression_level": 10,
        "vagrantfile_template": "/no/such",
        "override": {"vagrnt": {}, "aws": {"compression_level": -2}}
    });
    insta::assert_snapshot!(fake::prepare::<Vagrant>(wrong).unwrap_err().join("\n"), @r"
    the value of `provider_override` cannot be used: `virtualbx` is no provider; there are aws, azure, digitalocean, docker, file, google, hyperv, libvirt, lxc, parallels, scaleway, virtualbox, vmware
    the value of `override` cannot be used: `vagrnt` is no provider; there are aws, azure, digitalocean, docker, file, google, hyperv, libvirt, lxc, parallels, scaleway, virtualbox, vmware
    the value of `compression_level` cannot be used: it must be from -1 to 9
    the value of `vagrantfile_template` cannot be used: cannot read /no/such: No such file or directory (os error 2)
    the value of `override.aws.compression_level` cannot be used: it must be from -1 to 9
    ");
}
