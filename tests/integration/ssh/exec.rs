//! Commands and tunnels.

use std::time::{Duration, Instant};

use imgbake::communicator::SshOptions;
use imgbake::component::Exit;
use imgbake::event::{Message, Stream};
use imgbake::guest::GuestOutput;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Build, machine, options, output, soon};
use crate::support::{Sshd, free_port};

#[derive(Default)]
struct Count {
    stdout: usize,
    stderr: usize,
}

#[async_trait::async_trait]
impl GuestOutput for Count {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.stdout += bytes.len(),
            Stream::Stderr => self.stderr += bytes.len(),
        }
    }
}

#[tokio::test]
async fn a_command_has_a_status_two_outputs_and_no_input() {
    let sshd = Sshd::start();
    let (_build, machine) = machine(&sshd).await;
    let (exit, printed) =
        soon(machine.run_captured("cat; echo out; echo err >&2; exit 7")).await.unwrap();
    assert_eq!(exit, Exit::Status(7));
    assert_eq!((&*printed.stdout, &*printed.stderr), (&b"out\n"[..], &b"err\n"[..]));
    let (exit, _) = soon(machine.run_captured("kill -TERM $$")).await.unwrap();
    assert_eq!(exit, Exit::Status(143));
}

#[tokio::test]
async fn a_lost_connection_is_no_status() {
    let sshd = Sshd::start();
    let (_build, machine) = machine(&sshd).await;
    let (exit, _) = soon(machine.run_captured("kill -9 $PPID; sleep 5")).await.unwrap();
    assert_eq!(exit, Exit::Disconnected);
    assert_eq!(exit.status(), 2_300_218);
}

#[tokio::test]
async fn what_a_command_leaves_in_the_background_is_not_waited_for() {
    let sshd = Sshd::start();
    let (_build, machine) = machine(&sshd).await;
    let start = Instant::now();
    assert_eq!(output(&*machine, "sleep 30 & echo started").await, "started\n");
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn output_of_any_size_and_kind_arrives_whole() {
    let sshd = Sshd::start();
    let (_build, machine) = machine(&sshd).await;
    let mut count = Count::default();
    let both = "head -c 50000000 /dev/zero & head -c 20000000 /dev/urandom >&2; wait";
    let exit = soon(machine.run(both.into(), &mut count)).await.unwrap();
    assert_eq!(exit, Exit::Status(0));
    assert_eq!((count.stdout, count.stderr), (50_000_000, 20_000_000));
}

#[tokio::test]
async fn hostile_output_neither_breaks_the_log_nor_stalls_the_build() {
    let sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    let hostile = r"printf '\033]0;owned\007\033[2J\033[31mred\r\377\376\000nul\n';
        head -c 10000000 /dev/zero | tr '\0' 'x'; printf '\nlast line\n'";
    let exit = soon(machine.run_shown(hostile, &build.cx.ui)).await.unwrap();
    assert_eq!(exit, Exit::Status(0));
    let said = build.said(|message| match message {
        Message::Output { text, .. } => Some(text.clone()),
        _ => None,
    });
    let said = said.await.join("\n");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.iter().all(|line| !line.contains(|c: char| c.is_control())), "{:?}", lines[0]);
    assert!(lines[0].contains("nul"), "{:?}", lines[0]);
    assert_eq!(lines.last(), Some(&"last line"));
}

#[tokio::test]
async fn a_command_gets_a_terminal_if_the_template_asks() {
    let sshd = Sshd::start();
    let with = SshOptions { ssh_pty: true, ..options(&sshd) };
    let machine = soon(Build::new().connect(&with)).await.unwrap();
    let seen = output(&*machine, "test -t 1 && echo $TERM && stty size && stty -a").await;
    assert!(seen.starts_with("xterm\r\n40 80\r\n"), "{seen}");
    assert!(seen.contains("-echo "), "{seen}");
}

#[tokio::test]
async fn tunnels_lead_both_ways() {
    let sshd = Sshd::start();
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = target.accept().await {
            tokio::spawn(async move {
                let mut line = [0; 4];
                stream.read_exact(&mut line).await.unwrap();
                stream.write_all(&line.map(|b| b.to_ascii_uppercase())).await.unwrap();
            });
        }
    });
    let (local, remote) = (free_port(), free_port());
    let with = SshOptions {
        ssh_local_tunnels: vec![format!("{local}:127.0.0.1:{port}")],
        ssh_remote_tunnels: vec![format!("{remote}:127.0.0.1:{port}")],
        ..options(&sshd)
    };
    let _machine = soon(Build::new().connect(&with)).await.unwrap();
    for tunnel in [local, remote] {
        let mut stream = soon(TcpStream::connect(("127.0.0.1", tunnel))).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"PING");
    }
}

#[tokio::test]
async fn the_given_algorithms_are_used() {
    let sshd = Sshd::start_with("LogLevel DEBUG1");
    let with = SshOptions {
        ssh_ciphers: vec!["aes192-ctr".into()],
        ssh_key_exchange_algorithms: vec!["ecdh-sha2-nistp384".into()],
        ..options(&sshd)
    };
    let machine = soon(Build::new().connect(&with)).await.unwrap();
    assert_eq!(output(&*machine, "echo in").await, "in\n");
    let log = sshd.log();
    assert!(log.contains("aes192-ctr") && log.contains("ecdh-sha2-nistp384"), "{log}");
}

#[tokio::test]
async fn after_close_every_call_fails() {
    let sshd = Sshd::start();
    let (_build, machine) = machine(&sshd).await;
    machine.close().await;
    assert!(machine.run_captured("true").await.is_err());
}
