//! Getting to a machine and being let in.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use imgbake::communicator::{Connector as _, HostKey, KeyType, Pause, SshOptions, TemporaryKey};
use imgbake::config::GoDuration;

use super::{Build, machine, options, output, soon, target};
use crate::support::{Sshd, free_port, generate_key};

/// The longest that a test's thread was busy with something else, in milliseconds.
static PAUSE: AtomicU64 = AtomicU64::new(0);

fn ssh_keygen(arguments: &[&str], file: &Path) {
    let status = Command::new("ssh-keygen").args(arguments).arg(file).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

/// An agent that holds one key, and nothing else.
struct Agent {
    child: std::process::Child,
    dir: tempfile::TempDir,
}

impl Agent {
    fn with(key: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !socket.exists() {
            crate::support::pause(10);
        }
        let added =
            Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
        Self { child, dir }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("agent")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn every_kind_and_form_of_key_is_let_in() {
    let sshd = Sshd::start();
    for (kind, form) in [
        ("ed25519", "RFC4716"),
        ("rsa", "RFC4716"),
        ("rsa", "PEM"),
        ("rsa", "PKCS8"),
        ("ecdsa", "RFC4716"),
        ("ecdsa", "PEM"),
        ("ecdsa", "PKCS8"),
    ] {
        let key = sshd.dir().join(format!("{kind}-{form}"));
        fs::copy(sshd.key(kind), &key).unwrap();
        ssh_keygen(&["-p", "-q", "-N", "", "-m", form, "-f"], &key);
        let options = SshOptions { ssh_private_key_file: Some(key), ..options(&sshd) };
        let machine = soon(Build::new().connect(&options)).await;
        let machine = machine.unwrap_or_else(|error| panic!("{kind} {form}: {error:#}"));
        assert_eq!(output(&*machine, "echo in").await, "in\n");
    }
}

#[tokio::test]
async fn rsa_signs_with_sha1_only_where_the_server_takes_nothing_better() {
    let old = Sshd::start_with("PubkeyAcceptedAlgorithms ssh-rsa");
    let with_rsa =
        |sshd: &Sshd| SshOptions { ssh_private_key_file: Some(sshd.key("rsa")), ..options(sshd) };
    soon(Build::new().connect(&with_rsa(&old))).await.unwrap();
    let new = Sshd::start_with("LogLevel DEBUG2");
    soon(Build::new().connect(&with_rsa(&new))).await.unwrap();
    assert!(new.log().contains("rsa-sha2-512"), "{}", new.log());
}

#[tokio::test]
async fn a_temporary_key_is_let_in() {
    let sshd = Sshd::start();
    for (kind, bits) in
        [(KeyType::Ed25519, None), (KeyType::Ecdsa, Some(384)), (KeyType::Rsa, Some(2048))]
    {
        let key = TemporaryKey::generate(kind, bits, "packer_test").unwrap();
        fs::write(sshd.authorized_keys(), format!("{}\n", key.public_openssh())).unwrap();
        let options = SshOptions { ssh_private_key_file: None, ..options(&sshd) };
        assert!(options.temporary_key().is_some());
        let mut target = target(HostKey::FirstUse);
        target.key = Some(Arc::new(key));
        let machine =
            soon(options.connect(&Build::new().cx, target, Pause::default())).await.unwrap();
        assert_eq!(output(&*machine, "echo in").await, "in\n");
    }
}

#[tokio::test]
async fn a_certificate_is_let_in_where_the_key_alone_is_not() {
    let files = tempfile::tempdir().unwrap();
    let (authority, key) = (files.path().join("ca"), files.path().join("user"));
    generate_key("ed25519", &authority);
    generate_key("ed25519", &key);
    let sshd = Sshd::start_with(&format!("TrustedUserCAKeys {}.pub", authority.display()));
    let signing = ["-q", "-s", authority.to_str().unwrap(), "-I", "test", "-n", &sshd.user];
    ssh_keygen(&signing, &files.path().join("user.pub"));
    let without = SshOptions { ssh_private_key_file: Some(key), ..options(&sshd) };
    let refused = soon(Build::new().connect(&without)).await.err().unwrap();
    assert!(format!("{refused:#}").contains("refused"), "{refused:#}");
    let certificate = Some(files.path().join("user-cert.pub"));
    let with = SshOptions { ssh_certificate_file: certificate, ..without };
    soon(Build::new().connect(&with)).await.unwrap();
}

#[tokio::test]
async fn the_agent_logs_in_and_is_forwarded_only_where_the_template_says_so() {
    let sshd = Sshd::start();
    let agent = Agent::with(&sshd.key("rsa"));
    let build = Build::with(&[("SSH_AUTH_SOCK", &agent.socket())]);
    let own = SshOptions { ssh_agent_auth: true, ssh_private_key_file: None, ..options(&sshd) };
    let unasked = SshOptions { ssh_agent_auth: false, ..own.clone() };
    let disabled = SshOptions { ssh_disable_agent_forwarding: Some(true), ..own.clone() };
    for options in [&own, &unasked, &disabled] {
        let machine = soon(build.connect(options)).await.unwrap();
        assert_eq!(output(&*machine, "echo \"$SSH_AUTH_SOCK\"").await, "\n", "{options:?}");
    }
    let asked = SshOptions { ssh_disable_agent_forwarding: Some(false), ..own };
    let machine = soon(build.connect(&asked)).await.unwrap();
    assert!(output(&*machine, "ssh-add -l").await.contains("RSA"));
}

#[tokio::test]
async fn old_algorithms_are_agreed_on_last_and_said_once() {
    let old = [
        ("MACs hmac-sha1", "hmac-sha1"),
        ("MACs hmac-sha1-etm@openssh.com", "hmac-sha1-etm@openssh.com"),
        ("KexAlgorithms diffie-hellman-group14-sha1", "diffie-hellman-group14-sha1"),
        ("KexAlgorithms diffie-hellman-group1-sha1", "diffie-hellman-group1-sha1"),
        ("KexAlgorithms diffie-hellman-group-exchange-sha1", "diffie-hellman-group-exchange-sha1"),
        ("Ciphers aes256-cbc", "aes256-cbc"),
        ("HostKeyAlgorithms ssh-rsa", "ssh-rsa with SHA-1"),
    ];
    for (config, name) in old {
        // A cipher that authenticates itself would need no MAC.
        let ciphers = if config.starts_with("MACs") { "Ciphers aes128-ctr" } else { "" };
        let sshd = Sshd::start_with(&format!("{config}\n{ciphers}"));
        let (build, machine) = machine(&sshd).await;
        assert_eq!(output(&*machine, "echo in").await, "in\n");
        let said = build.sentences().await;
        let notes = said.matches("knows only old algorithms, which may be broken: ").count();
        assert!(notes == 1 && said.contains(&format!("broken: {name}.")), "{config}: {said}");
    }
    // Where a server has better ones beside them, those are agreed on.
    let sshd = Sshd::start_with(
        "MACs hmac-sha1,hmac-sha2-256\nCiphers aes128-cbc,aes128-ctr\n\
         KexAlgorithms diffie-hellman-group14-sha1,diffie-hellman-group14-sha256",
    );
    let (build, _machine) = machine(&sshd).await;
    assert!(!build.sentences().await.contains("old algorithms"));
}

#[tokio::test]
async fn a_key_exchange_that_computes_holds_up_nobody_else() {
    let sshd = Sshd::start_with("KexAlgorithms diffie-hellman-group18-sha512");
    let build = Build::new();
    let options = options(&sshd);
    let started = Instant::now();
    let login = async { soon(build.connect(&options)).await.unwrap() };
    let longest_pause = async {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
            if last.duration_since(started) > Duration::from_secs(60) {
                break longest;
            }
            PAUSE.store(u64::try_from(longest.as_millis()).unwrap(), Ordering::Relaxed);
        }
    };
    tokio::select! { _ = login => {}, _ = longest_pause => panic!("no login within a minute") }
    let (took, pause) = (started.elapsed(), PAUSE.load(Ordering::Relaxed));
    // Two long computations make most of it; this thread did neither.
    assert!(u128::from(pause) * 4 < took.as_millis(), "{pause} ms of {took:?}");
}

#[tokio::test]
async fn what_the_server_says_is_shown() {
    let files = tempfile::tempdir().unwrap();
    let banner = files.path().join("banner");
    fs::write(&banner, "Authorised use only\n\x1b[31mReally\n").unwrap();
    let sshd = Sshd::start_with(&format!("Banner {}\nMaxAuthTries 1", banner.display()));
    let (build, _machine) = machine(&sshd).await;
    let said = build.sentences().await;
    assert!(said.contains("127.0.0.1 says: Authorised use only\nReally"), "{said}");
    fs::write(sshd.authorized_keys(), "").unwrap();
    let refused = soon(Build::new().connect(&options(&sshd))).await.err().unwrap();
    let text = format!("{refused:#}");
    assert!(text.contains("the server says: Too many authentication failures"), "{text}");
}

#[tokio::test]
async fn what_a_server_says_instead_of_a_greeting_is_shown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ =
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"Not allowed at this time\r\n")
                    .await;
        }
    });
    let options = SshOptions {
        ssh_port: port,
        ssh_username: "root".into(),
        ssh_timeout: GoDuration::from_secs(2),
        ..SshOptions::default()
    };
    let text = format!("{:#}", soon(Build::new().connect(&options)).await.err().unwrap());
    assert!(text.contains("it says: Not allowed at this time"), "{text}");
}

#[tokio::test]
async fn a_server_that_takes_no_way_to_log_in_that_we_have_is_not_waited_for() {
    let sshd = Sshd::start_with("PasswordAuthentication no\nKbdInteractiveAuthentication no");
    let options = SshOptions {
        ssh_private_key_file: None,
        ssh_password: Some(imgbake::secret::Secret::new("secret".to_owned())),
        ssh_timeout: GoDuration::from_secs(300),
        ssh_handshake_attempts: 0,
        ..options(&sshd)
    };
    let started = Instant::now();
    let refused = soon(Build::new().connect(&options)).await.err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(format!("{refused:#}").contains("the server offers only publickey"), "{refused:#}");
    // One that boots may accept it later.
    let waiting = SshOptions { ssh_timeout: GoDuration::from_secs(3), ..options };
    let booting = imgbake::communicator::Target { boots: true, ..target(HostKey::FirstUse) };
    let refused =
        soon(waiting.connect(&Build::new().cx, booting, Pause::default())).await.err().unwrap();
    assert!(format!("{refused:#}").contains("timeout waiting for SSH after 3s"), "{refused:#}");
}

#[tokio::test]
async fn a_refusal_says_what_was_tried_and_what_to_do() {
    let sshd = Sshd::start();
    fs::write(sshd.authorized_keys(), "").unwrap();
    let refused = soon(Build::new().connect(&options(&sshd))).await.err().unwrap();
    let text = format!("{refused:#}");
    for part in [
        &format!("cannot connect to {}@127.0.0.1:{} over SSH", sshd.user, sshd.port),
        "key file",
        "ssh-ed25519 SHA256:",
        "refused",
        "check `ssh_username`",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn refusals_are_tried_again_as_often_as_the_template_says() {
    let sshd = Sshd::start();
    let keys = fs::read(sshd.authorized_keys()).unwrap();
    fs::write(sshd.authorized_keys(), "").unwrap();
    let options = SshOptions { ssh_handshake_attempts: 3, ..options(&sshd) };
    let build = Build::new();
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::write(sshd.authorized_keys(), keys).unwrap();
    };
    let (machine, ()) = tokio::join!(soon(build.connect(&options)), late);
    machine.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_made_again_but_not_to_another_machine() {
    let mut sshd = Sshd::start();
    let (build, machine) = machine(&sshd).await;
    assert!(build.sentences().await.contains("Host key trusted on first use: ssh-ed25519 SHA256:"));
    let _ = soon(machine.run_captured("kill -9 $PPID")).await;
    assert_eq!(output(&*machine, "echo again").await, "again\n");
    let port = sshd.port;
    let user_key = fs::read(sshd.key("ed25519")).unwrap();
    let _ = soon(machine.run_captured("kill -9 $PPID")).await;
    drop(sshd);
    sshd = Sshd::start_on(port);
    let public = {
        fs::write(sshd.dir().join("old"), user_key).unwrap();
        fs::set_permissions(
            sshd.dir().join("old"),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        let output = Command::new("ssh-keygen").arg("-yf").arg(sshd.dir().join("old")).output();
        output.unwrap().stdout
    };
    fs::write(sshd.authorized_keys(), public).unwrap();
    let refused = soon(machine.run_captured("true")).await.err().unwrap();
    assert!(format!("{refused:#}").contains("seen before in this build"), "{refused:#}");
}

#[tokio::test]
async fn the_way_may_lead_through_a_bastion() {
    let (sshd, bastion) = (Sshd::start(), Sshd::start());
    let through = SshOptions {
        ssh_bastion_host: "127.0.0.1".into(),
        ssh_bastion_port: bastion.port,
        ssh_bastion_username: bastion.user.clone(),
        ssh_bastion_private_key_file: Some(bastion.key("ecdsa")),
        ..options(&sshd)
    };
    let machine = soon(Build::new().connect(&through)).await.unwrap();
    let from = output(&*machine, "echo $SSH_CONNECTION").await;
    assert!(from.trim().ends_with(&sshd.port.to_string()), "{from}");
    assert!(bastion.log().contains("Accepted publickey"), "{}", bastion.log());
    // The machine's own key is not the bastion's.
    let wrong = SshOptions { ssh_bastion_private_key_file: None, ..through };
    let refused = soon(Build::new().connect(&wrong)).await.err().unwrap();
    assert!(format!("{refused:#}").contains("the bastion"), "{refused:#}");
}

#[tokio::test]
async fn the_way_may_lead_through_a_socks_proxy() {
    let (sshd, gateway) = (Sshd::start(), Sshd::start());
    let port = free_port();
    let mut proxy = Command::new("ssh")
        .args(["-F", "none", "-N", "-D", &format!("127.0.0.1:{port}")])
        .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .arg("-i")
        .arg(gateway.key("ed25519"))
        .args(["-p", &gateway.port.to_string(), &format!("{}@127.0.0.1", gateway.user)])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let through =
        SshOptions { ssh_proxy_host: "127.0.0.1".into(), ssh_proxy_port: port, ..options(&sshd) };
    let connected = soon(Build::new().connect(&through)).await;
    let name = soon(async { output(&*connected.unwrap(), "echo in").await }).await;
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    assert_eq!(name, "in\n");
}

#[tokio::test]
async fn a_server_that_starts_late_is_reached_at_once() {
    let port = free_port();
    let connecting = tokio::spawn(async move {
        let options = SshOptions {
            ssh_port: port,
            ssh_username: "nobody-knows".into(),
            ssh_password: None,
            ssh_handshake_attempts: 1,
            ..SshOptions::default()
        };
        // Being refused is an answer, too.
        let refused = soon(Build::new().connect(&options)).await;
        (Instant::now(), format!("{:#}", refused.err().unwrap()))
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_sshd, started) = tokio::task::spawn_blocking(move || {
        let sshd = Sshd::start_on(port);
        (sshd, Instant::now())
    })
    .await
    .unwrap();
    let (answered, text) = connecting.await.unwrap();
    assert!(text.contains("not let in"), "{text}");
    // 300 ms are promised; a debug build on a busy host takes longer for its arithmetic.
    let took = answered.saturating_duration_since(started);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn waiting_ends_with_the_timeout_and_with_an_interruption() {
    let options = SshOptions {
        ssh_port: free_port(),
        ssh_username: "root".into(),
        ssh_timeout: GoDuration::from_secs(1),
        ..SshOptions::default()
    };
    let error = soon(Build::new().connect(&options)).await.err().unwrap();
    let text = format!("{error:#}");
    assert!(text.contains("timeout waiting for SSH after 1s"), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    let forever = SshOptions { ssh_timeout: GoDuration::from_secs(600), ..options };
    let build = Build::new();
    let cancel = build.cx.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel();
    });
    let error = soon(build.connect(&forever)).await.err().unwrap();
    assert!(error.is::<imgbake::retry::Cancelled>(), "{error:#}");
}
