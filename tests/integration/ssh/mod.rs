//! The SSH communicator against OpenSSH's own server.

#![expect(clippy::unwrap_used, reason = "a test panics")]

mod exec;
mod login;
mod login_shell;
mod password;
mod transfer;
mod transfer_fallback;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgbake::communicator::{Connector as _, HostKey, Pause, SshOptions, Target};
use imgbake::component::{BuildContext, Communicator};
use imgbake::config::GoDuration;
use imgbake::env::Environment;
use imgbake::event::{Message, Ui};

use crate::support::{Sshd, build_context};

/// A build that keeps what it says.
struct Build {
    cx: BuildContext,
    said: Arc<Mutex<Vec<Message>>>,
}

impl Build {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With these variables in its environment.
    fn with(vars: &[(&str, &Path)]) -> Self {
        let (ui, mut events) = Ui::new();
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = said.clone();
        tokio::spawn(async move {
            // Letting go of an event lets its guest go on.
            while let Some(event) = events.recv().await {
                kept.lock().unwrap().push(event.message);
            }
        });
        let vars: BTreeMap<String, String> = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.display().to_string()))
            .collect();
        let environment = Environment::new(vars, "/".into(), jiff::Timestamp::now());
        Self { cx: build_context("null", environment, ui), said }
    }

    async fn connect(&self, options: &SshOptions) -> anyhow::Result<Arc<dyn Communicator>> {
        options.connect(&self.cx, target(HostKey::FirstUse), Pause::default()).await
    }

    /// What was said so far, as far as `pick` wants it.
    async fn said<T>(&self, pick: impl Fn(&Message) -> Option<T>) -> Vec<T> {
        // The listener comes after everything that is ready now.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.said.lock().unwrap().iter().filter_map(pick).collect()
    }

    /// All sentences so far, a line each.
    async fn sentences(&self) -> String {
        let sentences = self.said(|message| match message {
            Message::Say(text) | Message::Error(text) => Some(text.clone()),
            _ => None,
        });
        sentences.await.join("\n")
    }
}

fn target(host_key: HostKey) -> Target {
    Target { host: "127.0.0.1".into(), port: None, key: None, host_key, way: None, boots: false }
}

/// How to reach `sshd`, with its Ed25519 key.
fn options(sshd: &Sshd) -> SshOptions {
    SshOptions {
        ssh_port: sshd.port,
        ssh_username: sshd.user.clone(),
        ssh_private_key_file: Some(sshd.key("ed25519")),
        ssh_timeout: GoDuration::from_secs(60),
        ssh_handshake_attempts: 1,
        ..SshOptions::default()
    }
}

/// A machine with the usual settings, and the connection to it.
async fn machine(sshd: &Sshd) -> (Build, Arc<dyn Communicator>) {
    let build = Build::new();
    let machine = build.connect(&options(sshd)).await.expect("a connection");
    (build, machine)
}

/// What `command` prints on its standard output; it must succeed.
async fn output(machine: &dyn Communicator, command: &str) -> String {
    let (exit, printed) = machine.run_captured(command).await.expect("a command that runs");
    let stderr = String::from_utf8_lossy(&printed.stderr);
    assert_eq!(exit.status(), 0, "{command}: {stderr}");
    String::from_utf8(printed.stdout).expect("UTF-8")
}

/// Fails instead of hanging.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("an end within a minute")
}
