//! The tags of what a build makes: which run and which build it belongs to.

use aws_sdk_ec2::types::{Filter, Tag};
use jiff::Timestamp;

use crate::aws::call::Ec2;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::image::filter;
use crate::aws::name::time_of;
use crate::aws::tags::{self, tag};

/// The tag that finds what a build makes, even if EC2's answer was lost. Its value, the token of the
/// build, begins with the moment when the build began.
pub const BUILD_TAG: &str = "imgbake:build";
/// The tag that says which run something belongs to.
pub const RUN_TAG: &str = "imgbake:run";

/// The tag that says until when a machine stays on which a provisioner has failed: nobody removes it
/// before, and any run may go on there.
pub const KEPT_UNTIL_TAG: &str = "imgbake:kept-until";
/// The tag that says which build has gone on there last, by its token.
pub const RESUMED_TAG: &str = "imgbake:resumed-by";

/// The tags of what belongs to a build while it runs.
pub fn own_tags(run: &str, token: &str) -> [Tag; 2] {
    [tag(RUN_TAG, run), tag(BUILD_TAG, token)]
}

/// Removes our tags from what stays. Where the credentials may not do that, the tag is given a value
/// that no build has: then nothing takes it for garbage.
pub async fn hand_over(ec2: &Ec2, ids: &[String]) -> Result<(), ApiError> {
    match tags::remove(ec2, ids, &[RUN_TAG, BUILD_TAG]).await {
        Err(error) if error.meaning == Meaning::Denied => {
            tracing::info!(%error, "our tags stay");
            tags::put(ec2, ids, &[tag(BUILD_TAG, "finished")]).await
        }
        removed => removed,
    }
}

/// Whether `tags` have the one of the build of `token`.
pub fn has_tag(tags: &[Tag], token: &str) -> bool {
    tags::value(tags, BUILD_TAG) == Some(token)
}

/// Fits what has the tag of the build of `token`.
pub fn of_build(token: &str) -> Filter {
    filter(format!("tag:{BUILD_TAG}"), [token])
}

/// Fits what has the tag of any build.
pub fn of_any_build() -> Filter {
    filter("tag-key", [BUILD_TAG])
}

/// Fits `id` if that is known, else what has the tag of the build of `token`.
pub fn by_id_or_build(name: &str, id: Option<&str>, token: &str) -> Vec<Filter> {
    vec![id.map_or_else(|| of_build(token), |id| filter(name, [id]))]
}

/// What our two tags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The run.
    pub run: String,
    /// The token of the build.
    pub token: String,
    /// When the build began, or the one that has gone on with it.
    pub begun: Timestamp,
    /// Until when it stays for a later run to go on with.
    pub kept_until: Option<Timestamp>,
}

impl Mark {
    /// What `tags` say, if they are ours: both are there, and the token says when it was chosen.
    pub fn of(tags: &[Tag]) -> Option<Self> {
        let value = |key: &str| tags::value(tags, key).map(str::to_owned);
        let (run, token) = (value(RUN_TAG)?, value(BUILD_TAG)?);
        let resumed = tags::value(tags, RESUMED_TAG).and_then(time_of);
        let begun = time_of(&token)?.max(resumed.unwrap_or(Timestamp::MIN));
        let kept_until = tags::value(tags, KEPT_UNTIL_TAG).and_then(|until| until.parse().ok());
        Some(Self { run, token, begun, kept_until })
    }

    /// Whether nobody needs it any more: its time is over, or its build began `before` that.
    pub fn is_over(&self, now: Timestamp, before: Timestamp) -> bool {
        self.kept_until.map_or(self.begun < before, |until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_ours_if_there_are_both_and_they_say_when() {
        let token = "6560f0a1-0000-0000-0000-000000000000";
        let begun = Timestamp::from_second(0x6560_f0a1).unwrap();
        let tags = own_tags("run-1", token);
        let marked = |tags: &[Tag]| Mark::of(tags).map(|mark| (mark.run, mark.begun));
        assert_eq!(marked(&tags), Some(("run-1".to_owned(), begun)));
        assert_eq!(marked(&tags[1..]), None, "one tag alone");
        assert_eq!(marked(&own_tags("run-1", "somebody-else")), None);
        assert_eq!(marked(&[tags[0].clone(), tag(BUILD_TAG, "finished")]), None);
    }

    #[test]
    fn what_is_kept_is_over_with_its_time_and_what_is_resumed_begins_anew() {
        let token = "6560f0a1-0000-0000-0000-000000000000";
        let begun = Timestamp::from_second(0x6560_f0a1).unwrap();
        let after = |hours: i64| begun + jiff::SignedDuration::from_hours(hours);
        let over = |more: Option<Tag>, now: i64, before: i64| {
            let tags: Vec<_> = own_tags("run-1", token).into_iter().chain(more).collect();
            Mark::of(&tags).unwrap().is_over(after(now), after(before))
        };
        assert!(over(None, 3, 1) && !over(None, 3, 0));
        let kept = || Some(tag(KEPT_UNTIL_TAG, after(2).to_string()));
        assert!(!over(kept(), 1, 1), "it may live longer than others");
        assert!(over(kept(), 3, -6), "and not a moment longer");
        let resumed = || Some(tag(RESUMED_TAG, "6560fcb1-0000-0000-0000-000000000000"));
        assert!(!over(resumed(), 3, 0) && over(resumed(), 3, 1));
        assert!(over(Some(tag(KEPT_UNTIL_TAG, "for ever")), 3, 1), "nobody can say that");
    }
}
