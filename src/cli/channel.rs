//! The commands that are about channels: `publish`, `promote`, `rollback`, `retire`, `channels`.

use std::path::PathBuf;
use std::pin::pin;

use anyhow::{Context as _, ensure};
use clap::Args;
use indexmap::IndexSet;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::cleanup::{NO_JOURNALS, journal_dir, on_runtime, run_name};
use super::{Exit, Session, signals};
use crate::aws::account::Patience;
use crate::aws::allow::Regions;
use crate::channel::note::Note;
use crate::channel::publish::{self, Aim};
use crate::channel::retire::{self, Wanted};
use crate::channel::{Channels, Context, Region, allow, artifact, releases};
use crate::config::GoDuration;
use crate::event::Ui;
use crate::journal::Journal;
use crate::permission::{Permission, policy};
use crate::report::listing;

/// What the names of parameters begin with, unless somebody says otherwise.
pub const PREFIX: &str = "/images";

/// Which image, and where.
#[derive(Args, Clone, Debug)]
pub struct ImageArguments {
    /// The image, e.g. `web`: its channels are the parameters `/images/web/…` of Systems Manager.
    #[arg(long, value_name = "NAME")]
    pub image: String,
    /// What the names of these parameters begin with.
    #[arg(long, value_name = "PATH", default_value = PREFIX)]
    pub prefix: String,
    /// A region. May be repeated; otherwise all that the release says, or the one that AWS's own tools
    /// use.
    #[arg(long, value_name = "REGION", value_delimiter = ',')]
    pub region: Vec<String>,
    /// Prints the IAM policy that this command needs, and does nothing.
    #[arg(long)]
    pub iam_policy: bool,
}

/// `imgbake publish -image NAME -channel CHANNEL [flags] ARTIFACT`
#[derive(Args, Clone, Debug)]
pub struct Publish {
    /// Which image, and where.
    #[command(flatten)]
    pub image: ImageArguments,
    /// The channel that the AMIs come to, e.g. `beta`.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: String,
    /// Which build of a manifest, if it has AMIs of several, e.g. `amazon-ebs.web`.
    #[arg(long, value_name = "NAME")]
    pub build: Option<String>,
    /// The commit that the AMIs were made from; otherwise as the CI system says it.
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
    /// The AMIs, as `us-east-1:ami-…,eu-west-1:ami-…`; or the file of a manifest, whose last run counts.
    #[arg(default_value = "packer-manifest.json")]
    pub artifact: String,
}

/// `imgbake promote -image NAME -from CHANNEL -to CHANNEL [flags]`
#[derive(Args, Clone, Debug)]
pub struct Promote {
    /// Which image, and where.
    #[command(flatten)]
    pub image: ImageArguments,
    /// The channel whose AMIs are promoted, e.g. `beta`.
    #[arg(long, value_name = "CHANNEL")]
    pub from: String,
    /// The channel that they come to, e.g. `stable`.
    #[arg(long, value_name = "CHANNEL")]
    pub to: String,
    /// Promotes AMIs, too, that have passed no test.
    #[arg(long)]
    pub untested: bool,
}

/// `imgbake rollback -image NAME -channel CHANNEL [flags]`
#[derive(Args, Clone, Debug)]
pub struct Rollback {
    /// Which image, and where.
    #[command(flatten)]
    pub image: ImageArguments,
    /// The channel that goes back to the AMIs that it had before.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: String,
    /// The release to go back to, as `imgbake channels` says it; otherwise the one before.
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
}

/// `imgbake channels -image NAME [flags]`
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Which image, and where.
    #[command(flatten)]
    pub image: ImageArguments,
}

/// `imgbake retire -image NAME [flags]`
#[derive(Args, Clone, Debug)]
pub struct Retire {
    /// Which image, and where.
    #[command(flatten)]
    pub image: ImageArguments,
    /// How many of the newest AMIs stay.
    #[arg(long, value_name = "NUMBER")]
    pub keep: Option<usize>,
    /// Only AMIs go that are older, e.g. `90d`.
    #[arg(long, value_name = "AGE", value_parser = GoDuration::parse_age)]
    pub older_than: Option<GoDuration>,
    /// How long AMIs are deprecated before a later run deregisters them, e.g. `14d`; otherwise they go at
    /// once.
    #[arg(long, value_name = "AGE", value_parser = GoDuration::parse_age)]
    pub grace: Option<GoDuration>,
    /// Even AMIs go that are shared with other accounts.
    #[arg(long)]
    pub shared: bool,
    /// Shows what would go, and removes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where the journals are; otherwise IMGBAKE_STATE_DIR, or XDG's directory for state.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// A command at work.
struct ChannelCommand<'a> {
    session: &'a Session,
    ui: &'a Ui,
    image: &'a ImageArguments,
    cancel: CancellationToken,
}

impl<'d> ChannelCommand<'d> {
    fn new(session: &'d Session, ui: &'d Ui, image: &'d ImageArguments) -> Self {
        Self { session, ui, image, cancel: CancellationToken::new() }
    }

    fn channels(&self) -> anyhow::Result<Channels> {
        Channels::new(&self.image.prefix, &self.image.image)
    }

    fn context(&self) -> Context {
        let (environment, redactor) =
            (self.session.environment.clone(), self.session.redactor.clone());
        Context { environment, redactor, ui: self.ui.clone(), cancel: self.cancel.clone() }
    }

    /// The regions that were given, each once; or the one that AWS's own tools use.
    fn regions(&self) -> Vec<Option<&str>> {
        let names: IndexSet<&str> = self.image.region.iter().map(String::as_str).collect();
        match names.is_empty() {
            true => vec![None],
            false => names.into_iter().map(Some).collect(),
        }
    }

    fn aim<'a>(&'a self, channels: &'a Channels, channel: &'a str) -> Aim<'a> {
        Aim { channels, channel, regions: &self.image.region }
    }

    /// Does `work`, or prints what it needs.
    fn run(
        &self,
        needs: impl Fn(&Channels, &Regions) -> Vec<Permission>,
        work: impl AsyncFnOnce(&Channels) -> anyhow::Result<Exit>,
    ) -> Exit {
        let refused = |error: anyhow::Error| {
            self.ui.error(format!("Error: {error:#}"));
            match self.cancel.is_cancelled() {
                true => Exit::Interrupted,
                false => Exit::Failure,
            }
        };
        let channels = match self.channels() {
            Ok(channels) => channels,
            Err(error) => return refused(error),
        };
        if self.image.iam_policy {
            let mut regions = self.image.region.iter().cloned();
            let own = regions.next();
            let at = Regions::new(own, &regions.collect::<Vec<_>>());
            self.ui.say(format!("{:#}", policy(needs(&channels, &at))));
            return Exit::Success;
        }
        let mut heard = match signals::heard() {
            Ok(heard) => heard,
            Err(error) => return refused(error.into()),
        };
        on_runtime(self.ui, async {
            let mut work = pin!(work(&channels));
            let ended = tokio::select! {
                ended = &mut work => ended,
                Some(signal) = heard.recv() => {
                    self.ui.error(format!("Interrupted ({signal}): nothing more is begun; a channel that is half written is put back"));
                    self.cancel.cancel();
                    work.await
                }
            };
            ended.unwrap_or_else(refused)
        })
    }
}

pub(crate) fn publish(session: &Session, ui: &Ui, arguments: &Publish) -> Exit {
    let Publish { image, channel, build, commit, artifact } = arguments;
    let command = ChannelCommand::new(session, ui, image);
    command.run(allow::publish, async |channels| {
        let environment = &session.environment;
        let amis = artifact::amis(artifact, &environment.cwd, build.as_deref())?;
        let release = run_name(session);
        let note = Note::of_release(&release, commit.as_deref(), environment);
        publish::publish(&command.context(), &command.aim(channels, channel), &amis, note).await?;
        ui.say(format!("Published as the release {release}"));
        Ok(Exit::Success)
    })
}

pub(crate) fn promote(session: &Session, ui: &Ui, arguments: &Promote) -> Exit {
    let Promote { image, from, to, untested } = arguments;
    let command = ChannelCommand::new(session, ui, image);
    command.run(allow::change, async |channels| {
        publish::promote(&command.context(), &command.aim(channels, to), from, *untested).await?;
        Ok(Exit::Success)
    })
}

pub(crate) fn rollback(session: &Session, ui: &Ui, arguments: &Rollback) -> Exit {
    let Rollback { image, channel, release } = arguments;
    let command = ChannelCommand::new(session, ui, image);
    command.run(allow::change, async |channels| {
        let aim = command.aim(channels, channel);
        publish::roll_back(&command.context(), &aim, release.as_deref()).await?;
        Ok(Exit::Success)
    })
}

pub(crate) fn list(session: &Session, ui: &Ui, arguments: &List) -> Exit {
    let command = ChannelCommand::new(session, ui, &arguments.image);
    command.run(allow::list, async |channels| {
        let cx = command.context();
        for name in command.regions() {
            let region = cx.region(name, Patience::Short).await?;
            show(ui, channels, &region).await?;
        }
        Ok(Exit::Success)
    })
}

/// What the channels say in `region`, and said.
async fn show(ui: &Ui, channels: &Channels, region: &Region) -> anyhow::Result<()> {
    let all = releases::all(region, channels).await?;
    if all.is_empty() {
        ui.say(format!("`{}` has no channel in {}.", channels.image(), region.name()));
    }
    for channel in all {
        ui.say(format!("{channel} in {}, the newest first:", region.name()));
        let history = releases::history(region, channels, &channel).await?;
        history.iter().rev().for_each(|release| ui.say(format!("--> {}", release.words())));
    }
    Ok(())
}

pub(crate) fn retire(session: &Session, ui: &Ui, arguments: &Retire) -> Exit {
    let Retire { image, keep, older_than, grace, shared, dry_run, state_dir } = arguments;
    let command = ChannelCommand::new(session, ui, image);
    command.run(allow::retire, async |channels| {
        ensure!(
            keep.is_some() || older_than.is_some(),
            "give -keep, -older-than or both: otherwise all AMIs of `{}` would go",
            channels.image()
        );
        let age = |given: Option<GoDuration>| {
            SignedDuration::try_from(given.map(GoDuration::get).unwrap_or_default())
        };
        let (older_than, grace) = (age(*older_than)?, age(*grace)?);
        let wanted = Wanted { keep: keep.unwrap_or_default(), older_than, grace, shared: *shared };
        let dir = journal_dir(session, state_dir.as_deref());
        let dir = dir.context(NO_JOURNALS)?;
        let journal = Journal::in_dir(&dir, &run_name(session));
        let retired = retire_all(&command, channels, &wanted, &journal, *dry_run).await;
        listing::list(ui, "These could not be removed:", &journal.left_behind());
        if let Some(run) = journal.close() {
            ui.error(format!("`imgbake cleanup -run {run}` tries again"));
            return Ok(Exit::LeftBehind);
        }
        retired
    })
}

/// One region after the other.
async fn retire_all(
    command: &ChannelCommand<'_>,
    channels: &Channels,
    wanted: &Wanted,
    journal: &Journal,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let cx = command.context();
    let (mut exit, mut gone) = (Exit::Success, 0);
    for name in command.regions() {
        let region = cx.region(name, Patience::Long).await?;
        let retired = retire::retire(&cx, &region, channels, wanted, journal, dry_run).await?;
        gone += retired.gone;
        if retired.failed {
            exit = Exit::Failure;
        }
    }
    match dry_run {
        true => command.ui.say(format!("{gone} AMIs would go; nothing was changed.")),
        false if exit == Exit::Success => command.ui.say(format!("{gone} AMIs are gone.")),
        false => {}
    }
    Ok(exit)
}
