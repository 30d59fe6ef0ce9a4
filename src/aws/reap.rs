//! What runs have left anywhere in a region, whatever became of their journals: found by our tags.
//!
//! Tags can be copied. What counts as ours has both, the one that is chosen for each build begins
//! with the moment of its choice, and what AWS says besides has to fit, too (see `proof`). What has
//! our tags only is mentioned, and left alone.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::build_tags::Mark;
use crate::aws::error::ApiError;
use crate::aws::removal::to_strings;
use crate::aws::resource::context::Area;
use crate::aws::resource::kind::{FindAll, Kind, Reap, Tagged};
use crate::aws::resource::{KINDS, Recorded};
use crate::component::Wanted;
use crate::event::Ui;
use crate::journal::Entry;

/// Which kinds are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of a region.
    Region,
    /// Those that all regions have in common.
    Account,
}

impl Reach {
    fn search(self, kind: &Kind) -> Option<FindAll> {
        match (self, kind.reap) {
            (Self::Region, Reap::InRegion(all)) | (Self::Account, Reap::InAccount(all)) => {
                Some(all)
            }
            _ => None,
        }
    }
}

/// All that is ours in `reach` and `wanted`, as a journal would list it.
pub(super) async fn search(
    account: &Account,
    reach: Reach,
    wanted: &Wanted,
    ui: &Ui,
) -> Result<Vec<Entry>, ApiError> {
    let region = account.region();
    let area = Area { account, cancel: &CancellationToken::new() };
    let searches = KINDS.iter().filter_map(|kind| reach.search(kind));
    let all = try_join_all(searches.map(|all| all(&area))).await?;
    let alive = alive(wanted);
    let now = Timestamp::now();
    let is_wanted = |mark: &Mark| mark.is_over(now, wanted.before) && !alive.contains(&mark.token);
    let wanted = all.into_iter().flatten().filter(|one| is_wanted(&one.mark));
    let (ours, others): (Vec<_>, Vec<_>) = wanted.partition(|one| one.is_proven);
    for Tagged { id, .. } in others {
        ui.say(format!("Leaving {id} in {region} alone: it has our tags, and no other proof"));
    }
    let entry = |Tagged { id, mark, resource, .. }: Tagged| {
        let thing = resource.thing(account, region).known_as(id).into();
        Entry { build: format!("run {}", mark.run), thing }
    };
    Ok(ours.into_iter().map(entry).collect())
}

/// The tokens of builds that are alive.
fn alive(wanted: &Wanted) -> BTreeSet<String> {
    let recorded = wanted.alive.iter().filter_map(|thing| Recorded::of(thing).ok());
    recorded.flat_map(|one| to_strings(one.resource.tokens())).collect()
}
