//! The AMI that a dead run of the same build was waiting for is finished instead of baked again.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::{Image, ImageState};
use jiff::{SignedDuration, Timestamp};

use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::error::Meaning;
use crate::aws::image::{by_id, snapshots};
use crate::aws::made::{BUILD_TAG, Clue, Made, Origin};
use crate::aws::removal::Removal;
use crate::aws::tags;
use crate::builder::amazon::ebs::Job;
use crate::builder::amazon::image::create_image::wait_for_image;
use crate::builder::amazon::steps::{MadeImage, SourceAmi};
use crate::component::{BuildContext, CleanupContext};
use crate::event::Phase;
use crate::journal::{Entry, Journal, Thing};
use crate::step::{Ending, Step};

/// Until when an AMI is as good as one that is made now: what a build downloads is not in its
/// fingerprint, but changes.
const FRESH: SignedDuration = SignedDuration::from_hours(12);

/// What a dead run has left of this build: an AMI that it made from the same.
pub(crate) struct Left {
    /// Nobody else cleans up after that run as long as this is held.
    journal: Journal,
    entry: Entry,
    made: Made,
    origin: Origin,
    name: String,
    instance: String,
}

impl Left {
    /// Looks through the journals of dead runs on this machine.
    pub(crate) async fn find(cx: &BuildContext, job: &Job) -> Option<Self> {
        if job.settings.force || job.settings.ebs.skip_create_ami {
            return None;
        }
        let number = cx.fingerprint.number().await?;
        let is_same = |origin: &Origin| origin.number == number;
        let dead = cx.journal.of_dead(|thing| {
            Clue::of(thing).is_ok_and(|clue| clue.ec2.origin().is_some_and(is_same))
        });
        let left = dead.iter().flat_map(|journal| {
            // It may have been finished already, before anybody heard of it.
            let entries = journal.unclaimed().into_iter().chain(journal.entries());
            entries.filter_map(|entry| Self::read(journal, entry))
        });
        let here = job.account.place(job.account.region());
        let mut left = left.filter(|left| is_same(&left.origin));
        left.find(|left| {
            let there = Clue::of(&left.entry.thing).map(|clue| clue.r#in);
            let is_here = there.is_ok_and(|there| {
                (there.region, there.endpoint) == (here.region.clone(), here.endpoint.clone())
            });
            is_here && !left.is_settled()
        })
    }

    fn read(journal: &Journal, entry: Entry) -> Option<Self> {
        let made = Clue::of(&entry.thing).ok()?.ec2;
        let (Made::Image { name, instance, origin, .. }
        | Made::Intermediary { name, instance, origin, .. }) = made.clone()
        else {
            return None;
        };
        let (journal, origin) = (journal.clone(), origin?);
        Some(Self { journal, entry, made, origin, name, instance })
    }

    /// Whether the dead run has gone on to what would have to be taken back before.
    fn is_settled(&self) -> bool {
        self.journal.unclaimed().iter().chain(&self.journal.entries()).any(|entry| {
            let made = Clue::of(&entry.thing).map(|clue| clue.ec2);
            matches!(made, Ok(Made::Replaced(_) | Made::FastLaunch { .. }))
        })
    }

    /// The name of the AMI.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The step that finishes the AMI, if it was made from `source` as well, is still there, and not
    /// too old.
    pub(crate) async fn adopt(
        self,
        cx: &BuildContext,
        job: &Job,
        source: &SourceAmi,
    ) -> anyhow::Result<Option<AdoptImage>> {
        let clue = Clue::of(&self.entry.thing)?;
        let here = job.account.place(job.account.region());
        if self.origin.source != source.id() || clue.r#in.account != here.account {
            return Ok(None);
        }
        let removal = Removal { suspicious: true, journal: &self.journal, ..job.removal(cx) };
        let Some((_, id)) = removal.find(&self.entry.thing).await? else { return Ok(None) };
        let image = by_id(&job.ec2(cx), &id).await?.filter(is_good);
        Ok(image.map(|image| AdoptImage::new(job, self, id, &image)))
    }

    /// The same AMI, of `job`. Until it has the tag of that, it has the one that `image` shows.
    fn made_by(&self, job: &Job, image: &Image) -> Made {
        let mut tags = image.tags().iter();
        let now = tags.find(|tag| tag.key() == Some(BUILD_TAG)).and_then(|tag| tag.value());
        let before = now.unwrap_or(&self.origin.token).to_owned();
        let origin = Some(Origin { token: before, ..self.origin.clone() });
        let (name, instance, token) = (self.name.clone(), self.instance.clone(), job.token.clone());
        match &self.made {
            Made::Intermediary { .. } => Made::Intermediary { name, instance, token, origin },
            _ => Made::Image { name, instance, token, origin },
        }
    }

    /// Whether `made` is what the dead run has left of the build that made the AMI `id`.
    fn is_of_same_build(&self, id: &str, made: &Made) -> bool {
        match made {
            Made::Volume { instance, .. }
            | Made::Session { instance, .. }
            | Made::Image { instance, .. }
            | Made::Intermediary { instance, .. } => *instance == self.instance,
            Made::Copy { source, .. } => source == id,
            made => made.token().is_some_and(|token| self.made.tokens().contains(&token)),
        }
    }
}

fn is_good(image: &Image) -> bool {
    let made_at = image.creation_date().and_then(|date| date.parse::<Timestamp>().ok());
    let is_old = made_at.is_some_and(|made_at| Timestamp::now().duration_since(made_at) > FRESH);
    !is_old && matches!(image.state(), Some(ImageState::Pending | ImageState::Available))
}

/// Waits until the AMI can be used, as the dead run did. In the end, all else that run has left of
/// its build goes.
pub(crate) struct AdoptImage {
    job: Job,
    left: Left,
    id: String,
    made: Arc<Thing>,
}

impl AdoptImage {
    fn new(job: &Job, left: Left, id: String, image: &Image) -> Self {
        let made = left.made_by(job, image).thing(&job.account, job.account.region());
        Self { job: job.clone(), made: Arc::new(made.known_as(&id)), left, id }
    }

    /// The machine that the AMI was made of.
    pub(crate) fn instance(&self) -> String {
        self.left.instance.clone()
    }

    /// Removes what the dead run has left of its build as far as it is meant; what cannot be removed
    /// stays in its journal.
    async fn clean_up(&self, cx: &BuildContext, is_meant: impl Fn(&Made) -> bool) {
        let environment = cx.facts.scope.environment.clone();
        let (redactor, ui) = (cx.redactor.clone(), cx.ui.clone());
        let cx = CleanupContext { environment, redactor, ui, only_looks: false };
        let cleaner = Ec2Cleaner { access: self.job.settings.access.clone(), cx };
        let is_left = |made: &Made| self.left.is_of_same_build(&self.id, made) && is_meant(made);
        cleaner.clean_some(&self.left.journal, is_left).await;
        for left in self.left.journal.left_behind() {
            cleaner.cx.ui.error(format!("this could not be removed: {left}"));
        }
    }
}

#[async_trait]
impl Step for AdoptImage {
    type Output = MadeImage;

    fn name(&self) -> &'static str {
        "adopt the AMI"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<MadeImage> {
        let run = self.left.journal.run().unwrap_or_default();
        let name = &self.left.name;
        cx.ui.say(format!(
            "Adopting {} (`{name}`): the run {run} made it from the same, and died before it was \
             finished",
            self.id,
        ));
        let ec2 = self.job.ec2(cx);
        let tags = self.job.known_as_ours(cx);
        let ids = [self.id.clone()];
        let ours = async {
            match tags::put(&ec2, &ids, &tags).await {
                // Then it stays if this run is killed, too.
                Err(error) if error.meaning != Meaning::Denied => {
                    Err(error).context("cannot tag the AMI of a dead run as ours")
                }
                _ => Ok(()),
            }
        };
        // Its copies are made anew, even those that are finished.
        self.left.journal.give_up_products();
        let copies = self.clean_up(cx, |made| matches!(made, Made::Copy { .. }));
        let wait = wait_for_image(cx, &self.job, &ec2, &self.id);
        let (ours, (), image) = tokio::join!(ours, copies, wait);
        let image = image.context("the AMI of a dead run cannot be finished")?;
        ours?;
        // It is in our journal now, and has our tags.
        self.left.journal.gone(&self.left.entry.thing);
        let region = self.job.account.region().to_owned();
        let (id, name) = (self.id.clone(), name.clone());
        Ok(MadeImage { region, id, name, snapshots: snapshots(&image) })
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        let removed = async {
            match ending {
                Ending::Done if self.made.is_product() => Ok(()),
                _ => self.job.removal(cx).remove(&self.made).await,
            }
        };
        let (removed, ()) = tokio::join!(removed, self.clean_up(cx, |_| true));
        self.left.journal.close();
        removed
    }

    fn stands_alone(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ami_that_is_old_or_failed_is_not_adopted() {
        let image = |hours_ago: i64, state: ImageState| {
            let made_at = Timestamp::now() - SignedDuration::from_hours(hours_ago);
            Image::builder().creation_date(made_at.to_string()).state(state).build()
        };
        assert!(is_good(&image(0, ImageState::Pending)));
        assert!(is_good(&image(11, ImageState::Available)));
        assert!(!is_good(&image(13, ImageState::Available)));
        assert!(!is_good(&image(0, ImageState::Failed)));
        // EC2 does not know yet when it was made.
        assert!(is_good(&Image::builder().state(ImageState::Pending).build()));
    }
}
