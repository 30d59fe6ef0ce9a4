//! The AMI that a dead run of the same build was waiting for is finished instead of baked again.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::{Image, ImageState};
use jiff::{SignedDuration, Timestamp};

use crate::aws::build_tags::BUILD_TAG;
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::error::Meaning;
use crate::aws::image::{by_id, creation};
use crate::aws::removal::Removal;
use crate::aws::resource::ami::{Ami, Origin};
use crate::aws::resource::ami_copy::AmiCopy;
use crate::aws::resource::fast_launch::FastLaunch;
use crate::aws::resource::intermediary_ami::IntermediaryAmi;
use crate::aws::resource::kind::Parent;
use crate::aws::resource::replaced_ami::ReplacedAmi;
use crate::aws::resource::{Recorded, Resource};
use crate::aws::tags;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::new_ami::wait_for_image;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::{BuildContext, CleanupContext};
use crate::event::Phase;
use crate::journal::{Entry, Journal, Thing};
use crate::step::{Ending, Step};

/// Until when an AMI is as good as one that is made now: what a build downloads is not in its
/// fingerprint, but changes.
const FRESH: SignedDuration = SignedDuration::from_hours(12);

/// What a dead run has left of this build: an AMI that it made from the same.
pub(crate) struct AbandonedAmi {
    /// Nobody else cleans up after that run as long as this is held.
    journal: Journal,
    entry: Entry,
    ami: Ami,
    origin: Origin,
    /// Whether it was made only to be copied.
    is_intermediary: bool,
}

/// The AMI that `thing` is, if it is one that was made of an instance.
fn ami(thing: &Thing) -> Option<Ami> {
    let recorded = Recorded::of(thing).ok()?;
    let intermediary = || recorded.get().map(|IntermediaryAmi(ami)| ami);
    recorded.get().or_else(intermediary).cloned()
}

impl AbandonedAmi {
    /// Looks through the journals of dead runs on this machine.
    pub(crate) async fn find(cx: &BuildContext, imaging: &Imaging) -> Option<Self> {
        if imaging.settings.force {
            return None;
        }
        let number = cx.fingerprint.digest().await?;
        let is_same = |origin: &Origin| origin.number == number;
        let dead = cx
            .journal
            .of_dead(|thing| ami(thing).and_then(|ami| ami.origin).as_ref().is_some_and(is_same));
        let amis = dead.iter().flat_map(|journal| {
            // It may have been finished already, before anybody heard of it.
            let entries = journal.product_entries().into_iter().chain(journal.entries());
            entries.filter_map(|entry| Self::read(journal, entry))
        });
        let here = imaging.build.account.place(imaging.build.account.region());
        let mut amis = amis.filter(|ami| is_same(&ami.origin));
        amis.find(|ami| {
            let there = Recorded::of(&ami.entry.thing).map(|recorded| recorded.place);
            let is_here = there.is_ok_and(|there| {
                (there.region, there.endpoint) == (here.region.clone(), here.endpoint.clone())
            });
            is_here && !ami.is_settled()
        })
    }

    fn read(journal: &Journal, entry: Entry) -> Option<Self> {
        let ami = ami(&entry.thing)?;
        let (journal, origin) = (journal.clone(), ami.origin.clone()?);
        let is_intermediary = !entry.thing.is_product();
        Some(Self { journal, entry, ami, origin, is_intermediary })
    }

    /// Whether the dead run has gone on to what would have to be taken back before.
    fn is_settled(&self) -> bool {
        self.journal.product_entries().iter().chain(&self.journal.entries()).any(|entry| {
            Recorded::of(&entry.thing).is_ok_and(|recorded| {
                recorded.get::<ReplacedAmi>().is_some() || recorded.get::<FastLaunch>().is_some()
            })
        })
    }

    /// The name of the AMI.
    pub(crate) fn name(&self) -> &str {
        &self.ami.name
    }

    /// The step that finishes the AMI, if it was made from `source` as well, is still there, and not
    /// too old.
    pub(crate) async fn adopt(
        self,
        cx: &BuildContext,
        imaging: &Imaging,
        source: &SourceAmi,
    ) -> anyhow::Result<Option<AdoptImage>> {
        let place = Recorded::of(&self.entry.thing)?.place;
        let here = imaging.build.account.place(imaging.build.account.region());
        if self.origin.source != source.id() || place.account != here.account {
            return Ok(None);
        }
        let removal =
            Removal { is_of_dead_run: true, journal: &self.journal, ..imaging.build.removal(cx) };
        let Some((_, id)) = removal.find(&self.entry.thing).await? else { return Ok(None) };
        let image = by_id(&imaging.build.ec2(cx), &id).await?.filter(is_good);
        Ok(image.map(|image| AdoptImage::new(imaging, self, id, &image)))
    }

    /// The same AMI, of `imaging`. Until it has the tag of that, it has the one that `image` shows.
    fn made_by(&self, imaging: &Imaging, image: &Image) -> Thing {
        let now = tags::value(image.tags(), BUILD_TAG);
        let before = now.unwrap_or(&self.origin.token).to_owned();
        let origin = Some(Origin { token: before, ..self.origin.clone() });
        let ami = Ami { token: imaging.build.token.clone(), origin, ..self.ami.clone() };
        match self.is_intermediary {
            true => {
                IntermediaryAmi(ami).thing(&imaging.build.account, imaging.build.account.region())
            }
            false => ami.thing(&imaging.build.account, imaging.build.account.region()),
        }
    }

    /// Whether the dead run has left `resource` of the build that made the AMI `id`.
    fn is_of_same_build(&self, id: &str, resource: &dyn Resource) -> bool {
        match resource.parent() {
            Some(Parent::Instance(instance)) => instance == self.ami.instance,
            Some(Parent::Image(image)) if image == id => true,
            _ => resource.tokens().iter().any(|token| self.ami.tokens().contains(token)),
        }
    }
}

fn is_good(image: &Image) -> bool {
    let is_old =
        creation(image).is_some_and(|made_at| Timestamp::now().duration_since(made_at) > FRESH);
    !is_old && matches!(image.state(), Some(ImageState::Pending | ImageState::Available))
}

/// Waits until the AMI can be used, as the dead run did. In the end, all else that run has left of
/// its build goes.
pub(crate) struct AdoptImage {
    imaging: Imaging,
    abandoned: AbandonedAmi,
    id: String,
    made: Arc<Thing>,
}

impl AdoptImage {
    fn new(imaging: &Imaging, abandoned: AbandonedAmi, id: String, image: &Image) -> Self {
        let made = abandoned.made_by(imaging, image).known_as(&id);
        Self { imaging: imaging.clone(), made: Arc::new(made), abandoned, id }
    }

    /// The machine that the AMI was made of.
    pub(crate) fn instance(&self) -> String {
        self.abandoned.ami.instance.clone()
    }

    /// Removes what the dead run has left of its build as far as it is meant; what cannot be removed
    /// stays in its journal.
    async fn clean_up(&self, cx: &BuildContext, is_meant: impl Fn(&Recorded) -> bool) {
        let environment = cx.facts.scope.environment.clone();
        let (redactor, ui) = (cx.redactor.clone(), cx.ui.clone());
        let cx = CleanupContext { environment, redactor, ui, dry_run: false };
        let cleaner = Ec2Cleaner { access: self.imaging.build.options.access.clone(), cx };
        let is_left = |one: &Recorded| {
            self.abandoned.is_of_same_build(&self.id, &*one.resource) && is_meant(one)
        };
        cleaner.clean_some(&self.abandoned.journal, is_left).await;
        for left in self.abandoned.journal.left_behind() {
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
        let run = self.abandoned.journal.run_to_clean_up().unwrap_or_default();
        let name = &self.abandoned.ami.name;
        cx.ui.say(format!(
            "Adopting {} (`{name}`): the run {run} made it from the same, and died before it was \
             finished",
            self.id,
        ));
        let ec2 = self.imaging.build.ec2(cx);
        let tags = self.imaging.build.known_as_ours(cx);
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
        self.abandoned.journal.give_up_products();
        let copies = self.clean_up(cx, |one| one.get::<AmiCopy>().is_some());
        let wait = wait_for_image(cx, &self.imaging, &ec2, &self.id);
        let (ours, (), image) = tokio::join!(ours, copies, wait);
        let image = image.context("the AMI of a dead run cannot be finished")?;
        ours?;
        // It is in our journal now, and has our tags.
        self.abandoned.journal.gone(&self.abandoned.entry.thing);
        Ok(MadeImage::new(self.imaging.build.account.region(), &self.id, name, &image))
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        let removed = self.imaging.undo(cx, &self.made, ending);
        let (removed, ()) = tokio::join!(removed, self.clean_up(cx, |_| true));
        self.abandoned.journal.close();
        removed
    }

    fn undoes_independently(&self) -> bool {
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
