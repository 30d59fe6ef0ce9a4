//! The `amazon-chroot` builder: a file with a system in it stands for the volume that is attached to this
//! host, and a small server for the metadata service. It mounts, so it needs a root user.

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::bed::{Bed, Cloud, validated};
use super::cleanup;
use super::policy;
use super::proxy::{Call, Proxy, Rule, passes};
use crate::support::{Program, Run};

/// These tests mount.
fn needs_mounts() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(dir.path()).output();
    assert!(mounted.unwrap().status.success(), "run this as root, where one may mount");
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
}

fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A metadata service for the instance `id`: its address.
async fn metadata(id: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let id = id.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                while let Ok(read) = stream.read(&mut head).await
                    && read > 0
                {
                    let text = match head.starts_with(b"PUT") {
                        true => "token".to_owned(),
                        false => json!({"instanceId": id, "region": "us-east-1"}).to_string(),
                    };
                    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n";
                    let length = text.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\n{ttl}content-length: {length}\r\n\r\n{text}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    format!("http://{address}")
}

/// A host with a disk, and where its things are.
struct Host {
    cloud: Cloud,
    metadata: String,
    dir: tempfile::TempDir,
}

impl Host {
    async fn new() -> Self {
        let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
        let id = bed.machine("us-east-1", |request| request).await;
        let dir = tempfile::tempdir().unwrap();
        let (metadata, cloud) = (metadata(id).await, Cloud::of(bed).await);
        let host = Self { cloud, metadata, dir };
        let (disk, root) = (host.path("disk.img"), host.path("root"));
        sh(&format!(
            "mkdir -p {root}/bin {root}/etc {root}/tmp; cp /usr/bin/busybox {root}/bin/; \
             for lib in $(ldd /usr/bin/busybox | grep -o '/[^ ]*'); do \
               mkdir -p {root}$(dirname $lib); cp -L $lib {root}$lib; done; \
             for name in sh cat chmod mkdir tar echo test rm env; do \
               ln -s busybox {root}/bin/$name; done; \
             truncate -s 24M {disk}; mkfs.ext4 -q -d {root} {disk}"
        ));
        host
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn template(&self, changes: &Json) -> String {
        let mut builder = json!({
            "type": "amazon-chroot", "region": "us-east-1", "ami_name": "baked",
            "source_ami_filter": {
                "filters": {"name": "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*"},
                "owners": ["099720109477"], "most_recent": true,
            },
            "nvme_device_path": self.path("disk.img"), "mount_partition": "0",
            "mount_options": ["loop"], "mount_path": self.path("mnt/{{.Device}}"),
            "device_path": "/dev/sdz-of-imgbake",
            "chroot_mounts": [["proc", "proc", "/proc"], ["bind", "/dev", "/dev"]],
            "copy_files": ["/etc/hostname"],
            "pre_mount_commands": ["echo before {{.Device}}"],
            "post_mount_commands": ["echo after {{.MountPath}}"],
            "root_volume_tags": {"Base": "{{ .SourceAMI }}"},
            "snapshot_tags": {"Kind": "root"},
        });
        for (name, value) in changes.as_object().unwrap() {
            builder[name] = value.clone();
        }
        let inline = ["test -e /etc/hostname", "test -d /proc/self", "echo made > /made"];
        json!({
            "builders": [builder],
            "provisioners": [
                {"type": "shell", "inline": inline, "inline_shebang": "/bin/sh -e"},
                {"type": "file", "source": self.path("given"), "destination": "/tmp/given"},
            ],
        })
        .to_string()
    }

    /// Mounts in our directory.
    fn mounts(&self) -> Vec<String> {
        let all = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = self.path("mnt");
        let places = all.lines().filter_map(|line| line.split(' ').nth(4));
        places.filter(|place| place.starts_with(&here)).map(str::to_owned).collect()
    }

    fn program(&self) -> Program {
        std::fs::write(self.path("given"), "given\n").unwrap();
        let metadata = self.metadata.clone();
        Program::new().with([("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata)])
    }

    async fn build(&self, changes: &Json, rule: Rule) -> (Program, Proxy, Run) {
        let proxy = Proxy::start(self.cloud.bed.moto.endpoint(), rule).await;
        let program = self.program();
        program.write("web.json", self.template(changes));
        let mut command = tokio::process::Command::from(program.command(["build", "web.json"]));
        let run = Run::of(command.envs(proxy.environment()).output().await.unwrap());
        (program, proxy, run)
    }

    /// What is in the file `name` of the disk.
    fn on_disk(&self, name: &str) -> String {
        sh(&format!("debugfs -R 'cat {name}' {} 2>/dev/null", self.path("disk.img")))
    }
}

fn call(calls: &[Call], action: &str) -> Call {
    calls.iter().find(|call| call.action == action).cloned().unwrap_or_else(|| panic!("{action}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_provisioned_on_this_host_and_becomes_an_ami() {
    needs_mounts();
    let host = Host::new().await;
    let (program, proxy, run) = host.build(&json!({}), passes()).await;
    let run = run.succeeded();
    // What only clean-up does.
    let unused = policy::unused_by(&program, &proxy).await;
    assert_eq!(unused, ["ec2:DeleteSnapshot", "ec2:DeregisterImage"]);
    assert_eq!(host.mounts(), Vec::<String>::new());
    assert_eq!(
        (host.on_disk("/made"), host.on_disk("/tmp/given")),
        ("made\n".into(), "given\n".into())
    );
    assert_eq!(host.on_disk("/etc/hostname"), "", "it was there for the build only");
    assert!(run.stdout.contains("before "), "{run:#?}");
    let left = host.cloud.left().await;
    let of = |prefix: &str| left.iter().filter(|one| one.starts_with(prefix)).count();
    // moto makes up a snapshot of its own.
    assert_eq!((of("ami-"), of("snap-"), left.len()), (1, 2, 3), "{left:?}");
    let calls = proxy.calls();
    assert_eq!(call(&calls, "AttachVolume").get("Device"), Some("/dev/sdz-of-imgbake"));
    let registered = call(&calls, "RegisterImage");
    assert_eq!(registered.get("VirtualizationType"), Some("hvm"));
    let order: Vec<_> = calls.iter().map(|call| call.action.as_str()).collect();
    let at = |action: &str| order.iter().position(|one| *one == action).unwrap();
    assert!(at("DetachVolume") < at("CreateSnapshot"), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_was_made_from_the_same_is_not_made_again() {
    needs_mounts();
    let host = Host::new().await;
    let proxy = Proxy::start(host.cloud.bed.moto.endpoint(), passes()).await;
    let program = host.program();
    program.write("web.json", host.template(&json!({})));
    let build = async || {
        let command = program.command(["build", "-skip-unchanged", "web.json"]);
        let mut command = tokio::process::Command::from(command);
        Run::of(command.envs(proxy.environment()).output().await.unwrap()).succeeded()
    };
    let (first, second) = (build().await, build().await);
    assert!(first.stdout.contains("Baked: no finished AMI"), "{}", first.stdout);
    assert!(second.stdout.contains("Not baked: "), "{}", second.stdout);
    let registered = proxy.calls().into_iter().filter(|call| call.action == "RegisterImage");
    assert_eq!(registered.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_in_a_chroot_that_is_killed_at_any_call_is_cleaned_up_after() {
    needs_mounts();
    let host = Host::new().await;
    let (_, proxy, run) = host.build(&json!({}), passes()).await;
    run.succeeded();
    host.cloud.bed.sweep(&host.cloud.before).await;
    let moments = cleanup::changes(&proxy);
    for wanted in
        ["CreateVolume", "AttachVolume", "DetachVolume", "CreateSnapshot", "RegisterImage"]
    {
        assert!(moments.iter().any(|one| one.action == wanted), "{wanted}: {moments:?}");
    }
    println!("{} moments", moments.len());
    for moment in &moments {
        let proxy = Proxy::start(host.cloud.bed.moto.endpoint(), moment.rule()).await;
        let program = host.program();
        let template = ("web.json", host.template(&json!({})));
        assert!(cleanup::kill_when_held(&program, &proxy, template).await, "{moment:?}");
        let unmounted = || assert_eq!(host.mounts(), Vec::<String>::new(), "{moment:?}");
        let ran = (&program, &proxy);
        cleanup::all_is_cleaned_up(&host.cloud, ran, moment, (false, &[]), unmounted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mounts_of_a_build_that_is_killed_while_it_provisions_are_removed() {
    needs_mounts();
    let host = Host::new().await;
    let proxy = Proxy::start(host.cloud.bed.moto.endpoint(), passes()).await;
    let program = host.program();
    let text =
        host.template(&json!({})).replace("echo made > /made", "echo made > /made; sleep 60");
    program.write("web.json", text.replace("sleep 60", "while test -e /made; do :; done"));
    let mut command = tokio::process::Command::from(program.command(["build", "web.json"]));
    let mut child = command.envs(proxy.environment()).kill_on_drop(true).spawn().unwrap();
    for _ in 0..600 {
        if host.mounts().len() == 3 && Path::new(&host.path("mnt/disk.img/made")).exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(host.mounts().len(), 3, "the volume, and two in it");
    child.kill().await.unwrap();
    // What it ran goes on, and would be in the way.
    std::fs::remove_file(host.path("mnt/disk.img/made")).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let shown = cleanup::cleanup(&program, &proxy, &["-dry-run"]).await.succeeded();
    assert!(shown.stdout.contains("mount "), "{shown:#?}");
    assert_eq!(host.mounts().len(), 3);
    let cleaned = cleanup::cleanup(&program, &proxy, &[]).await.succeeded();
    assert_eq!(host.mounts(), Vec::<String>::new(), "{cleaned:#?}");
    assert!(host.cloud.left().await.is_empty(), "{cleaned:#?}");
    assert_eq!(cleanup::journals(&program), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_leaves_neither_mounts_nor_a_volume() {
    needs_mounts();
    let host = Host::new().await;
    for changes in [
        json!({"post_mount_commands": ["false"]}),
        json!({"chroot_mounts": [["bind", "/nowhere", "/dev"]]}),
        json!({"copy_files": ["/nowhere"]}),
        json!({"pre_mount_commands": ["exit 3"]}),
    ] {
        let (_, _, run) = host.build(&changes, passes()).await;
        let run = run.failed_with(1);
        assert!(run.stdout.contains(" failed (exit status: "), "{changes}: {run:#?}");
        assert_eq!(host.mounts(), Vec::<String>::new(), "{changes}");
        assert!(host.cloud.left().await.is_empty(), "{changes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_from_scratch_is_as_the_template_maps_it() {
    needs_mounts();
    let host = Host::new().await;
    let changes = json!({
        "from_scratch": true, "root_volume_size": 2, "ami_virtualization_type": "hvm",
        "root_device_name": "/dev/xvda", "ami_architecture": "arm64", "boot_mode": "uefi",
        "ami_block_device_mappings": [{"device_name": "/dev/xvda", "delete_on_termination": true}],
        "source_ami_filter": null, "command_wrapper": "env WRAPPED=1 sh -c '{{.Command}}'",
        "root_volume_tags": {}, "copy_files": ["/etc/hostname"],
        "pre_mount_commands": ["echo wrapped $WRAPPED"],
    });
    let mut text: Json = serde_json::from_str(&host.template(&changes)).unwrap();
    text["provisioners"] = json!([]);
    let proxy = Proxy::start(host.cloud.bed.moto.endpoint(), passes()).await;
    let program = host.program();
    program.write("web.json", text.to_string());
    let mut command = tokio::process::Command::from(program.command(["build", "web.json"]));
    let run = Run::of(command.envs(proxy.environment()).output().await.unwrap()).succeeded();
    assert!(run.stdout.contains("wrapped 1"), "{run:#?}");
    let calls = proxy.calls();
    let made = call(&calls, "CreateVolume");
    assert_eq!((made.get("Size"), made.get("VolumeType")), (Some("2"), Some("gp2")));
    let registered = call(&calls, "RegisterImage");
    for (name, value) in [
        ("Architecture", "arm64"),
        ("BootMode", "uefi"),
        ("RootDeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "2"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
    ] {
        assert_eq!(registered.get(name), Some(value), "{name}: {:?}", registered.parameters);
    }
}

#[test]
fn wrong_options_of_chroots_are_refused() {
    let program = Program::new();
    let check = |changes: Json| {
        let builder = json!({
            "type": "amazon-chroot", "region": "us-east-1", "ami_name": "baked",
            "source_ami": "ami-0123456789abcdef0",
        });
        validated(&program, builder, &changes)
    };
    let disk = json!([{"device_name": "/dev/xvda"}]);
    for (changes, says) in [
        (json!({}), ""),
        (json!({"source_ami": null}), "needs `source_ami`"),
        (json!({"from_scratch": true}), "needs `pre_mount_commands`"),
        (json!({"chroot_mounts": [["proc", "/proc"]]}), "a source and a place, not 2 parts"),
        (json!({"ami_block_device_mappings": disk}), "needs `root_volume_size`"),
        (json!({"root_device_name": "/dev/xvda"}), "needs `ami_block_device_mappings`"),
        (
            json!({"root_volume_kms_key_id": "alias/x", "root_volume_encrypt_boot": false}),
            "a key is for a volume that is encrypted",
        ),
        (json!({"root_volume_kms_key_id": "x"}), "is no KMS key"),
        (json!({"uefi_data": "QU1a"}), "starts with a BIOS"),
    ] {
        let (code, found) = check(changes.clone());
        assert_eq!(code, Some(i32::from(!says.is_empty())), "{changes}: {found}");
        assert!(found.contains(says), "{changes}: {found}");
    }
}
