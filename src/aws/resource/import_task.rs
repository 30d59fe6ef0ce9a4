//! The import of a disk, and the AMI that comes of it.

use async_trait::async_trait;
use aws_sdk_ec2::types::{Filter, ImportImageTask};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::{Mark, has_tag, of_any_build, of_build};
use crate::aws::call::Ec2;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::image;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::aws::resource::s3_object::S3Object;
use crate::aws::resource::snapshot;
use crate::aws::wait::{Seen, Wait};
use crate::permission::Permission;

/// An import.
pub static KIND: Kind = Kind {
    key: "import",
    label: "import",
    order: Order::First,
    is_product: true,
    read: read::<ImportTask>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// The import of this object that has our tag. EC2 remembers it for a while, with the AMI that it has
/// made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportTask {
    /// The value of the build's tag.
    pub token: String,
    /// The bucket of the object.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// Whether its AMI is there only to be copied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_intermediary: bool,
}

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// EC2 works on it: what it says of that, and how much is done.
    Active(String, Option<u8>),
    /// It has made this AMI.
    Completed(String),
    /// It is given up: why.
    Ended(String),
}

#[async_trait]
impl Resource for ImportTask {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("of s3://{}/{}", self.bucket, self.key)
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    fn is_product(&self) -> bool {
        !self.is_intermediary
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let tasks = described(&search.ec2, of_build(&self.token)).await?.into_iter();
        let mut best = Found::Nothing;
        for task in
            tasks.filter(|task| search.id.is_none_or(|id| task.import_task_id() == Some(id)))
        {
            if is_left(&search.ec2, &task).await?
                && best.take(Found::new(task.import_task_id(), self.is_mine(&task)))
            {
                break;
            }
        }
        Ok(best)
    }

    /// Cancels it; what it had made by then is removed.
    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let (ec2, id) = (&target.ec2, target.id);
        let Some(mut task) = by_id(ec2, id).await? else { return Ok(()) };
        if let Progress::Active(..) = progress(&task) {
            removal.ui.say(format!("Cancelling the import {id}"));
            let request = ec2.cancel_import_task().import_task_id(id);
            ec2.remove("CancelImportTask", |_| request.clone().send()).await?;
            task = ended(removal, ec2, task).await?;
        }
        if let Progress::Completed(image) = progress(&task) {
            removal.ui.say(format!("Deregistering {image} and deleting its snapshots"));
            image::deregister(ec2, &image).await?;
        }
        for snapshot in snapshots(&task) {
            snapshot::delete(ec2, removal.ui, &snapshot).await?;
        }
        Ok(())
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeImages", "DescribeImportImageTasks", "DescribeSnapshots"]),
            at.on_ours("import-image-task", &["CancelImportTask"]),
            at.on(&["image"], &["DeregisterImage"]),
            at.on(&["snapshot"], &["DeleteSnapshot"]),
        ]
    }
}

impl ImportTask {
    /// Whether `task` has our tag, and EC2 says that it reads our object.
    fn is_mine(&self, task: &ImportImageTask) -> bool {
        let reads_ours =
            source(task).is_some_and(|(bucket, key)| bucket == self.bucket && key == self.key);
        has_tag(task.tags(), &self.token) && reads_ours
    }
}

/// The object that `task` reads: its bucket and its key.
fn source(task: &ImportImageTask) -> Option<(&str, &str)> {
    let disk = task.snapshot_details().first()?.user_bucket()?;
    disk.s3_bucket().zip(disk.s3_key())
}

/// The snapshots that `task` has made.
fn snapshots(task: &ImportImageTask) -> Vec<String> {
    let disks = task.snapshot_details().iter();
    disks.filter_map(|disk| disk.snapshot_id()).map(str::to_owned).collect()
}

/// How far `task` is.
pub fn progress(task: &ImportImageTask) -> Progress {
    let said = task.status_message().unwrap_or_default();
    let or = |word: &str| if said.is_empty() { word.to_owned() } else { said.to_owned() };
    match task.status() {
        Some("completed") => Progress::Completed(task.image_id().unwrap_or_default().to_owned()),
        Some("deleted" | "deleting") => Progress::Ended(or("EC2 gives no reason")),
        other => {
            let percent = task.progress().and_then(|text| text.trim_end_matches('%').parse().ok());
            Progress::Active(or(other.unwrap_or("pending")), percent)
        }
    }
}

/// Whether `task` goes on, or something of what it has made is there.
async fn is_left(ec2: &Ec2, task: &ImportImageTask) -> Result<bool, ApiError> {
    if let Progress::Active(..) = progress(task) {
        return Ok(true);
    }
    if let Progress::Completed(image) = progress(task)
        && image::by_id(ec2, &image).await?.is_some()
    {
        return Ok(true);
    }
    let there = try_join_all(snapshots(task).iter().map(|id| snapshot::own(ec2, id))).await?;
    Ok(there.iter().any(Option::is_some))
}

/// `task` when it is not active any more.
async fn ended(
    removal: &Removal<'_>,
    ec2: &Ec2,
    task: ImportImageTask,
) -> anyhow::Result<ImportImageTask> {
    let id = task.import_task_id().unwrap_or_default();
    let (patience, memory) = (removal.patience, &removal.account.memory);
    let wait = Wait { kind: "import cancelled", what: id, patience, memory };
    wait.until(removal.ui, removal.cancel, || async {
        let seen = by_id(ec2, id).await?.unwrap_or_else(|| task.clone());
        Ok(match progress(&seen) {
            Progress::Active(said, progress) => Seen::Pending { state: said, progress },
            _ => Seen::Ready(seen),
        })
    })
    .await
}

/// The import `id`, if the API knows it.
pub async fn by_id(ec2: &Ec2, id: &str) -> Result<Option<ImportImageTask>, ApiError> {
    let request = ec2.describe_import_image_tasks().import_task_ids(id);
    match ec2.call("DescribeImportImageTasks", |_| request.clone().send()).await {
        Err(error) if error.is_not_found() => Ok(None),
        found => Ok(found?.import_image_tasks.unwrap_or_default().into_iter().next()),
    }
}

/// The id of the import that a call of the build of `token` has begun.
pub async fn find(ec2: &Ec2, token: &str) -> Result<Option<String>, ApiError> {
    let tasks = described(ec2, of_build(token)).await?;
    let ours = tasks.into_iter().find(|task| has_tag(task.tags(), token));
    Ok(ours.and_then(|task| task.import_task_id))
}

async fn described(ec2: &Ec2, wanted: Filter) -> Result<Vec<ImportImageTask>, ApiError> {
    let request = ec2.describe_import_image_tasks().filters(wanted);
    let answer = ec2.call("DescribeImportImageTasks", |_| request.clone().send()).await?;
    Ok(answer.import_image_tasks.unwrap_or_default())
}

/// Those that go on: what has come of the others may be wanted. Beside their tags their object proves
/// them, which says itself that our build uploaded it.
async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let s3 = area.account.s3(area.cancel);
    let tasks = match described(&area.ec2(), of_any_build()).await {
        // Whoever may not look at imports began none.
        Err(error) if error.meaning == Meaning::Denied => return Ok(Vec::new()),
        tasks => tasks?.into_iter(),
    };
    let tasks = tasks.filter(|task| matches!(progress(task), Progress::Active(..)));
    let each = tasks.map(async |task| {
        let Some(mark) = Mark::of(task.tags()) else { return Ok(None) };
        let Some((bucket, key)) = source(&task) else { return Ok(None) };
        let (bucket, key, token) = (bucket.to_owned(), key.to_owned(), mark.token.clone());
        let object = S3Object {
            bucket: bucket.clone(),
            key: key.clone(),
            token: token.clone(),
            stays: false,
        };
        let is_proven = object.is_uploaded(&s3).await?;
        let ours = ImportTask { token, bucket, key, is_intermediary: false };
        Ok(Tagged::new(task.import_task_id, mark, is_proven, ours))
    });
    let all: Vec<_> = try_join_all(each).await?;
    Ok(all.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{SnapshotDetail, UserBucketDetails};

    use super::*;
    use crate::aws::build_tags::BUILD_TAG;

    #[test]
    fn an_import_is_ours_only_with_our_tag_and_our_object() {
        let token = "6560f0a1-0000-0000-0000-000000000000";
        let ours = ImportTask {
            token: token.to_owned(),
            bucket: "b".to_owned(),
            key: "disk".to_owned(),
            is_intermediary: false,
        };
        let of = |tag: &str, key: &str| {
            let object = UserBucketDetails::builder().s3_bucket("b").s3_key(key).build();
            let disk = SnapshotDetail::builder().user_bucket(object).build();
            let tagged = ImportImageTask::builder().tags(crate::aws::tags::tag(BUILD_TAG, tag));
            ours.is_mine(&tagged.snapshot_details(disk).build())
        };
        assert!(of(token, "disk"));
        assert!(!of("6560f0a1-1111-1111-1111-111111111111", "disk"), "of another build");
        assert!(!of(token, "another"), "of another object");
        let untagged = ImportImageTask::builder().build();
        assert!(!ours.is_mine(&untagged));
    }

    #[test]
    fn an_import_says_how_far_it_is_and_why_it_was_given_up() {
        let task = |status: &str, said: &str| {
            let task = ImportImageTask::builder().status(status).progress("28").image_id("ami-1");
            progress(&task.status_message(said).build())
        };
        let active = |said: &str| Progress::Active(said.to_owned(), Some(28));
        assert_eq!(task("active", "converting"), active("converting"));
        assert_eq!(task("active", ""), active("active"));
        assert_eq!(task("completed", ""), Progress::Completed("ami-1".to_owned()));
        let why = "ClientError: No valid partitions. Not a valid volume.";
        assert_eq!(task("deleted", why), Progress::Ended(why.to_owned()));
    }
}
