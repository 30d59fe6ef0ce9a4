//! What the ways to make an AMI have in common: its name, its line in the journal, the wait for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_ec2::types::{Image, ImageState, ResourceType, TagSpecification};

use crate::aws::call::Ec2;
use crate::aws::image::{by_id, snapshots};
use crate::aws::name;
use crate::aws::resource::ami::{self, Ami};
use crate::aws::resource::intermediary_ami::IntermediaryAmi;
use crate::aws::resource::{Resource as _, snapshot};
use crate::aws::tags::specification;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::image::find_unchanged::tags_of;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::make::Naming;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::step::Ending;

/// How long an image or snapshot may stay without progress.
const IMAGE_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// An AMI that a step makes. A failed build leaves neither it nor its snapshots; of a temporary one
/// that is so in any case.
pub(super) struct NewAmi {
    pub imaging: Imaging,
    pub source: SourceAmi,
    ami: Ami,
    /// Its line in the journal.
    pub made: Arc<Thing>,
}

impl NewAmi {
    /// `ami`, which has no name and no token yet.
    pub fn new(imaging: &Imaging, source: &SourceAmi, ami: Ami, naming: Naming) -> Self {
        let account = &imaging.build.account;
        let name = match naming {
            Naming::Temporary => name::temporary(),
            Naming::Final => imaging.settings.ami.ami_name.clone(),
        };
        let ami = Ami { name, token: imaging.build.token.clone(), ..ami };
        let made = match naming {
            Naming::Temporary => IntermediaryAmi(ami.clone()).thing(account, account.region()),
            Naming::Final => ami.thing(account, account.region()),
        };
        Self { imaging: imaging.clone(), source: source.clone(), ami, made: Arc::new(made) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.ami.name
    }

    /// Its tags, for the call that makes it. Until it is finished, it is ours. Snapshots get their
    /// tags in a later step.
    pub async fn tags(&self, cx: &BuildContext) -> anyhow::Result<Option<Vec<TagSpecification>>> {
        let mut tags = match self.imaging.takes_run_tags() {
            true => self.imaging.build.run_tags(cx, &self.source)?,
            false => Vec::new(),
        };
        tags.extend(self.imaging.build.known_as_ours(cx));
        tags.extend(tags_of(cx, &self.source).await);
        Ok(specification(ResourceType::Image, &tags).map(|tags| vec![tags]))
    }

    /// Its description.
    pub fn description(&self, cx: &BuildContext) -> anyhow::Result<Option<String>> {
        description(cx, &self.imaging, &self.source)
    }

    /// Its id, if a call that was not answered has made it.
    pub async fn look(&self, ec2: &Ec2) -> anyhow::Result<Option<String>> {
        let tokens = [self.ami.token.as_str()];
        Ok(ami::find(ec2, &self.ami, None, &tokens, false).await?.ours())
    }

    /// Waits until it can be used.
    pub async fn wait(&self, cx: &BuildContext, id: String) -> anyhow::Result<MadeImage> {
        cx.journal.made(&self.made, &id);
        cx.ui.say(format!("AMI: {id}"));
        let image = wait_for_image(cx, &self.imaging, &self.imaging.build.ec2(cx), &id).await?;
        Ok(MadeImage {
            region: self.imaging.build.account.region().to_owned(),
            id,
            name: self.name().to_owned(),
            snapshots: snapshots(&image),
            own_snapshots: self.ami.snapshots.clone(),
        })
    }

    /// Removes it, if nobody wants it.
    pub async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        self.imaging.undo(cx, &self.made, ending).await
    }
}

impl fmt::Display for NewAmi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.made.is_product() { "the AMI" } else { "an intermediary AMI" };
        write!(f, "{kind} `{}`", self.name())
    }
}

/// `ami_description` with the facts of the source AMI filled in.
pub(crate) fn description(
    cx: &BuildContext,
    imaging: &Imaging,
    source: &SourceAmi,
) -> anyhow::Result<Option<String>> {
    let Some(text) = &imaging.settings.ami.ami_description else { return Ok(None) };
    let text = text.render(&cx.facts.scope, &source.dot());
    Ok(Some(text.context("cannot render `ami_description`")?).filter(|text| !text.is_empty()))
}

/// Waits until the AMI `id` can be used.
pub(crate) async fn wait_for_image(
    cx: &BuildContext,
    imaging: &Imaging,
    ec2: &Ec2,
    id: &str,
) -> anyhow::Result<Image> {
    let patience = imaging.build.patience(cx, IMAGE_PATIENCE);
    let wait =
        Wait { kind: "AMI available", what: id, patience, memory: &imaging.build.account.memory };
    wait.until(&cx.ui, &cx.cancel, || look_at_image(ec2, id)).await
}

async fn look_at_image(ec2: &Ec2, id: &str) -> anyhow::Result<Seen<Image>> {
    let Some(image) = by_id(ec2, id).await? else { return Ok(Seen::pending("not known yet")) };
    match image.state() {
        Some(ImageState::Available) => Ok(Seen::Ready(image)),
        Some(ImageState::Pending | ImageState::Transient) | None => {
            let progress = progress(ec2, &snapshots(&image)).await;
            Ok(Seen::Pending { state: "pending".into(), progress })
        }
        Some(other) => {
            let reason = image.state_reason().and_then(|reason| reason.message());
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            bail!("the AMI {id} is {}{reason}", other.as_str())
        }
    }
}

/// The progress of the slowest snapshot, if EC2 says any.
async fn progress(ec2: &Ec2, ids: &[String]) -> Option<u8> {
    if ids.is_empty() {
        return None;
    }
    let request = ec2.describe_snapshots().set_snapshot_ids(Some(ids.to_vec()));
    let found = ec2.call("DescribeSnapshots", |_| request.clone().send()).await.ok()?;
    found.snapshots().iter().filter_map(snapshot::percent).min()
}
