//! A machine on which a provisioner has failed is kept for a later run: the last state in which all was
//! well, or the one in which it failed where no checkpoints are taken.
//!
//! All that the later run needs is gathered within the output directory, and appears beside it under
//! its name at once. The journal says last that it stays: whoever is killed in between has left what
//! `imgbake cleanup` removes.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;

use super::checkpoints::Checkpoints;
use super::kept::{self, CD, FLOPPY, INSIDE, KEY, Point, RECORD, Record};
use crate::builder::directories::{self, remove_directory};
use crate::builder::keep;
use crate::communicator::TemporaryKey;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::fingerprint::MadeFrom;
use crate::journal::Thing;
use crate::step::{Ending, Step};
use crate::vm::machine::Machine;
use crate::whole_file;

/// The most characters that tell of the parts which a state is made from.
const MOST_PARTS: usize = 2 << 20;

/// The mode of files that only we may read.
const OURS_ALONE: u32 = 0o600;

/// Is ready to keep the machine. Undone before the machine is: then it is kept, if somebody wants that.
pub(super) struct KeepMachine {
    machine: Arc<Machine>,
    checkpoints: Arc<Checkpoints>,
    /// What there is to keep.
    belongings: Belongings,
    /// The directory of the image.
    output: PathBuf,
    /// The kept machine.
    thing: Arc<Thing>,
}

/// What a machine needs to go on, beside its memory.
#[derive(Clone)]
pub(super) struct Belongings {
    /// Its disks and UEFI variables.
    pub files: Vec<PathBuf>,
    pub cd: Option<PathBuf>,
    pub floppy: Option<PathBuf>,
    /// What opens it, if the template gives nothing.
    pub key: Option<Arc<TemporaryKey>>,
    pub mac: Option<String>,
    /// What it was started from.
    pub source: String,
    pub runs_on: String,
}

impl KeepMachine {
    pub fn new(
        machine: &Arc<Machine>,
        checkpoints: &Arc<Checkpoints>,
        belongings: Belongings,
        output: &Path,
    ) -> anyhow::Result<Self> {
        let thing = directories::thing("the kept machine", &kept::path(output))?;
        Ok(Self {
            machine: machine.clone(),
            checkpoints: checkpoints.clone(),
            belongings,
            output: output.to_owned(),
            thing: Arc::new(thing),
        })
    }

    async fn keep(&self, cx: &BuildContext, done: usize, time: Duration) -> anyhow::Result<()> {
        let path = kept::path(&self.output);
        let there = Record::read(&path, &cx.facts.unique_name);
        there.with_context(|| format!("{} is in its place", path.display()))?;
        self.save(cx, done).await?;
        let points = self.points(cx).await?;
        // Its disks are whole only when QEMU has ended.
        self.machine.stop().await;
        let until = keep::until(time)?;
        let (mac, runs_on) = (self.belongings.mac.clone(), self.belongings.runs_on.clone());
        let record = Record::new(until, runs_on, mac, points);
        let (inside, belongings) = (self.output.join(INSIDE), self.belongings.clone());
        let gather = {
            let inside = inside.clone();
            move || belongings.gather(&inside, &record)
        };
        tokio::task::spawn_blocking(gather).await??;
        // What was kept before is of no use any more.
        remove_directory(&path).await?;
        cx.journal.made(&self.thing, &directories::identity(&inside)?);
        fs::rename(&inside, &path).with_context(|| format!("cannot make {}", path.display()))?;
        let written = cx.journal.reserve_until(&self.thing, until).await;
        if let Err(error) = written {
            remove_directory(&path).await?;
            return Err(error).context("the journal cannot be written");
        }
        cx.ui.say(format!("The machine is kept in {} until {until}", path.display()));
        Ok(())
    }

    /// With checkpoints, there is a state already in which all is well; the one in which it failed is
    /// second best.
    async fn save(&self, cx: &BuildContext, done: usize) -> anyhow::Result<()> {
        if cx.keep_failed.is_some_and(|kept| kept.checkpoints) && !self.checkpoints.all().is_empty()
        {
            return Ok(());
        }
        cx.ui.say("Keeping the machine's state, so that another run can go on with it");
        self.checkpoints.save(done).await
    }

    /// The states that a later run can compare with what it would do.
    async fn points(&self, cx: &BuildContext) -> anyhow::Result<Vec<Point>> {
        let (mut points, mut unknown) = (Vec::new(), None);
        for done in self.checkpoints.all() {
            match cx.fingerprint.record_before(done).await {
                Ok(record) => {
                    let record = record.with_source(&self.belongings.source);
                    let made_from = MadeFrom::new(&cx.facts.unique_name, &record, MOST_PARTS);
                    points.push(Point { done, made_from });
                }
                Err(error) => unknown = Some(error),
            }
        }
        match unknown {
            Some(error) if points.is_empty() => Err(error),
            _ if points.is_empty() => bail!("no state of it was taken"),
            _ => Ok(points),
        }
    }
}

impl Belongings {
    /// Puts all of it into the directory `inside`, where it may be already; the `record` comes last.
    fn gather(&self, inside: &Path, record: &Record) -> anyhow::Result<()> {
        let context = || format!("cannot gather it in {}", inside.display());
        DirBuilder::new().recursive(true).mode(0o700).create(inside).with_context(context)?;
        for file in &self.files {
            let name = file.file_name().context("a disk has no name")?;
            fs::rename(file, inside.join(name)).with_context(context)?;
        }
        for (medium, name) in [(&self.cd, CD), (&self.floppy, FLOPPY)] {
            let to = inside.join(name);
            if let Some(medium) = medium.as_ref().filter(|medium| **medium != to) {
                fs::copy(medium, &to).with_context(context)?;
            }
        }
        if let Some(key) = &self.key {
            let text = key.private_openssh();
            whole_file::write(&inside.join(KEY), OURS_ALONE, text.expose().as_bytes())
                .with_context(context)?;
        }
        let text = serde_json::to_vec_pretty(record)?;
        whole_file::write(&inside.join(RECORD), OURS_ALONE, &text).with_context(context)
    }
}

#[async_trait]
impl Step for KeepMachine {
    type Output = ();

    fn name(&self) -> &'static str {
        "be ready to keep the machine"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.thing.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if cx.keep_failed.is_some_and(|kept| kept.checkpoints) {
            cx.provisioning.take_checkpoints(self.checkpoints.clone());
        }
        Ok(())
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        let Some((done, wanted)) = keep::wanted(cx, ending) else { return Ok(()) };
        if let Err(error) = self.keep(cx, done, wanted.time).await {
            cx.journal.release(&self.thing);
            cx.ui.error(format!("The machine is not kept: {error:#}"));
        }
        Ok(())
    }
}
