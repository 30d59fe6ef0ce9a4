//! The machine's WinRM service: waiting for it, running commands, moving files.
//!
//! | file | what is there |
//! |---|---|
//! | `options` | what the template says |
//! | `http`, `ntlm`, `service` | a connection to the service, the login, and the service with both |
//! | `soap`, `shell` | its messages, and commands by them |
//! | `transfer`, `parts`, `packed` | files and directories; a large file; how bytes get there |
//! | `access` | other programs, on a way that the builder provides |

mod access;
mod http;
mod ntlm;
mod options;
mod packed;
mod parts;
mod service;
mod shell;
mod soap;
mod transfer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use async_trait::async_trait;
use futures::StreamExt as _;
use tokio_util::io::ReaderStream;
use tokio_util::task::TaskTracker;

use self::http::Endpoint;
use self::ntlm::Account;
use self::service::{Login, Service};
use self::shell::{Chunks, ServiceShell};
use super::connector::{Connector, KeyRequest, PasswordKey, Pause, no_login};
use super::listening::LOOPBACK;
use super::{KeyType, Target, Way};
use crate::component::{
    BuildContext, Check, Command, Communicator, Component, Exit, Input, Upload, WindowsAccess,
};
use crate::event::Ui;
use crate::fault::{Fault, Kind};
use crate::guest::shell::{Cmd, Shell, encoded_powershell, powershell_variables};
use crate::guest::{Capture, GuestOutput};
use crate::interpolate::BuildData;
use crate::retry::{self, Backoff, Permanent};
use crate::secret::Secret;

pub(super) use self::options::WinRmOptions;

/// Says that PowerShell works: the service is there before it does.
const HELLO: &str = include_str!("hello.ps1");
/// What [`HELLO`] prints.
const CONNECTED: &str = "WinRM connected.";
/// The waits between tries to connect.
const TRIES: Backoff =
    Backoff { first: Duration::from_millis(200), factor: 1.5, longest: Duration::from_secs(5) };
/// How long the shells that are deleted in the background may take in the end.
const GOODBYE: Duration = Duration::from_secs(4);

impl Component for WinRmOptions {
    const TYPE: &'static str = "winrm";
    const ABOUT: &'static str = "Connects to the WinRM service of a machine with Windows.";
    type Options = (Self,);

    fn prepare((own,): Self::Options, _: &mut Check<'_>) -> Option<Self> {
        Some(own)
    }
}

#[async_trait]
impl Connector for WinRmOptions {
    fn check(&self, check: &mut Check<'_>) {
        self.check_all(check);
    }

    fn check_machine_is_known(&self, check: &mut Check<'_>) {
        self.check_known(check);
    }

    fn port(&self) -> Option<u16> {
        Some(Self::port(self))
    }

    fn takes_way(&self) -> bool {
        true
    }

    fn temporary_key(&self) -> Option<KeyRequest<'_>> {
        let sealed_for = self.sealed_for.as_ref().filter(|key| key.file.is_none())?;
        let name = sealed_for.name.as_deref();
        Some(KeyRequest { kind: KeyType::Rsa, bits: None, name })
    }

    fn key_pair(&self) -> Option<&str> {
        self.sealed_for.as_ref()?.pair.as_deref()
    }

    fn finding_password(&self, keys: &dyn Connector) -> Option<Arc<dyn Connector>> {
        let is_needed = self.password().is_empty();
        is_needed.then(|| Arc::new(Self::finding_password(self, keys)) as Arc<dyn Connector>)
    }

    fn password_key(&self) -> Option<PasswordKey<'_>> {
        let sealed_for = self.sealed_for.as_ref()?;
        let file = sealed_for.file.as_deref();
        Some(file.map_or(PasswordKey::Temporary, PasswordKey::File))
    }

    fn with_password(&self, password: Secret) -> Option<Arc<dyn Connector>> {
        let own = Self { winrm_password: Some(password), ..self.clone() };
        Some(Arc::new(own))
    }

    fn host(&self) -> Option<(&'static str, &str)> {
        Some(("winrm_host", self.winrm_host.as_str())).filter(|(_, host)| !host.is_empty())
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.winrm_timeout.get())
    }

    async fn connect(
        &self,
        cx: &BuildContext,
        target: Target,
        pause: Pause,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        let (host, port) = self.address(&target);
        let environment = &cx.facts.scope.environment;
        let proxies = http::proxies(environment, self.winrm_no_proxy);
        let way = target.way.clone();
        let endpoint = Endpoint::new(host, port, self.tls(), proxies, way)?;
        let (user, password) = (self.winrm_username.as_str(), self.password());
        let login = match self.winrm_use_ntlm {
            true => Login::Ntlm(Account::new(user, password)),
            false => Login::Basic { user: user.to_owned(), password },
        };
        let winrm = WinRm {
            service: Arc::new(Service::new(endpoint, login)),
            own: self.clone(),
            address: (host.to_owned(), port),
            way: target.way.clone(),
            ends: TaskTracker::new(),
        };
        cx.ui.say(format!("Using WinRM communicator to connect: {host}"));
        self.wait(cx, &winrm, &target).await?;
        if !pause.is_zero() {
            winrm.service.hang_up();
            pause.wait(cx).await?;
            self.wait(cx, &winrm, &target).await?;
        }
        Ok(Arc::new(winrm))
    }

    async fn build_data(&self, target: &Target) -> BuildData {
        let (host, port) = self.address(target);
        let password = self.password();
        let (public, private) = match &target.key {
            Some(key) => (key.public_openssh(), key.private_openssh()),
            None => Default::default(),
        };
        let mut data = no_login(Self::TYPE);
        data.extend([
            ("Host".into(), host.into()),
            ("Port".into(), port.into()),
            ("User".into(), self.winrm_username.as_str().into()),
            ("Password".into(), password.expose().into()),
            ("WinRMPassword".into(), password.expose().into()),
            ("SSHPublicKey".into(), public.into()),
            ("SSHPrivateKey".into(), private.expose().into()),
        ]);
        data
    }
}

impl WinRmOptions {
    async fn wait(&self, cx: &BuildContext, winrm: &WinRm, target: &Target) -> anyhow::Result<()> {
        cx.ui.say("Waiting for WinRM to become available...");
        let mut last = None;
        let trying = winrm.until_connected(target.boots, &mut last);
        let tried = tokio::time::timeout(self.timeout(), trying);
        match retry::or_cancelled(&cx.cancel, tried).await? {
            Ok(connected) => {
                connected.map_err(|error| Fault::lasting(Kind::Guest).mark(error))?;
            }
            Err(_) => {
                let last = last.map(|error| format!("; the last attempt: {error:#}"));
                let last = last.unwrap_or_default();
                return Err(Fault::passing(Kind::Guest).mark(anyhow!(
                    "Timeout waiting for WinRM: {} did not let us in within {}{last} (check that \
                     the machine runs and that this host may reach that port; a slow machine needs \
                     a larger `winrm_timeout`)",
                    winrm.service.url(),
                    self.winrm_timeout,
                )));
            }
        }
        cx.ui.say("Connected to WinRM!");
        Ok(())
    }
}

/// A machine that let us in.
struct WinRm {
    service: Arc<Service>,
    /// The options that it was reached with.
    own: WinRmOptions,
    /// Where it is.
    address: (String, u16),
    /// What leads there, if no address does.
    way: Option<Arc<dyn Way>>,
    /// The shells that are being deleted.
    ends: TaskTracker,
}

impl WinRm {
    /// Tries until the machine runs a command for us. `last` is why it did not so far.
    async fn until_connected(
        &self,
        boots: bool,
        last: &mut Option<anyhow::Error>,
    ) -> anyhow::Result<()> {
        let mut waits = TRIES.waits();
        loop {
            match self.hello().await {
                Ok(()) => return Ok(()),
                // A machine that sets itself up may learn the password late.
                Err(error) if error.is::<Permanent>() && !boots => return Err(error),
                Err(error) => {
                    tracing::debug!("no WinRM yet: {error:#}");
                    *last = Some(error);
                }
            }
            tokio::time::sleep(waits.next().unwrap_or(TRIES.longest)).await;
        }
    }

    async fn hello(&self) -> anyhow::Result<()> {
        let mut said = Capture::default();
        let exit = self.run_line(&encoded(&[], HELLO), None, &mut said).await?;
        let text = String::from_utf8_lossy(&said.stdout);
        if !text.contains(CONNECTED) {
            bail!("PowerShell does not work yet (it ended with status {})", exit.status());
        }
        Ok(())
    }

    async fn run_line(
        &self,
        line: &str,
        input: Option<Chunks<'_>>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        self.open().await?.run(line, input, output).await
    }

    async fn open(&self) -> anyhow::Result<ServiceShell> {
        ServiceShell::open(&self.service, &self.ends).await
    }

    /// Waits until the shells are deleted that nobody needs any more.
    async fn settle(&self) {
        self.ends.close();
        let _ = tokio::time::timeout(GOODBYE, self.ends.wait()).await;
        self.ends.reopen();
    }
}

#[async_trait]
impl Communicator for WinRm {
    fn shell(&self) -> &dyn Shell {
        &Cmd
    }

    async fn run(
        &self,
        command: Command<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        self.run_line(command.text(), None, output).await
    }

    async fn run_fed(
        &self,
        command: Command<'_>,
        input: Input<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        let input = ReaderStream::new(input).map(|chunk| Ok(chunk?));
        self.run_line(command.text(), Some(Box::pin(input)), output).await
    }

    async fn upload(&self, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
        transfer::upload(self, from, to, ui).await
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

    async fn windows_access(&self) -> anyhow::Result<Option<WindowsAccess>> {
        let own = &self.own;
        let ((host, port), leads) = match &self.way {
            None => (self.address.clone(), None),
            // Its certificate is not one of the address that we would say.
            Some(_) if own.winrm_use_ssl && !own.winrm_insecure => return Ok(None),
            Some(way) => {
                let (port, leads) = access::lead_over(way.clone()).await?;
                ((LOOPBACK.to_owned(), port), Some(leads))
            }
        };
        Ok(Some(WindowsAccess {
            host,
            port,
            user: own.winrm_username.clone(),
            password: own.password(),
            is_https: own.winrm_use_ssl,
            is_verified: !own.winrm_insecure,
            is_ntlm: own.winrm_use_ntlm,
            is_direct: own.winrm_no_proxy || leads.is_some(),
            leads,
        }))
    }

    async fn close(&self) {
        self.settle().await;
        self.service.hang_up();
    }
}

/// The line for `cmd` that has PowerShell run `script` with these variables.
fn encoded(values: &[(&str, &str)], script: &str) -> String {
    // A line of `cmd` has 8,191 characters at most, and each of ours takes nearly three.
    let lines: String = script.split_inclusive('\n').map(str::trim_start).collect();
    encoded_powershell(&(powershell_variables(values) + &lines))
}
