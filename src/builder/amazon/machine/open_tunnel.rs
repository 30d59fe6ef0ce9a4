//! The way to a machine that is reached through AWS Systems Manager.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::aws::allow::Regions;
use crate::aws::resource::Resource as _;
use crate::aws::resource::session::Session;
use crate::aws::ssm::session::DOCUMENT;
use crate::aws::ssm::{PATIENCE, Plan, Tunnel};
use crate::builder::amazon::machine::run_instance::Running;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::communicator::{Target, Transport, Way};
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::retry;
use crate::step::{Ending, Step};

/// Lets SSH go through sessions of Systems Manager, and ends them.
pub(crate) struct OpenTunnel {
    machine: Machine,
    target: Target,
    tunnel: Tunnel,
    /// Leads the template's local port into the tunnel.
    local: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl OpenTunnel {
    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        if !settings.run.is_behind_session_manager() {
            return Vec::new();
        }
        let mut all = vec![
            at.start_sessions_with_ours(),
            at.start_sessions_as(DOCUMENT),
            at.on_own_sessions(&["ResumeSession"]),
        ];
        all.extend(Session::permissions(at));
        all
    }

    /// A way to `target`, which is the machine `running`.
    pub(crate) fn new(
        cx: &BuildContext,
        machine: &Machine,
        running: &Running,
        target: Target,
    ) -> Self {
        let tunnel = Tunnel::new(Plan {
            account: machine.build.account.clone(),
            instance: running.id.clone(),
            port: machine.settings.connector.port().unwrap_or_default(),
            patience: PATIENCE,
            reason: format!("imgbake build {}", machine.build.token),
            journal: cx.journal.clone(),
            build: cx.facts.unique_name.clone(),
            redactor: cx.redactor.clone(),
            ui: cx.ui.clone(),
        });
        Self { machine: machine.clone(), target, tunnel, local: Mutex::default() }
    }

    /// Keeps the task that leads the local port into the tunnel.
    fn keep(&self, task: Option<AbortOnDropHandle<()>>) {
        *self.local.lock().unwrap_or_else(PoisonError::into_inner) = task;
    }
}

#[async_trait]
impl Step for OpenTunnel {
    type Output = Target;

    fn name(&self) -> &'static str {
        "open a way through Systems Manager"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.tunnel.sessions()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Target> {
        let run = &self.machine.settings.run;
        let port = run.session_manager_port.filter(|port| *port != 0);
        if !run.pause_before_ssm.is_zero() {
            cx.ui.say(format!("Pausing {} before connecting...", run.pause_before_ssm));
            retry::sleep(&cx.cancel, run.pause_before_ssm.get()).await?;
        }
        if let Some(port) = port {
            self.keep(Some(listen(port, self.tunnel.clone()).await?));
            cx.ui.say(format!("Port {port} of this host leads to the machine"));
        }
        let way: Arc<dyn Way> = Arc::new(self.tunnel.clone());
        Ok(Target { port, way: Some(way), ..self.target.clone() })
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        self.keep(None);
        let removal = self.machine.build.removal(cx);
        for session in self.tunnel.close().await {
            removal.remove(&session).await?;
        }
        Ok(())
    }

    /// Sessions cost nothing, and end with the machine, which costs something.
    fn undoes_independently(&self) -> bool {
        true
    }

    fn undo_limit(&self, _cx: &BuildContext) -> Duration {
        Duration::from_secs(60)
    }
}

#[async_trait]
impl Way for Tunnel {
    async fn open(&self) -> anyhow::Result<()> {
        Tunnel::open(self).await
    }

    fn is_open(&self) -> bool {
        Tunnel::is_open(self)
    }

    fn trouble(&self) -> Option<String> {
        Tunnel::trouble(self)
    }

    async fn dial(&self) -> io::Result<Transport> {
        Ok(Box::new(Tunnel::dial(self).await?))
    }
}

/// Leads each connection to a local port into the tunnel.
async fn listen(port: u16, tunnel: Tunnel) -> anyhow::Result<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener =
        listener.with_context(|| format!("cannot open the `session_manager_port` {port}"))?;
    let accept = async move {
        while let Ok((local, _)) = listener.accept().await {
            let tunnel = tunnel.clone();
            tokio::spawn(async move {
                if let Err(error) = lead(&tunnel, local).await {
                    tracing::warn!("a connection to the local port {port}: {error:#}");
                }
            });
        }
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(accept)))
}

async fn lead(tunnel: &Tunnel, mut local: TcpStream) -> anyhow::Result<()> {
    tunnel.open().await?;
    let mut remote = tunnel.dial().await?;
    tokio::io::copy_bidirectional(&mut local, &mut remote).await?;
    Ok(())
}
