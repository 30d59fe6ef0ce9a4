//! Steps around the running machine: the HTTP server, the start, the shutdown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;

use crate::component::{BuildContext, Command, Communicator};
use crate::event::{Phase, Stream};
use crate::retry::{or_cancelled, sleep};
use crate::step::{Ending, Slot, Step};
use crate::vm::http_server::{HttpServer, Options, Site};
use crate::vm::machine::Machine;
use crate::vm::neighbor;

/// How much of the serial console a failed build shows.
const CONSOLE_LINES: usize = 50;

/// Serves files to the guest until the build ends.
pub(super) struct Serve {
    pub options: Options,
    /// Where to listen if the options do not say.
    pub usual: IpAddr,
    /// The texts of `http_content`, rendered.
    pub texts: Vec<(String, String)>,
    pub server: Slot<HttpServer>,
}

#[async_trait]
impl Step for Serve {
    type Output = SocketAddr;

    fn name(&self) -> &'static str {
        "start the HTTP server"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<SocketAddr> {
        let site = match &self.options.http_directory {
            Some(dir) if dir.is_dir() => {
                Site::Directory(dir.clone(), cx.facts.scope.environment.reach.clone())
            }
            Some(dir) => bail!("`http_directory`: {} is no directory", dir.display()),
            None => {
                let slashed = |path: &str| format!("/{}", path.trim_start_matches('/'));
                let texts = self.texts.iter().map(|(path, text)| (slashed(path), text.clone()));
                Site::Texts(texts.collect())
            }
        };
        let (address, range) = self.options.address(self.usual).await?;
        let server = HttpServer::start(site, address, &range).await?;
        let address = server.address;
        let port = address.port();
        cx.ui.say(match address.ip().is_unspecified() {
            true => format!("Starting HTTP server on port {port} of all addresses of this host"),
            false => format!("Starting HTTP server on port {port}"),
        });
        self.server.keep(server);
        Ok(address)
    }

    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        drop(self.server.take());
        Ok(())
    }
}

/// Starts QEMU; undone by ending it. If the build failed, the serial console is shown then.
pub(super) struct Start {
    pub binary: PathBuf,
    pub args: Vec<String>,
    /// Whether the serial console is ours.
    pub with_console: bool,
    /// Whether it boots from the installer's CD.
    pub installs: bool,
    pub machine: Slot<Arc<Machine>>,
}

impl Start {
    /// Starts it; the machine stands still where the arguments say so.
    pub async fn start(&self, cx: &BuildContext) -> anyhow::Result<Arc<Machine>> {
        let started = Machine::start(&cx.cancel, &self.binary, &self.args, self.with_console);
        let machine = Arc::new(started.await?);
        self.machine.keep(machine.clone());
        Ok(machine)
    }

    /// Ends it, if it was started.
    pub async fn stop(&self) {
        if let Some(machine) = self.machine.take() {
            machine.stop().await;
        }
    }
}

#[async_trait]
impl Step for Start {
    type Output = Arc<Machine>;

    fn name(&self) -> &'static str {
        "start the machine"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Arc<Machine>> {
        let from = if self.installs { "from CD-ROM" } else { "disk image" };
        cx.ui.say(format!("Starting VM, booting {from}"));
        self.start(cx).await
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        let Some(machine) = self.machine.take() else { return Ok(()) };
        // First the machine: whoever reads the console may be slow.
        machine.stop().await;
        if ending == Ending::Failed {
            show_console(&machine, cx).await;
        }
        Ok(())
    }
}

async fn show_console(machine: &Machine, cx: &BuildContext) {
    let lines = machine.console().last_lines(CONSOLE_LINES);
    if lines.is_empty() {
        cx.ui.say("The machine printed nothing on its serial console");
        return;
    }
    cx.ui.say("The last lines of the machine's serial console:");
    for line in lines {
        cx.ui.output(Stream::Stdout, line).await;
    }
}

/// How often to look whether this host has met a machine.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks to ask for it.
const LOOKS: usize = 10;

/// Waits until a machine behind a bridge has an address that this host knows.
pub(super) struct FindMachine {
    pub machine: Arc<Machine>,
    pub bridge: String,
    /// The address of its network card.
    pub mac: String,
    /// How long to wait; `None`: as long as it takes.
    pub patience: Option<Duration>,
}

#[async_trait]
impl Step for FindMachine {
    type Output = Ipv4Addr;

    fn name(&self) -> &'static str {
        "find the machine's address"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Ipv4Addr> {
        cx.ui.say(format!("Waiting for the machine with the network card {}...", self.mac));
        let patience = self.patience.unwrap_or(Duration::MAX);
        tokio::select! {
            found = tokio::time::timeout(patience, self.look(cx)) => match found {
                Ok(found) => found,
                Err(_) => bail!(
                    "the machine did not appear on the bridge `{}` in time (it is not in {}): check that \
                     it gets an address by DHCP there",
                    self.bridge,
                    neighbor::TABLE
                ),
            },
            ended = self.machine.ended() => bail!("{ended}"),
        }
    }
}

impl FindMachine {
    /// Looks until this host has met the machine.
    async fn look(&self, cx: &BuildContext) -> anyhow::Result<Ipv4Addr> {
        let mut looks = 0_usize;
        loop {
            if let Some(address) = neighbor::address_of(&self.mac)? {
                return Ok(address);
            }
            looks += 1;
            if looks.is_multiple_of(LOOKS) {
                neighbor::ask_all_by_arp(&self.bridge).await?;
            }
            sleep(&cx.cancel, LOOK).await?;
        }
    }
}

/// Powers the machine off.
pub(super) struct Shutdown {
    pub machine: Arc<Machine>,
    pub connection: Arc<dyn Communicator>,
    pub how: Off,
    pub timeout: Duration,
}

/// How a machine is powered off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Off {
    /// By this command.
    Command(String),
    /// By itself: there is no communicator that could do it.
    ByItself,
    /// By cutting its power.
    Cut,
}

#[async_trait]
impl Step for Shutdown {
    type Output = ();

    fn name(&self) -> &'static str {
        "shut the machine down"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        match &self.how {
            Off::Cut => {
                cx.ui.say("Halting the virtual machine...");
                self.machine.stop().await;
                return Ok(());
            }
            Off::ByItself => cx.ui.say("Waiting for shutdown..."),
            Off::Command(command) => {
                cx.ui.say("Gracefully halting virtual machine...");
                self.run_command(command, cx).await?;
            }
        }
        let ended = tokio::time::timeout(self.timeout, self.machine.ended());
        match or_cancelled(&cx.cancel, ended).await? {
            Ok(ended) if ended.ok => Ok(()),
            Ok(ended) => bail!("{ended}"),
            Err(_) => bail!("the machine did not power off within {:?}", self.timeout),
        }
    }
}

impl Shutdown {
    /// Runs the command, as long as there is a machine that can run it.
    async fn run_command(&self, command: &str, cx: &BuildContext) -> anyhow::Result<()> {
        let run =
            or_cancelled(&cx.cancel, self.connection.run_shown(Command::Template(command), &cx.ui));
        tokio::select! {
            exit = run => match exit? {
                Ok(exit) => tracing::debug!("the shutdown command ended: {exit:?}"),
                // A machine that is going down may well drop the line.
                Err(error) => tracing::debug!("the shutdown command was cut off: {error:#}"),
            },
            _ = self.machine.ended() => {}
        }
        Ok(())
    }
}
