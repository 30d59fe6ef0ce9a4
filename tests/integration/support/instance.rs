//! An "instance" that can be provisioned for real: a Debian root file system with sshd, apt and
//! sudo, on an address of its own in 127.0.0.0/8. What happens in it leaves with it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use super::{Server, cache_dir, pause};

/// What the instance's image holds, beside what is essential.
const PACKAGES: &str = "openssh-server,sudo,ca-certificates,systemd,procps,python3-apt,\
                        ansible,nginx-light,ufw,iproute2";

/// What turns the bare system into an instance: the login users of the images that templates
/// start from, who may become root, and no service that starts on installation.
const FIRST_BOOT: &str = r#"
    for user in ubuntu ec2-user; do
        chroot "$1" useradd --create-home --password '*' --shell /bin/bash "$user"
        echo "$user ALL=(ALL) NOPASSWD: ALL" >> "$1/etc/sudoers.d/imgbake"
        mkdir -m 700 "$1/home/$user/.ssh"
        touch "$1/home/$user/.ssh/authorized_keys"
        chroot "$1" chown -R "$user:$user" "/home/$user/.ssh"
    done
    printf '#!/bin/sh\nexit 101\n' > "$1/usr/sbin/policy-rc.d"
    chmod 755 "$1/usr/sbin/policy-rc.d"
    mkdir -p "$1/run/sshd"
"#;

/// Mounts a fresh layer over the root file system and runs sshd in it, in namespaces that end with
/// it. `$1` root file system, `$2` address, `$3` directory for the layer.
const START: &str = r#"
    mount -t tmpfs tmpfs "$3"
    mkdir "$3/upper" "$3/work" "$3/merged"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$3/upper,workdir=$3/work" "$3/merged"
    mount -t proc proc "$3/merged/proc"
    mount --rbind /dev "$3/merged/dev"
    cp /etc/resolv.conf "$3/merged/etc/resolv.conf"
    mkdir -p "$3/merged/run/sshd"
    exec chroot "$3/merged" /usr/sbin/sshd -D -e -o "ListenAddress=$2" -o Port=22 -o UsePAM=no
"#;

/// A running instance.
#[derive(Debug)]
pub struct Instance {
    server: Server,
    _layer: TempDir,
    /// Where its sshd listens, on port 22.
    pub address: Ipv4Addr,
}

impl Instance {
    /// Starts one. The first call on a machine makes the root file system, which takes minutes.
    pub fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        // Test runs of one machine must not meet, nor this and a real sshd on 127.0.0.1.
        let run = u8::try_from(std::process::id() % 200 + 20).expect("below 256");
        let address = Ipv4Addr::new(127, 83, run, NEXT.fetch_add(1, Ordering::Relaxed));
        let root = root_file_system();
        let layer =
            tempfile::Builder::new().prefix("imgbake-instance").tempdir().expect("a directory");
        let log = File::create(layer.path().with_extension("log")).expect("a log");
        let child = as_root("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", START, "sh"])
            .arg(&root)
            .arg(address.to_string())
            .arg(layer.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare starts");
        let mut instance = Self { server: Server(child), _layer: layer, address };
        instance.wait_for_sshd();
        instance
    }

    fn wait_for_sshd(&mut self) {
        let socket = SocketAddr::from((self.address, 22));
        let timeout = std::time::Duration::from_millis(200);
        for _ in 0..500 {
            if std::net::TcpStream::connect_timeout(&socket, timeout).is_ok() {
                return;
            }
            let ended = self.server.0.try_wait().expect("a child to ask");
            assert!(ended.is_none(), "the instance ended early: see {}", self.log().display());
            pause(20);
        }
        panic!("the instance's sshd does not listen");
    }

    fn log(&self) -> PathBuf {
        self._layer.path().with_extension("log")
    }

    /// Lets the holder of a key in, as every user, like EC2 does at the first boot.
    pub fn authorize(&self, public_key: &str) {
        let script =
            r#"for home in /home/*; do printf '%s\n' "$1" >> "$home/.ssh/authorized_keys"; done"#;
        self.sh(script, &[public_key]);
    }

    /// Runs a script as root in the instance and returns what it prints.
    pub fn sh(&self, script: &str, args: &[&str]) -> String {
        // The first process of the instance is the only child of `unshare`.
        let inside = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.unshare()))
            .expect("children of unshare");
        let output = as_root("nsenter")
            .args(["--target", inside.trim(), "--mount", "--pid", "--root", "--wd=/", "sh", "-euc"])
            .args([script, "sh"])
            .args(args)
            .output()
            .expect("nsenter");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "in the instance: {script}\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The process id of `unshare`, be it ours or `sudo`'s child.
    fn unshare(&self) -> u32 {
        let own = self.server.0.id();
        let name = fs::read_to_string(format!("/proc/{own}/comm")).unwrap_or_default();
        if name.trim() == "unshare" {
            return own;
        }
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        children.expect("children of sudo").trim().parse().expect("one child")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Only root can end what root started; `unshare --kill-child` takes the rest along.
        let _ = as_root("kill").arg("-KILL").arg(self.unshare().to_string()).status();
        let _ = fs::remove_file(self.log());
    }
}

/// `program`, with the rights of root.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// The root file system, made once and kept.
fn root_file_system() -> PathBuf {
    static ONE_MAKES_IT: Mutex<()> = Mutex::new(());
    let _guard = ONE_MAKES_IT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let root = cache_dir().join("instance-1");
    if !root.join("complete").exists() {
        make_root_file_system(&root);
    }
    root.join("root")
}

/// Removes a directory. `mmdebstrap` that was killed leaves mounts in it: `/sys`, and all devices.
const REMOVE: &str = r#"
    cut -d ' ' -f 2 /proc/mounts | grep "^$1/" | sort -r | while read -r at; do umount "$at"; done
    rm -rf --one-file-system "$1"
"#;

fn make_root_file_system(root: &Path) {
    let status = as_root("sh").args(["-euc", REMOVE, "sh"]).arg(root).status().expect("sh");
    assert!(status.success(), "cannot remove {}", root.display());
    fs::create_dir_all(root).expect("a cache directory");
    let output = as_root("mmdebstrap")
        .args(["--quiet", "--mode=root", "--variant=minbase", "--format=directory"])
        .arg(format!("--include={PACKAGES}"))
        .arg(format!("--customize-hook={FIRST_BOOT}"))
        .arg("bookworm")
        .arg(root.join("root"))
        .output()
        .expect("mmdebstrap is installed (tests/run does)");
    assert!(output.status.success(), "mmdebstrap: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(root.join("complete"), "").expect("a marker");
}
