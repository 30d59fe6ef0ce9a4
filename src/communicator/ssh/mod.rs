//! The machine's SSH server: waiting for it, running commands, moving files.
//!
//! | file | what is there |
//! |---|---|
//! | `options`, `check`, `settings` | what the template says, what can be wrong with it, and the server that it means |
//! | `server`, `dial`, `session`, `handler` | one server, the way to it, and what it says |
//! | `algorithm`, `host_key`, `auth` | whether it is the right one, and whether it lets us in |
//! | `command`, `line`, `windows`, `exec` | commands, and the shell that takes them |
//! | `transfer` | files and directories, both ways |
//! | `access`, `share`, `passage`, `tunnel` | other programs on our connection, and ports that lead through it |
//! | `words` | what is said of all that |

mod access;
mod algorithm;
mod auth;
mod check;
mod command;
mod dial;
mod exec;
mod handler;
mod host_key;
mod line;
mod options;
mod passage;
mod server;
mod session;
mod settings;
pub(super) mod share;
mod transfer;
mod tunnel;
mod windows;
mod words;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use russh::client::Msg;
use russh::{Channel, Disconnect};
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::server::{Connection, LoginError, Patience, Server};
use self::tunnel::Tunnel;
use crate::communicator::connector::no_login;
use crate::communicator::{Connector, FoundLogin, KeyRequest, Pause, Target, TemporaryKey, key};
use crate::component::{
    Access, BuildContext, Check, Command, Communicator, Component, Entrance, Exit, Incoming, Input,
    Upload,
};
use crate::event::Ui;
use crate::guest::GuestOutput;
use crate::guest::shell::{Cmd, LoginShell, Posix, Shell, in_quotes as quote};
use crate::interpolate::BuildData;
use crate::retry;
use crate::secret::Secret;

pub use self::options::{SshOptions, TransferMethod};

impl Component for SshOptions {
    const TYPE: &'static str = "ssh";
    const ABOUT: &'static str = "Connects to the SSH server of the machine.";
    type Options = (Self,);

    fn prepare((own,): Self::Options, _: &mut Check<'_>) -> Option<Self> {
        Some(own)
    }
}

#[async_trait]
impl Connector for SshOptions {
    fn check(&self, check: &mut Check<'_>) {
        self.check_all(check);
    }

    fn check_but_login(&self, check: &mut Check<'_>) {
        self.check_but_user(check);
    }

    fn check_machine_is_known(&self, check: &mut Check<'_>) {
        self.check_known(check);
    }

    fn port(&self) -> Option<u16> {
        Some(self.ssh_port)
    }

    fn host(&self) -> Option<(&'static str, &str)> {
        Some(("ssh_host", self.ssh_host.as_str())).filter(|(_, host)| !host.is_empty())
    }

    fn patience(&self) -> Option<Duration> {
        settings::patience(self).timeout
    }

    fn hosts_between(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("ssh_bastion_host", self.ssh_bastion_host.as_str()),
            ("ssh_proxy_host", self.ssh_proxy_host.as_str()),
        ];
        all.into_iter().filter(|(_, host)| !host.is_empty()).collect()
    }

    fn takes_way(&self) -> bool {
        true
    }

    fn checks_host_key(&self) -> bool {
        true
    }

    fn says_key(&self) -> bool {
        true
    }

    fn temporary_key(&self) -> Option<KeyRequest<'_>> {
        self.wanted_key()
    }

    fn private_key_file(&self) -> Option<&Path> {
        self.ssh_private_key_file.as_deref()
    }

    fn key_pair(&self) -> Option<&str> {
        Some(self.ssh_keypair_name.as_str()).filter(|name| !name.is_empty())
    }

    fn with_login(&self, login: FoundLogin) -> Option<Arc<dyn Connector>> {
        let mut own = self.clone();
        if own.ssh_timeout.is_zero() && own.ssh_wait_timeout.is_zero() {
            own.ssh_timeout = login.patience;
        }
        if own.ssh_username.is_empty() {
            (own.ssh_username, own.ssh_private_key_file) = (login.user, login.key_file);
        }
        Some(Arc::new(own))
    }

    async fn connect(
        &self,
        cx: &BuildContext,
        target: Target,
        pause: Pause,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        connect(self, cx, target, pause).await
    }

    fn user(&self) -> Option<&str> {
        Some(&self.ssh_username)
    }

    async fn forget_key(
        &self,
        cx: &BuildContext,
        communicator: &dyn Communicator,
        key: &TemporaryKey,
    ) -> anyhow::Result<()> {
        match self.ssh_clear_authorized_keys {
            true => key::forget(cx, communicator, key).await,
            false => Ok(()),
        }
    }

    async fn build_data(&self, target: &Target) -> BuildData {
        let private = match (&target.key, &self.ssh_private_key_file) {
            (Some(key), _) => key.private_openssh(),
            (None, Some(path)) => Secret::new(key::read(path).await.unwrap_or_default()),
            (None, None) => Secret::default(),
        };
        let public = match &target.key {
            Some(key) => key.public_openssh(),
            None => key::public_of(&private).unwrap_or_default(),
        };
        let password = self.ssh_password.as_ref().map_or("", Secret::expose);
        let (host, port) = self.address(target);
        let key_file = self.ssh_private_key_file.as_deref().unwrap_or(Path::new(""));
        let mut data = no_login(Self::TYPE);
        data.extend([
            ("Host".into(), host.into()),
            ("Port".into(), port.into()),
            ("User".into(), self.ssh_username.as_str().into()),
            ("Password".into(), password.into()),
            ("SSHPublicKey".into(), public.into()),
            ("SSHPrivateKey".into(), private.expose().into()),
            ("SSHPrivateKeyFile".into(), key_file.to_string_lossy().into()),
            ("SSHAgentAuth".into(), self.ssh_agent_auth.into()),
        ]);
        data
    }
}

/// Waits until the machine lets us in.
async fn connect(
    options: &SshOptions,
    cx: &BuildContext,
    target: Target,
    pause: Pause,
) -> anyhow::Result<Arc<dyn Communicator>> {
    let server = settings::server(options, cx, &target).await?;
    let address = server.address();
    let ssh = Arc::new_cyclic(|me| Ssh {
        me: me.clone(),
        server,
        patience: settings::patience(options),
        pty: options.ssh_pty,
        method: options.ssh_file_transfer_method,
        link: Mutex::new(Link::Down),
        closed: CancellationToken::new(),
        probed_shell: OnceCell::new(),
        windows_shell: OnceCell::new(),
        tunnels: OnceLock::new(),
        ends: TaskTracker::new(),
    });
    cx.ui.say(format!("Using SSH communicator to connect: {}", ssh.server.host));
    ssh.wait(cx).await?;
    if !pause.is_zero() {
        ssh.hang_up().await;
        pause.wait(cx).await?;
        ssh.wait(cx).await?;
    }
    let mut tunnels = Vec::new();
    for text in &options.ssh_local_tunnels {
        let tunnel = Tunnel::parse(text).map_err(anyhow::Error::msg)?;
        tunnels.push(tunnel::open_local(&ssh, tunnel).await?);
    }
    let _ = ssh.tunnels.set(tunnels);
    tracing::info!("connected to {address}");
    Ok(ssh)
}

/// A machine that let us in.
struct Ssh {
    /// This machine, for what leads other programs to it.
    me: Weak<Ssh>,
    server: Server,
    patience: Patience,
    pty: bool,
    method: TransferMethod,
    link: Mutex<Link>,
    /// Fires when we end the connection for good.
    closed: CancellationToken,
    /// What the machine's shell can do for transfers; found out when first needed.
    probed_shell: OnceCell<transfer::Probed>,
    /// What reads our lines, where the machine is one of Windows; found out when first needed.
    windows_shell: OnceCell<LoginShell>,
    tunnels: OnceLock<Vec<AbortOnDropHandle<()>>>,
    /// What is being taken back on the machine, though nobody waits for it.
    ends: TaskTracker,
}

/// The connection that new sessions are opened on.
enum Link {
    /// None yet, or it was lost: the next session makes a new one.
    Down,
    Up(Arc<Connection>),
}

/// How long a good-bye may take. Where the machine has stopped to read, nobody ever takes it.
const GOODBYE: Duration = Duration::from_secs(2);

impl Ssh {
    /// Whether the machine said that it is a Windows one.
    fn is_windows(&self) -> bool {
        self.server.is_windows.load(Ordering::Relaxed)
    }

    async fn wait(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Waiting for SSH to become available...");
        retry::or_cancelled(&cx.cancel, self.connection()).await??;
        cx.ui.say("Connected to SSH!");
        Ok(())
    }

    /// The connection; waits for a new one if there is none or it was lost.
    async fn connection(&self) -> anyhow::Result<Arc<Connection>> {
        let mut link = self.link.lock().await;
        match &*link {
            Link::Up(connection) if !connection.handle.is_closed() => return Ok(connection.clone()),
            Link::Up(_) => {
                tracing::info!("connection to {} lost, connecting again", self.server.host)
            }
            Link::Down => {}
        }
        let connecting = self.closed.run_until_cancelled(self.log_in()).await;
        let connection = connecting
            .with_context(|| format!("the connection to {} was closed", self.server.host))??;
        let connection = Arc::new(connection);
        *link = Link::Up(connection.clone());
        Ok(connection)
    }

    /// A connection of its own.
    async fn log_in(&self) -> anyhow::Result<Connection> {
        self.server.wait(self.patience).await.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: LoginError) -> anyhow::Error {
        let advice = settings::advice(&error);
        let fault = error.fault();
        let server = self.server.address();
        fault.mark(anyhow::anyhow!("cannot connect to {server} over SSH: {error} ({advice})"))
    }

    /// A channel for one command. If none can be opened, the machine may have rebooted: we connect
    /// again, one time.
    async fn channel(&self, pty: bool) -> anyhow::Result<Channel<Msg>> {
        let connection = self.connection().await?;
        match exec::open(&connection, pty).await {
            Ok(channel) => return Ok(channel),
            Err(error) => tracing::info!("no session on {}: {error}", self.server.host),
        }
        self.give_up(&connection).await;
        let connection = self.connection().await?;
        exec::open(&connection, pty)
            .await
            .with_context(|| format!("cannot open an SSH session on {}", self.server.address()))
    }

    /// At least one channel, and up to `most`, if the server allows them.
    async fn channels(&self, most: usize) -> anyhow::Result<Vec<Channel<Msg>>> {
        let mut channels = vec![self.channel(false).await?];
        let connection = self.connection().await?;
        let more = (1..most).map(|_| exec::open(&connection, false));
        channels.extend(futures::future::join_all(more).await.into_iter().flatten());
        Ok(channels)
    }

    /// Sees to it that `connection` is not used any more.
    async fn give_up(&self, connection: &Arc<Connection>) {
        let mut link = self.link.lock().await;
        if matches!(&*link, Link::Up(current) if Arc::ptr_eq(current, connection)) {
            *link = Link::Down;
        }
    }

    /// Ends the connection; there may be another.
    async fn hang_up(&self) {
        let link = std::mem::replace(&mut *self.link.lock().await, Link::Down);
        if let Link::Up(connection) = link {
            let bye = connection.handle.disconnect(Disconnect::ByApplication, "done", "en");
            // A server that is gone or deaf needs no good-bye.
            let _ = tokio::time::timeout(GOODBYE, bye).await;
        }
    }
}

#[async_trait]
impl Communicator for Ssh {
    fn shell(&self) -> &dyn Shell {
        if self.is_windows() { &Cmd } else { &Posix }
    }

    async fn run(
        &self,
        command: Command<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        exec::run(self, command, None, output).await
    }

    async fn run_fed(
        &self,
        command: Command<'_>,
        input: Input<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        exec::run(self, command, Some(input), output).await
    }

    async fn upload(&self, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
        transfer::upload(self, from, to, ui).await
    }

    async fn upload_stream(
        &self,
        from: Input<'_>,
        about: Incoming,
        to: &str,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        transfer::upload_stream(self, from, about, to, ui).await
    }

    async fn upload_dir(&self, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
        transfer::upload_dir(self, from, to, ui).await
    }

    async fn download(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
        transfer::download(self, from, to, ui).await
    }

    async fn download_dir(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
        transfer::download_dir(self, from, to, ui).await
    }

    async fn access(&self, by: Entrance<'_>) -> anyhow::Result<Option<Access>> {
        match by {
            Entrance::OwnLogin => access::own(self).await,
            Entrance::Unaided => access::unaided(self).await.map(Some),
            Entrance::OurConnection(sharing) => {
                let far = Arc::new(passage::SshUpstream(self.me.clone()));
                share::open(far, &self.server.user, sharing).await.map(Some)
            }
        }
    }

    async fn close(&self) {
        self.closed.cancel();
        self.ends.close();
        let _ = tokio::time::timeout(GOODBYE, self.ends.wait()).await;
        self.hang_up().await;
    }
}
