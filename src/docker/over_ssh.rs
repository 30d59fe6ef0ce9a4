//! An engine on another machine, reached as Docker's own program reaches it: `ssh HOST docker system
//! dial-stdio`, once for each connection. The engine's client speaks with a socket of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use percent_encoding::percent_decode_str;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::env::Environment;
use crate::guest::shell::quote;
use crate::scratch::Scratch;
use crate::script::complaints::Complaints;

/// Where an engine is: `ssh://[USER@]HOST[:PORT][/SOCKET]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    user: String,
    host: String,
    port: Option<u16>,
    /// The engine's socket there, if it is not the usual one.
    socket: Option<String>,
}

impl Address {
    /// Reads `text`, as `DOCKER_HOST` has it.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let url = Url::parse(text).context("this is no address such as ssh://user@host")?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let user = percent_decode_str(url.username()).decode_utf8()?.into_owned();
        ensure!(url.password().is_none(), "`ssh` takes no password from an address: use a key");
        ensure!(
            url.query().is_none() && url.fragment().is_none(),
            "it says more than where that is"
        );
        let is_name = |name: &str| {
            let is_known = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
            !name.starts_with('-') && name.chars().all(is_known)
        };
        ensure!(!host.is_empty() && is_name(&host) && is_name(&user), "it names no machine");
        let socket = Some(url.path()).filter(|path| !["", "/"].contains(path)).map(str::to_owned);
        Ok(Self { user, host, port: url.port(), socket })
    }

    /// What connects to it.
    fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        // Nobody sees what `ssh` asks, and there may be many connections.
        command.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"]);
        if !self.user.is_empty() {
            command.args(["-l", &self.user]);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", &self.host, "docker"]);
        if let Some(socket) = &self.socket {
            command.arg("--host").arg(quote(&format!("unix://{socket}")).as_ref());
        }
        command.args(["system", "dial-stdio"]);
        command
    }
}

/// The socket of this machine that leads to the engine, as long as this lives.
#[derive(Debug)]
pub(super) struct Tunnel {
    socket: PathBuf,
    _dir: Scratch,
    words: Words,
    _listening: AbortOnDropHandle<()>,
}

/// What the last `ssh` that failed has complained of.
type Words = Arc<Mutex<String>>;

impl Tunnel {
    /// Opens the socket; nobody is connected to yet.
    pub(super) fn open(address: Address, environment: &Environment) -> anyhow::Result<Self> {
        let dir = Scratch::temporary("docker")?;
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket);
        let listener = listener.with_context(|| format!("cannot make {}", socket.display()))?;
        let words = Words::default();
        let vars = environment.vars().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let listening = listen(listener, (address, vars.collect()), words.clone());
        let listening = tokio::spawn(listening);
        Ok(Self { socket, _dir: dir, words, _listening: AbortOnDropHandle::new(listening) })
    }

    /// Where it is.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// `error`, with what `ssh` has said of it.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if words.is_empty() { error } else { error.context(format!("`ssh` says: {words}")) }
    }
}

/// Connects everybody who comes, until this is dropped.
async fn listen(
    listener: UnixListener,
    (address, vars): (Address, BTreeMap<String, String>),
    words: Words,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let mut command = address.command();
        // Nothing of the runner's or of ours is in it.
        command.env_clear().envs(&vars);
        connections.spawn(connect(client, command, words.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: UnixStream, mut command: Command, words: Words) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let tell = |said: String| {
        *words.lock().unwrap_or_else(PoisonError::into_inner) = said;
    };
    match command.process_group(0).kill_on_drop(true).spawn() {
        Ok(child) => {
            pass_on(client, child, tell).await;
        }
        Err(error) => tell(error.to_string()),
    }
}

/// Passes on what both sides say, until the engine has said all; tells what `ssh` complains of, if it fails.
async fn pass_on(client: UnixStream, mut child: Child, tell: impl Fn(String)) -> Option<()> {
    let (mut input, mut output) = (child.stdin.take()?, child.stdout.take()?);
    // Where connections are shared, the one that stays keeps its pipe open.
    let complaints = Complaints::of(child.stderr.take());
    let (mut from, mut to) = client.into_split();
    let up = async {
        let _ = tokio::io::copy(&mut from, &mut input).await;
        // The engine hears that nothing more will come.
        drop(input);
        std::future::pending::<()>().await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut output, &mut to).await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
    let status = child.wait().await.ok()?;
    if !status.success() {
        tell(complaints.last().await.replace('\n', " "));
    }
    // Who hears that it is over asks what was told.
    let _ = to.shutdown().await;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<String, String> {
        let address = Address::parse(text).map_err(|error| format!("{error:#}"))?;
        let command = address.command();
        let words = command.as_std().get_args().map(|word| word.to_string_lossy().into_owned());
        Ok(words.skip(5).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn an_address_becomes_what_dockers_own_program_runs() {
        for (text, line) in [
            ("ssh://far", "-- far docker system dial-stdio"),
            ("ssh://me@far:2222", "-l me -p 2222 -- far docker system dial-stdio"),
            ("ssh://far/run/a.sock", "-- far docker --host unix:///run/a.sock system dial-stdio"),
            ("ssh://j%2edoe@far", "-l j.doe -- far docker system dial-stdio"),
            ("ssh://[::1]", "-- ::1 docker system dial-stdio"),
        ] {
            assert_eq!(words(text).as_deref(), Ok(line), "{text}");
        }
        for (text, why) in [
            ("ssh://", "names no machine"),
            ("ssh://-oProxyCommand=x", "names no machine"),
            ("ssh://-l@far", "names no machine"),
            ("ssh://%2dl@far", "names no machine"),
            ("ssh://me:word@far", "takes no password"),
            ("ssh://far?x=1", "says more"),
        ] {
            let said = words(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
