//! The console of the instance, on which cloud-init shows the machine's host keys.
//!
//! Nobody but the machine writes there, so a key that it shows is the machine's. The keys appear
//! late: only a build that has to wait for its machine anyway sees them before it connects. They
//! are looked for beside all else, and once more at the end: a key that was trusted on first use
//! is held against them before an image is made.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio_util::task::AbortOnDropHandle;

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::communicator::Announcement;
use crate::component::BuildContext;
use crate::event::Stream;
use crate::guest::harmless;
use crate::permission::Permission;
use crate::retry::{Backoff, or_cancelled};
use crate::vm::album::{Album, Moment};

/// The waits before looks: no machine shows anything at once.
const LOOKS: Backoff =
    Backoff { first: Duration::from_secs(2), factor: 1.5, longest: Duration::from_secs(15) };

/// How long the last look may take: it must not hold a build up.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// How much of the console of a failed test is shown.
const CONSOLE_LINES: usize = 50;

/// An instance's console that is looked at until it shows host keys, or is dropped.
pub(crate) struct Console {
    source: Source,
    announcement: Announcement,
    _watch: Option<AbortOnDropHandle<()>>,
}

impl Console {
    /// Begins to look at the console of the instance `id`, if the build knows it by its host key.
    pub(crate) fn watch(cx: &BuildContext, machine: &Machine, id: &str) -> Self {
        let source = Source { ec2: machine.build.account.ec2(&cx.cancel), instance: id.to_owned() };
        let announcement = Announcement::default();
        let is_of_use = machine.settings.connector.checks_host_key();
        let watch = is_of_use.then(|| {
            let (source, announcement) = (source.clone(), announcement.clone());
            let watch = async move { source.until_announced(&announcement).await };
            AbortOnDropHandle::new(tokio::spawn(watch))
        });
        Self { source, announcement, _watch: watch }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let is_of_use = settings.connector.checks_host_key();
        let look = || at.on_ours("instance", &["GetConsoleOutput"]);
        is_of_use.then(look).into_iter().collect()
    }

    /// What the account must allow besides, so that it is shown where a test fails.
    pub(crate) fn permissions_to_show(at: &Regions) -> Vec<Permission> {
        vec![at.on_ours("instance", &["GetConsoleOutput", "GetConsoleScreenshot"])]
    }

    /// What the console shows sooner or later.
    pub(crate) fn announcement(&self) -> Announcement {
        self.announcement.clone()
    }

    /// Shows its last lines, as far as EC2 knows them.
    pub(crate) async fn show(&self, cx: &BuildContext) {
        let look = tokio::time::timeout(LAST_LOOK, self.source.look());
        let text = match or_cancelled(&cx.cancel, look).await {
            Ok(Ok(Ok(text))) => harmless(text.as_bytes()),
            Ok(Ok(Err(error))) => {
                return cx.ui.say(format!("The console cannot be shown: {error}"));
            }
            Ok(Err(_)) => return cx.ui.say("The console cannot be shown: EC2 took too long"),
            Err(_) => return,
        };
        let lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            return cx.ui.say("EC2 knows nothing yet of what the instance printed on its console");
        }
        cx.ui.say("The last lines of the instance's console:");
        let last = lines.len().saturating_sub(CONSOLE_LINES);
        cx.ui.output(Stream::Stdout, lines[last..].join("\n")).await;
    }

    /// Keeps a picture of its screen, as far as EC2 can take one: beside the log, as those of machines in
    /// QEMU.
    pub(crate) async fn keep_picture(&self, cx: &BuildContext) {
        let taken = tokio::time::timeout(LAST_LOOK, self.source.take_picture());
        let Ok(taken) = or_cancelled(&cx.cancel, taken).await else { return };
        let kept = async {
            let jpeg = taken.context("EC2 took too long")??;
            let name = format!("output-{}.test.screens", cx.facts.build_name);
            let directory = cx.facts.scope.environment.cwd.join(name);
            let album = Album::empty(&directory, cx.facts.debug).await?;
            album.keep_jpeg(jpeg, Moment::Failure, &cx.ui).await
        };
        if let Err(error) = kept.await {
            cx.ui.say(format!("There is no picture of its screen: {error:#}"));
        }
    }

    /// Looks a last time if need be, and refuses a machine whose console shows other keys than the
    /// one that was trusted on first use.
    pub(crate) async fn confirm_host_key(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if self.announcement.is_open() {
            let look = tokio::time::timeout(LAST_LOOK, self.source.look());
            if let Ok(Ok(text)) = or_cancelled(&cx.cancel, look).await? {
                self.announcement.read(&text);
            }
        }
        let confirmed = self.announcement.confirm();
        let instance = &self.source.instance;
        let confirmed = confirmed.with_context(|| format!("{instance} is not trusted"))?;
        confirmed.into_iter().for_each(|news| cx.ui.say(news));
        Ok(())
    }
}

/// Where the console's text comes from.
#[derive(Clone)]
struct Source {
    ec2: Ec2,
    instance: String,
}

impl Source {
    /// Looks until the console shows keys, or may not be looked at.
    async fn until_announced(&self, announcement: &Announcement) {
        for wait in LOOKS.waits() {
            tokio::time::sleep(wait).await;
            match self.look().await {
                Ok(text) if announcement.read(&text) => return,
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return tracing::info!("no host keys from the console: {error}"),
            }
        }
    }

    /// What its screen shows, as a JPEG file.
    async fn take_picture(&self) -> anyhow::Result<Vec<u8>> {
        let request = self.ec2.get_console_screenshot().instance_id(&self.instance).wake_up(true);
        let answer = self.ec2.call("GetConsoleScreenshot", |_| request.clone().send()).await?;
        Ok(BASE64.decode(answer.image_data().unwrap_or_default())?)
    }

    /// The text so far: up to now where the instance's hardware can tell, else as EC2 saw it last.
    async fn look(&self) -> Result<String, ApiError> {
        let request = self.ec2.get_console_output().instance_id(&self.instance);
        let look = async |latest: Option<bool>| {
            let request = request.clone().set_latest(latest);
            self.ec2.call("GetConsoleOutput", |_| request.clone().send()).await
        };
        let answer = match look(Some(true)).await {
            Err(error) if error.is(&["UnsupportedOperation"]) => look(None).await?,
            answer => answer?,
        };
        let text = BASE64.decode(answer.output().unwrap_or_default()).unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
