//! How a build comes to its machine: it goes on with the one that an earlier run has kept, or starts one.

use std::sync::Arc;

use super::checkpoints::Checkpoints;
use super::files::{Fetch, Origin};
use super::keep::{Belongings, KeepMachine};
use super::kept::{self, FindKept, Kept};
use super::launch::Launched;
use super::options::Accelerator;
use super::parts::{GuestFacts, Parts};
use super::resume::{Claim, Claimed};
use super::{Begin, Qemu};
use crate::builder::output::OutputDirectory;
use crate::component::BuildContext;
use crate::step::Steps;
use crate::vm::download::Source;
use crate::vm::format;

/// A machine that runs, with all that belongs to it.
pub(super) struct Started {
    pub launched: Launched,
    pub parts: Parts,
    pub surroundings: GuestFacts,
    /// Whether it goes on where an earlier run has left it.
    pub is_resumed: bool,
    /// Its states, where it is kept if it fails.
    pub checkpoints: Option<Arc<Checkpoints>>,
}

impl Qemu {
    /// The machine, in its output directory.
    pub(super) async fn started(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        accelerator: Accelerator,
        begin: Begin,
    ) -> anyhow::Result<Started> {
        let image = match begin.image {
            Some(image) => image,
            None => steps.run(Fetch { download: self.download.clone() }).await?,
        };
        let keep = begin.source.map(|source| (source, kept::runs_on(accelerator.name())));
        let kept = match &keep {
            Some((source, runs_on)) if !cx.facts.force => {
                let path = kept::path(&self.directory);
                let (source, runs_on) = (source.clone(), runs_on.clone());
                steps.run(FindKept { path, source, runs_on }).await?
            }
            _ => None,
        };
        let directory = OutputDirectory::new(&self.directory).replacing(begin.replaces);
        steps.run(directory.written_down()).await?;
        let claimed = match kept {
            Some(kept) => steps.run(self.claim(kept, &image)?).await?,
            None => None,
        };
        let (mut started, points) =
            self.run_machine(cx, steps, accelerator, image, claimed).await?;
        if let Some((source, runs_on)) = keep {
            self.be_ready_to_keep(steps, &mut started, points, (source, runs_on)).await?;
        }
        Ok(started)
    }

    /// How the machine that was `kept` becomes ours; it was started from `image`.
    fn claim(&self, kept: Kept, image: &Source) -> anyhow::Result<Claim> {
        let base = match image {
            Source::File(image)
                if !self.installs() && Origin::of(&self.disks) == Origin::Overlay =>
            {
                Some((image.clone(), format::of(image)?))
            }
            _ => None,
        };
        Ok(Claim {
            kept,
            output: self.directory.clone(),
            disks: self.disk_paths(),
            variables: self.uefi()?.map(|uefi| uefi.vars),
            base,
            has_cd: self.cd.wants_cd(),
            has_floppy: self.floppy.wants_floppy(),
            has_key: self.connector.temporary_key().is_some(),
        })
    }

    /// Goes on with the machine that was `claimed`, or starts one from `image`; which of its states are
    /// there.
    async fn run_machine(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        accelerator: Accelerator,
        image: Source,
        claimed: Option<Claimed>,
    ) -> anyhow::Result<(Started, Vec<usize>)> {
        let surroundings = self.surroundings(cx, steps, claimed.as_ref()).await?;
        if let Some(claimed) = claimed {
            let done = claimed.kept.done;
            let parts = self.parts_of(image.clone(), &claimed, steps).await?;
            let resumed = self.resume(cx, steps, accelerator, (&parts, done), &surroundings);
            if let Some(launched) = resumed.await? {
                cx.provisioning.begin_after(done);
                let points = claimed.kept.record.points.iter().map(|point| point.done);
                let points = points.filter(|point| *point <= done).collect();
                let checkpoints = None;
                let started =
                    Started { launched, parts, surroundings, is_resumed: true, checkpoints };
                return Ok((started, points));
            }
        }
        let parts = self.parts(image, &surroundings, cx, steps).await?;
        let launched = self.launch(cx, steps, accelerator, &parts, &surroundings).await?;
        let checkpoints = None;
        let started = Started { launched, parts, surroundings, is_resumed: false, checkpoints };
        Ok((started, Vec::new()))
    }

    /// From now on the machine is kept if a provisioner fails; its states `points` are there, and it was
    /// started from `source`.
    async fn be_ready_to_keep(
        &self,
        steps: &Steps<'_>,
        started: &mut Started,
        points: Vec<usize>,
        (source, runs_on): (String, String),
    ) -> anyhow::Result<()> {
        let Started { launched, parts, surroundings, checkpoints, .. } = started;
        let (machine, memory) = (launched.machine.clone(), self.hardware.memory);
        let states = Checkpoints::new(machine, &self.directory, memory, points);
        let checkpoints = checkpoints.insert(Arc::new(states));
        let own_cd = parts.cds.last().filter(|_| self.cd.wants_cd());
        let mut files = parts.disks.clone();
        files.extend(parts.uefi.as_ref().map(|uefi| uefi.vars.clone()));
        let belongings = Belongings {
            files,
            cd: own_cd.and_then(|cd| match cd {
                Source::File(path) => Some(path.clone()),
                Source::Server(_) => None,
            }),
            floppy: parts.floppy.clone(),
            key: surroundings.key.clone(),
            mac: launched.mac.clone(),
            source,
            runs_on,
        };
        let keep = KeepMachine::new(&launched.machine, checkpoints, belongings, &self.directory)?;
        steps.run(keep).await
    }
}
