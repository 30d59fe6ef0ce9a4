//! SSH through AWS Systems Manager: the program's own side of the protocol against a service and an
//! agent of ours, in front of OpenSSH's own server.

pub mod agent;
pub mod service;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgbake::aws::access::Access;
use imgbake::aws::account::{Account, Patience};
use imgbake::aws::ssm::{PATIENCE, Plan, Tunnel};
use imgbake::communicator::{Connector as _, HostKey, Pause, SshOptions, Target};
use imgbake::component::{BuildContext, Communicator, Exit, Upload};
use imgbake::config::GoDuration;
use imgbake::env::Environment;
use imgbake::event::Ui;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use self::agent::Script;
use self::service::{Manner, Service};
use crate::support::{ACCESS_KEY, SECRET_KEY, Sshd, build_context};

/// A machine behind the service, and a way to it.
struct Bench {
    service: Service,
    sshd: Sshd,
    tunnel: Tunnel,
    cx: BuildContext,
}

impl Bench {
    async fn new(manner: impl Into<Manner>) -> Self {
        Self::with(manner, PATIENCE).await
    }

    /// Whose agent may be silent so long.
    async fn with(manner: impl Into<Manner>, patience: Duration) -> Self {
        let sshd = Sshd::start();
        let service = Service::start("http://127.0.0.1:9".to_owned(), sshd.port, manner).await;
        let cx = context(&service);
        let environment = &cx.facts.scope.environment;
        let access = Access { max_retries: 2, ..Access::default() };
        let account =
            Account::open(&access, environment, &cx.redactor, Patience::Long).await.unwrap();
        let tunnel = Tunnel::new(Plan {
            account,
            instance: "i-0123456789abcdef0".to_owned(),
            port: 22,
            patience,
            reason: "a test".to_owned(),
            journal: cx.journal.clone(),
            build: "test".to_owned(),
            redactor: cx.redactor.clone(),
            ui: cx.ui.clone(),
        });
        Self { service, sshd, tunnel, cx }
    }

    fn options(&self) -> SshOptions {
        SshOptions {
            ssh_username: self.sshd.user.clone(),
            ssh_private_key_file: Some(self.sshd.key("ed25519")),
            ssh_timeout: GoDuration::from_secs(60),
            ssh_handshake_attempts: 3,
            ..SshOptions::default()
        }
    }

    async fn connect_with(&self, options: &SshOptions) -> anyhow::Result<Arc<dyn Communicator>> {
        self.connect_after(Pause::default(), options).await
    }

    async fn connect_after(
        &self,
        pause: Pause,
        options: &SshOptions,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        let target = Target {
            host: "localhost".into(),
            port: None,
            key: None,
            host_key: HostKey::FirstUse,
            way: Some(Arc::new(self.tunnel.clone())),
            boots: true,
        };
        options.connect(&self.cx, target, pause).await
    }

    async fn connect(&self) -> Arc<dyn Communicator> {
        self.connect_with(&self.options()).await.unwrap()
    }

    /// Uploads random bytes and downloads them again: how long each takes.
    async fn transfer(&self, machine: &dyn Communicator, size: usize) -> (Duration, Duration) {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> =
            (0..size.div_ceil(16)).flat_map(|_| *uuid::Uuid::new_v4().as_bytes()).collect();
        let (here, there, back) = ("here", "there", "back").map_paths(dir.path());
        std::fs::write(&here, &bytes).unwrap();
        let to = there.to_str().unwrap();
        let began = Instant::now();
        machine.upload(Upload::File(&here), to, &self.cx.ui).await.unwrap();
        let up = began.elapsed();
        assert!(std::fs::read(&there).unwrap() == bytes, "what was uploaded is what was sent");
        let began = Instant::now();
        machine.download(to, &back, &self.cx.ui).await.unwrap();
        assert!(std::fs::read(&back).unwrap() == bytes, "what was downloaded is what was sent");
        (up, began.elapsed())
    }

    /// Ends all sessions, as the build's step does.
    async fn close(&self) {
        for session in self.tunnel.close().await {
            let ssm = self.account().await.ssm(&CancellationToken::new());
            imgbake::aws::ssm::session::terminate(&ssm, session.id().unwrap()).await.unwrap();
        }
    }

    async fn account(&self) -> imgbake::aws::account::Handle {
        let environment = &self.cx.facts.scope.environment;
        Account::open(&Access::default(), environment, &self.cx.redactor, Patience::Long)
            .await
            .unwrap()
    }
}

trait MapPaths {
    fn map_paths(self, dir: &Path) -> (std::path::PathBuf, std::path::PathBuf, std::path::PathBuf);
}

impl MapPaths for (&str, &str, &str) {
    fn map_paths(self, dir: &Path) -> (std::path::PathBuf, std::path::PathBuf, std::path::PathBuf) {
        (dir.join(self.0), dir.join(self.1), dir.join(self.2))
    }
}

/// A build that calls `service`.
fn context(service: &Service) -> BuildContext {
    let vars = BTreeMap::from([
        ("AWS_ENDPOINT_URL".to_owned(), service.endpoint()),
        ("AWS_ACCESS_KEY_ID".to_owned(), ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET_KEY.to_owned()),
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
    ]);
    let environment = Environment::new(vars, "/".into(), jiff::Timestamp::now());
    let (ui, mut events) = Ui::new();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    build_context("amazon-ebs", environment, ui.for_target("test"))
}

async fn says(machine: &dyn Communicator, command: &str) -> String {
    let (exit, printed) = machine.run_captured(command).await.unwrap();
    assert_eq!(exit, Exit::Status(0), "{command}");
    String::from_utf8(printed.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_files_go_through_one_session() {
    let bench = Bench::new(Script::default()).await;
    let machine = bench.connect().await;
    assert_eq!(says(&*machine, "echo through the tunnel").await, "through the tunnel");
    bench.transfer(&*machine, 200_000).await;
    let asked = bench.service.calls("StartSession");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["Target"], "i-0123456789abcdef0");
    assert_eq!(asked[0]["DocumentName"], "AWS-StartPortForwardingSession");
    assert_eq!(asked[0]["Parameters"]["portNumber"], serde_json::json!(["22"]));
    assert_eq!(bench.service.active(), 1);
    bench.close().await;
    assert_eq!((bench.service.active(), bench.service.count("TerminateSession")), (0, 1));
    let ended = machine.run_captured("true").await;
    assert!(ended.is_err(), "a closed tunnel is not opened again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_doubled_overtaken_or_late_on_the_way_arrives_in_order_and_once() {
    let troubles = [
        Script { loses: Some(23), ..Script::default() },
        Script { repeats: Some(3), overtakes: Some(5), ..Script::default() },
        Script { late: Duration::from_millis(60), ..Script::default() },
        Script {
            loses: Some(41),
            repeats: Some(7),
            overtakes: Some(11),
            late: Duration::from_millis(20),
            ..Script::default()
        },
    ];
    for script in troubles {
        let bench = Bench::new(script.clone()).await;
        let machine = bench.connect().await;
        bench.transfer(&*machine, 60_000).await;
        assert_eq!(bench.service.seen().connections, 1, "{script:?}");
        assert_eq!(bench.service.count("ResumeSession"), 0, "{script:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_its_websockets_and_nobody_notices() {
    let bench = Bench::new(Script { drops: Some(60), ..Script::default() }).await;
    let machine = bench.connect().await;
    bench.transfer(&*machine, 200_000).await;
    assert_eq!(says(&*machine, "echo still the same").await, "still the same");
    let resumed = bench.service.count("ResumeSession");
    assert!(resumed >= 4, "it was resumed {resumed} times");
    assert_eq!(bench.service.count("StartSession"), 1);
    assert_eq!(bench.service.seen().connections, 1, "SSH has connected once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_agent_has_a_session_for_each_connection() {
    let bench = Bench::new(Script { version: "2.3.1509.0", ..Script::default() }).await;
    let pause = GoDuration::parse("100ms").unwrap();
    let machine = bench.connect_after(Pause(pause), &bench.options()).await.unwrap();
    bench.transfer(&*machine, 50_000).await;
    assert_eq!(bench.service.count("StartSession"), 2, "before the pause and after it");
    bench.close().await;
    assert_eq!(bench.service.active(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_and_the_port_may_take_their_time() {
    let script = Script { refusals: 3, ..Script::default() };
    let bench = Bench::new(Manner { script, absences: 3, ..Manner::default() }).await;
    let machine = bench.connect().await;
    assert_eq!(says(&*machine, "echo at last").await, "at last");
    assert_eq!(bench.service.count("StartSession"), 4, "three times nobody was there");
    assert!(bench.service.seen().connections > 3, "the same session was asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_agents_port_may_take_its_time_too() {
    let script = Script { version: "2.3.1509.0", refusals: 2, ..Script::default() };
    let bench = Bench::new(script).await;
    let machine = bench.connect().await;
    assert_eq!(says(&*machine, "echo at last").await, "at last");
    bench.close().await;
    assert_eq!(bench.service.active(), 0);
}

/// What is said of a connection that does not come.
async fn refused(manner: impl Into<Manner>, seconds: i64) -> (String, Duration, Bench) {
    let bench = Bench::new(manner).await;
    let options = SshOptions { ssh_timeout: GoDuration::from_secs(seconds), ..bench.options() };
    let began = Instant::now();
    let error = match bench.connect_with(&options).await {
        Ok(_) => panic!("it works"),
        Err(error) => format!("{error:#}"),
    };
    (error, began.elapsed(), bench)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_comes_is_waited_for_as_long_as_for_ssh() {
    let manner = Manner { absences: usize::MAX, ..Manner::default() };
    let (error, took, bench) = refused(manner, 2).await;
    assert!(error.contains("timeout waiting for SSH after 2s; the last attempt"), "{error}");
    assert!(error.contains("i-0123456789abcdef0 is not connected"), "{error}");
    assert!(error.contains("AmazonSSMManagedInstanceCore"), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(bench.tunnel.sessions().len(), 1, "one is written down");
    assert_eq!(bench.tunnel.close().await.len(), 0, "but it is known that there is none");
    let tries = bench.service.count("StartSession");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.service.count("StartSession"), tries, "nobody asks any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_does_not_change_is_said_at_once() {
    let denied =
        Manner { refusals: vec![("StartSession", "AccessDeniedException")], ..Manner::default() };
    let (error, took, _) = refused(denied, 60).await;
    for part in ["no way to i-0123456789abcdef0", "StartSession failed", "allow this call"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (error, took, bench) = refused(Script { encrypts: true, ..Script::default() }, 60).await;
    assert!(error.contains("encrypted with a KMS key are not built yet"), "{error}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    bench.close().await;
    assert_eq!(bench.service.active(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_is_replaced_by_the_next_command() {
    let closes = Some((60, "the session's time is up"));
    let bench = Bench::new(Script { closes, ..Script::default() }).await;
    let machine = bench.connect().await;
    let (exit, _) = machine.run_captured("head -c 100000 /dev/zero; sleep 20").await.unwrap();
    assert_eq!(exit, Exit::Disconnected);
    assert_eq!(says(&*machine, "echo again").await, "again");
    assert_eq!(bench.service.count("StartSession"), 2);
    assert_eq!(bench.service.active(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_may_not_be_resumed_is_replaced_too() {
    let script = Script { drops: Some(60), ..Script::default() };
    let refusals = vec![("ResumeSession", "AccessDeniedException")];
    let bench = Bench::new(Manner { script, refusals, ..Manner::default() }).await;
    let machine = bench.connect().await;
    let (exit, _) = machine.run_captured("head -c 100000 /dev/zero; sleep 20").await.unwrap();
    assert_eq!(exit, Exit::Disconnected);
    assert_eq!(says(&*machine, "echo again").await, "again");
    assert_eq!(bench.service.count("StartSession"), 2);
    bench.close().await;
    assert_eq!(bench.service.active(), 0, "the first was ended, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_has_rebooted_is_connected_to_anew() {
    let script = Script { dies: Some(60), ..Script::default() };
    let bench = Bench::with(script, Duration::from_secs(2)).await;
    let machine = bench.connect().await;
    let (exit, _) = machine.run_captured("head -c 100000 /dev/zero; sleep 20").await.unwrap();
    assert_eq!(exit, Exit::Disconnected);
    assert_eq!(says(&*machine, "echo up again").await, "up again");
    assert_eq!(bench.service.count("ResumeSession"), 1, "it may have been the WebSocket");
    assert_eq!(bench.service.count("StartSession"), 2);
    bench.close().await;
    assert_eq!(bench.service.active(), 0, "the first was ended, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_listen_is_not_talked_to() {
    let pauses = Some((100, Duration::from_millis(1500)));
    let bench = Bench::new(Script { pauses, ..Script::default() }).await;
    let machine = bench.connect().await;
    let (up, _) = bench.transfer(&*machine, 1_000_000).await;
    assert!(up > Duration::from_millis(1500), "{up:?}");
    let seen = bench.service.seen();
    assert_eq!(seen.while_paused, 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_a_thousand_messages_a_second_are_sent() {
    let bench = Bench::new(Script::default()).await;
    let machine = bench.connect().await;
    let size = 4 << 20;
    let (up, down) = bench.transfer(&*machine, size).await;
    let rate = |took: Duration| size as f64 / took.as_secs_f64() / 1e6;
    println!("through Systems Manager: up {:.2} MB/s, down {:.2} MB/s", rate(up), rate(down));
    let seen = bench.service.seen();
    println!("{seen:?}");
    assert!(seen.busiest <= 1_100, "a burst and 900 more: {seen:?}");
    assert!(rate(up) > 0.7, "{up:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_reader_holds_the_sender_back_and_nothing_is_lost() {
    let bench = Bench::new(Script::default()).await;
    bench.tunnel.open().await.unwrap();
    // SSH servers say a line, and wait.
    let mut slow = bench.tunnel.dial().await.unwrap();
    let mut other = bench.tunnel.dial().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    for stream in [&mut slow, &mut other] {
        let mut greeting = [0; 7];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-2.0");
    }
    drop(slow);
    let mut rest = vec![0; 10];
    assert!(other.read(&mut rest).await.unwrap() > 0, "the end of one is not that of the other");
}
