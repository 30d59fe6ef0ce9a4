//! Transfers and connecting, measured beside OpenSSH's own tools in the same run.
//!
//! `cargo bench --bench transfer` prints a table of times and ratios. Each measured run is a process
//! of its own, connects by itself as `scp` does, and tells its greatest resident memory. The 20 ms
//! of round trip are made by a process that passes TCP on with 10 ms of delay each way; both sides
//! go through it. `cargo bench --bench transfer -- 256` moves 256 MiB instead of 1024.

#![expect(clippy::disallowed_methods, reason = "a bench waits, and reads what it has written")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints and panics")]

#[path = "../integration/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use imgbake::communicator::{Connector as _, HostKey, Pause, SshOptions, Target};
use imgbake::component::{BuildContext, Communicator, Upload};
use imgbake::env::Environment;
use imgbake::event::Ui;
use support::{Sshd, free_port, pause};

/// One way, so that a round trip takes twice as long.
const DELAY: Duration = Duration::from_millis(10);
const ROUNDS: usize = 3;
const SMALL_FILES: usize = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("child") => child(&arguments[1..]),
        Some("delay") => delay(arguments[1].parse().unwrap(), arguments[2].parse().unwrap()),
        _ => {
            let mebibytes = arguments.iter().find_map(|argument| argument.parse().ok());
            measure(mebibytes.unwrap_or(1024));
        }
    }
}

/// What is measured, with which server and which files.
struct Bench {
    sshd: Sshd,
    /// The port that leads to `sshd` with the delay.
    far: u16,
    dir: PathBuf,
    program: PathBuf,
}

fn measure(mebibytes: usize) {
    let scratch = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let dir = tempfile::Builder::new().prefix("imgbake-bench").tempdir_in(scratch).unwrap();
    let program = std::env::current_exe().unwrap();
    let sshd = Sshd::start();
    let far = free_port();
    let mut delayer = Command::new(&program)
        .args(["delay", &far.to_string(), &sshd.port.to_string()])
        .spawn()
        .unwrap();
    pause(200);
    let bench = Bench { sshd, far, dir: dir.path().to_owned(), program };
    bench.make_files(mebibytes);
    println!("{:<42} {:>9} {:>9} {:>7}", "", "imgbake", "OpenSSH", "ratio");
    let big = format!("upload one file of {mebibytes} MiB");
    for (place, port) in [("loopback", bench.sshd.port), ("20 ms round trip", bench.far)] {
        bench.row(&format!("{big}, {place}"), &|| bench.ours("upload", port), &|| bench.scp(port));
        let small = format!("upload {SMALL_FILES} files of 2 KiB, {place}");
        bench.row(&small, &|| bench.ours("upload_dir", port), &|| bench.tar(port));
        let big = format!("download one file of {mebibytes} MiB, {place}");
        bench.row(&big, &|| bench.ours("download", port), &|| bench.scp_back(port));
    }
    bench.connect();
    delayer.kill().unwrap();
    delayer.wait().unwrap();
}

impl Bench {
    fn make_files(&self, mebibytes: usize) {
        let mut random = std::fs::File::open("/dev/urandom").unwrap();
        let mut block = vec![0; 1024 * 1024];
        random.read_exact(&mut block).unwrap();
        let mut big = std::fs::File::create(self.dir.join("big")).unwrap();
        for _ in 0..mebibytes {
            big.write_all(&block).unwrap();
        }
        for number in 0..SMALL_FILES {
            let dir = self.dir.join("small").join(format!("{:03}", number / 100));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(format!("{number}.txt")), &block[..2048]).unwrap();
        }
    }

    /// Both sides take turns; the best of each counts.
    fn row(&self, name: &str, ours: &dyn Fn() -> u64, theirs: &dyn Fn()) {
        let (mut best, mut best_theirs) = (Duration::MAX, Duration::MAX);
        let mut resident = 0;
        for _ in 0..ROUNDS {
            self.clean();
            let start = Instant::now();
            resident = resident.max(ours());
            best = best.min(start.elapsed());
            self.check();
            self.clean();
            let start = Instant::now();
            theirs();
            best_theirs = best_theirs.min(start.elapsed());
        }
        println!(
            "{name:<42} {:>7.2} s {:>7.2} s {:>7.2}   {} MiB resident",
            best.as_secs_f64(),
            best_theirs.as_secs_f64(),
            best.as_secs_f64() / best_theirs.as_secs_f64(),
            resident / 1024,
        );
    }

    fn clean(&self) {
        let _ = std::fs::remove_dir_all(self.dir.join("to"));
        std::fs::create_dir_all(self.dir.join("to")).unwrap();
    }

    /// What arrived is what was sent.
    fn check(&self) {
        let (name, to) = match self.dir.join("to/big").exists() {
            true => ("big", "to/big"),
            false => ("small", "to/small"),
        };
        let (from, to) = (self.dir.join(name), self.dir.join(to));
        let status = Command::new("diff").arg("-rq").args([from, to]).status();
        assert!(status.unwrap().success());
    }

    /// Runs ourselves; the result is the greatest resident memory in KiB.
    fn ours(&self, what: &str, port: u16) -> u64 {
        let output = Command::new(&self.program)
            .args(["child", what, &port.to_string()])
            .arg(self.sshd.key("ed25519"))
            .arg(&self.dir)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success());
        let printed = String::from_utf8(output.stdout).unwrap();
        printed.trim().parse().unwrap()
    }

    fn openssh(&self, program: &str, port_option: &str, port: u16) -> Command {
        let mut command = Command::new(program);
        command
            .args(["-q", "-F", "none", port_option, &port.to_string()])
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"])
            .arg(self.sshd.key("ed25519"));
        command
    }

    fn scp(&self, port: u16) {
        let to = format!("{}@127.0.0.1:{}/to/big", self.sshd.user, self.dir.display());
        let mut scp = self.openssh("scp", "-P", port);
        assert!(scp.arg(self.dir.join("big")).arg(to).status().unwrap().success());
    }

    fn scp_back(&self, port: u16) {
        let from = format!("{}@127.0.0.1:{}/big", self.sshd.user, self.dir.display());
        let mut scp = self.openssh("scp", "-P", port);
        assert!(scp.arg(from).arg(self.dir.join("to/big")).status().unwrap().success());
    }

    fn tar(&self, port: u16) {
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(&self.dir)
            .args(["-cf", "-", "small"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ssh = self.openssh("ssh", "-p", port);
        let status = ssh
            .arg(format!("{}@127.0.0.1", self.sshd.user))
            .arg(format!("tar -xf - -C {}/to", self.dir.display()))
            .stdin(tar.stdout.take().unwrap())
            .status();
        assert!(status.unwrap().success() && tar.wait().unwrap().success());
    }

    /// From the moment that a server greets to the moment that a waiting child is connected.
    fn connect(&self) {
        let mut longest = Duration::ZERO;
        for round in 0..5 {
            let port = free_port();
            let key = self.sshd.key("ed25519");
            let mut child = Command::new(&self.program)
                .args(["child", "connect", &port.to_string()])
                .args([&key, &self.dir])
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            pause(1000 + 77 * round);
            let mut tunnel = Command::new(&self.program)
                .args(["delay", &port.to_string(), &self.sshd.port.to_string(), "0"])
                .spawn()
                .unwrap();
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                pause(1);
            }
            let start = Instant::now();
            assert!(child.wait().unwrap().success());
            longest = longest.max(start.elapsed());
            tunnel.kill().unwrap();
            tunnel.wait().unwrap();
        }
        println!("connected after sshd answers: at most {} ms (of 5)", longest.as_millis());
    }
}

/// Passes TCP on, later.
fn delay(from: u16, to: u16) {
    let listener = TcpListener::bind(("127.0.0.1", from)).unwrap();
    let delay = if std::env::args().nth(4).is_some() { Duration::ZERO } else { DELAY };
    for incoming in listener.incoming() {
        let incoming = incoming.unwrap();
        let outgoing = TcpStream::connect(("127.0.0.1", to)).unwrap();
        for stream in [&incoming, &outgoing] {
            stream.set_nodelay(true).unwrap();
        }
        pass(incoming.try_clone().unwrap(), outgoing.try_clone().unwrap(), delay);
        pass(outgoing, incoming, delay);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    // At 1 GB/s, 10 ms hold 10 MB: enough places that the queue is never what limits.
    let (sender, receiver) = sync_channel::<(Instant, Vec<u8>)>(4096);
    std::thread::spawn(move || {
        loop {
            let mut block = vec![0; 64 * 1024];
            let length = from.read(&mut block).unwrap_or(0);
            block.truncate(length);
            if length == 0 || sender.send((Instant::now() + delay, block)).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, block) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&block).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Connects, does one thing, and prints the greatest resident memory.
fn child(arguments: &[String]) {
    let [what, port, key, dir] = arguments else { panic!("{arguments:?}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (cx, ui) = context();
        let options = SshOptions {
            ssh_host: "127.0.0.1".into(),
            ssh_port: port.parse().unwrap(),
            ssh_username: support::current_user(),
            ssh_private_key_file: Some(key.into()),
            ..SshOptions::default()
        };
        let target = Target {
            host: String::new(),
            port: None,
            key: None,
            host_key: HostKey::FirstUse,
            way: None,
            boots: false,
        };
        let machine = options.connect(&cx, target, Pause::default()).await.unwrap();
        transfer(&*machine, what, dir, &ui).await;
        machine.close().await;
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{}", peak.trim().trim_end_matches(" kB"));
}

async fn transfer(machine: &dyn Communicator, what: &str, dir: &str, ui: &Ui) {
    let (big, to) = (format!("{dir}/big"), format!("{dir}/to/big"));
    let done = match what {
        "upload" => machine.upload(Upload::File(big.as_ref()), &to, ui).await,
        "upload_dir" => machine.upload_dir(&format!("{dir}/small"), &format!("{dir}/to"), ui).await,
        "download" => machine.download(&big, to.as_ref(), ui).await,
        _ => Ok(()),
    };
    done.unwrap();
}

/// A build that nobody listens to.
fn context() -> (BuildContext, Ui) {
    let (ui, mut said) = Ui::new();
    tokio::spawn(async move { while said.recv().await.is_some() {} });
    let environment = Environment::new(BTreeMap::new(), "/".into(), jiff::Timestamp::UNIX_EPOCH);
    let cx = support::build_context("null", environment, ui.clone());
    (cx, ui)
}
