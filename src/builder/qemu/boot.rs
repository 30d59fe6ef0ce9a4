//! Steps around a machine that boots: people see its screen, and the boot command is typed at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;

use crate::component::BuildContext;
use crate::config::{GoDuration, option_parts};
use crate::event::Phase;
use crate::interpolate::Dot;
use crate::retry::{or_cancelled, sleep};
use crate::step::{Ending, Slot, Step, pause, remove_if_there};
use crate::vm::album::{Album, Moment};
use crate::vm::boot::{self, Boot, BootStep, Typist};
use crate::vm::machine::Machine;
use crate::vm::vnc;
use crate::vm::watch::{Rhythm, Watch};
use crate::whole_file::beside;

/// How long a picture of a failure may take: a machine that is to end soon must not wait for it.
const LAST_PICTURE: Duration = Duration::from_secs(3);

option_parts! {
    /// What people see of the machine's screen, and what is typed at it.
    #[derive(Clone, Debug)]
    pub struct ScreenAndKeys {
        pub(super) boot: boot::Options,
        pub(super) vnc: vnc::Options,
    }
}

/// Shows the machine's screen to people: over VNC, and as pictures. Undone before the machine is: a
/// failed build keeps a last picture.
pub(super) struct ShowScreen {
    machine: Arc<Machine>,
    vnc: vnc::Options,
    album: Arc<Album>,
    directory: PathBuf,
    watch: Slot<Arc<Watch>>,
}

/// The directory for the pictures of a build whose image goes into `output`: beside it, since they are no
/// part of the image and stay when a failed build takes that back.
pub(super) fn screens_directory(output: &Path) -> PathBuf {
    beside(output, ".screens")
}

#[async_trait]
impl Step for ShowScreen {
    type Output = Arc<Watch>;

    fn name(&self) -> &'static str {
        "show the screen"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Arc<Watch>> {
        self.open_vnc(cx).await?;
        let (machine, album) = (self.machine.clone(), self.album.clone());
        let watch = Arc::new(Watch::over(machine, album, Rhythm::default(), cx.ui.clone()));
        self.watch.keep(watch.clone());
        Ok(watch)
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        drop(self.watch.take());
        if ending == Ending::Failed && self.machine.has_ended().is_none() {
            let picture = picture(&self.machine, &self.album, Moment::Failure, cx);
            let kept = tokio::time::timeout(LAST_PICTURE, picture).await;
            // There is a failure to tell already.
            if let Err(error) = kept.context("it took too long").flatten() {
                tracing::info!("no picture of the failure: {error:#}");
            }
        }
        remove_if_there(&self.password_file()).await
    }
}

impl ShowScreen {
    /// Of `machine`; its pictures are in the `directory` of the `album`.
    pub fn new(
        machine: Arc<Machine>,
        vnc: vnc::Options,
        album: Arc<Album>,
        directory: PathBuf,
    ) -> Self {
        Self { machine, vnc, album, directory, watch: Slot::default() }
    }

    fn password_file(&self) -> PathBuf {
        self.directory.join("vnc-password")
    }

    /// Says where the screen can be seen.
    async fn open_vnc(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let qmp = self.machine.qmp();
        let Some(url) = vnc::url(qmp).await else { return Ok(()) };
        let how = match self.vnc.password() {
            Some(given) => {
                vnc::set_password(qmp, given).await?;
                "with your password".to_owned()
            }
            None if self.vnc.asks() => {
                let (made, file) = (vnc::new_password()?, self.password_file());
                cx.redactor.register(made.expose());
                vnc::write_password(&file, &made)?;
                vnc::set_password(qmp, &made).await?;
                format!("with the password in {}", file.display())
            }
            None => "without a password".to_owned(),
        };
        cx.ui.say(format!("The machine's screen can be seen over VNC, {how}: {url}"));
        Ok(())
    }
}

/// Keeps a picture of the screen.
async fn picture(
    machine: &Machine,
    album: &Album,
    moment: Moment,
    cx: &BuildContext,
) -> anyhow::Result<()> {
    let frame = machine.frame().await?;
    album.keep(frame, moment, &cx.ui).await.map(drop)
}

/// Types the boot command.
pub(super) struct TypeBootCommand {
    pub machine: Arc<Machine>,
    pub album: Arc<Album>,
    pub boot: Boot,
    /// What the command knows of the machine.
    pub dot: Dot,
    /// Whether the machine's keyboard is the PS/2 one that a PC has.
    pub is_ps2: bool,
}

#[async_trait]
impl Step for TypeBootCommand {
    type Output = ();

    fn name(&self) -> &'static str {
        "type the boot command"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if !self.boot.wait.is_zero() {
            cx.ui.say(format!("Waiting {} for boot...", GoDuration::from(self.boot.wait)));
            self.machine.while_there(sleep(&cx.cancel, self.boot.wait)).await??;
        }
        or_cancelled(&cx.cancel, self.type_all(cx)).await?
    }
}

impl TypeBootCommand {
    async fn type_all(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let boot = &self.boot;
        let mut typist = Typist::at(&self.machine, boot, self.is_ps2, &cx.ui).await;
        for (number, step) in (1..).zip(&boot.steps) {
            let number = (boot.steps.len() > 1).then_some(number);
            self.show(Moment::BeforeTyping(number), cx).await;
            cx.ui.say(match &step.description {
                Some(description) => format!("Typing boot command for: {description}"),
                None => "Typing the boot command...".to_owned(),
            });
            typist.run(&step.command(&cx.facts.scope, &self.dot)?).await?;
            if number.is_some() {
                pause(cx, &question(step)).await;
            }
        }
        let unread = typist.finish().await;
        if unread > 0 {
            cx.ui.say(format!(
                "Warning: {unread} keys were typed while the machine did not read its keyboard: some \
                 may be lost. A `<wait>` before them gives it time"
            ));
        }
        Ok(())
    }

    /// Keeps a picture. A machine without a screen can be typed at, too.
    async fn show(&self, moment: Moment, cx: &BuildContext) {
        if let Err(error) = picture(&self.machine, &self.album, moment, cx).await {
            tracing::info!("no picture of the screen: {error:#}");
        }
    }
}

/// What the person at the terminal is asked after `step`.
fn question(step: &BootStep) -> String {
    let description = step.description.as_deref().unwrap_or_default();
    let written = step.written();
    format!(
        "Pausing after run of step 'boot description: \"{description}\", command: {written}'. Press enter \
         to continue."
    )
}
