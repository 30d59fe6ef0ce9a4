//! Looking for an AMI as templates describe it.

use aws_sdk_ec2::types::{Filter, Image};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::component::Check;
use crate::diagnostic::code;

/// Filters by name, as `DescribeImages` and its like have them; a value may be a comma-separated
/// list of alternatives.
pub type Filters = IndexMap<String, String>;

/// A template's filters as the API wants them.
pub fn api_filters(filters: &Filters) -> Vec<Filter> {
    filters.iter().map(|(name, values)| filter(name, values.split(',').map(str::trim))).collect()
}

/// How to find an AMI.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AmiFilter {
    /// Filters of `DescribeImages`, e.g. `name`; `*` and `?` stand for any text and any character.
    pub filters: Filters,
    /// Whose AMIs: account ids, `self`, `amazon`.
    pub owners: Vec<String>,
    /// Whether to take the newest of several; otherwise exactly one must be found.
    pub most_recent: bool,
    /// Whether deprecated AMIs count.
    pub include_deprecated: bool,
}

impl AmiFilter {
    /// Warns of a filter, at `place` among the options, that fails as soon as a second AMI matches it.
    pub fn lint_most_recent(&self, place: &str, check: &mut Check<'_>) {
        let option = match place {
            "" => "most_recent".to_owned(),
            place => format!("{place}.most_recent"),
        };
        if check.is_given(&option) || self.filters.contains_key("image-id") {
            return;
        }
        let who = if place.is_empty() { "the filter" } else { "`source_ami_filter`" };
        let summary = format!("{who} does not say which of several AMIs it takes");
        let found = check.warn(code::MOST_RECENT_MISSING, place, summary);
        found.cause = Some("no `most_recent`".to_owned());
        found.notes.push("the build fails on the day when a second AMI matches".to_owned());
        let help = "set `most_recent = true`, or `false` if there must be only one";
        found.help = Some(help.to_owned());
    }
}

/// The AMIs that were found.
#[derive(Debug)]
pub enum Found {
    /// The one that was meant.
    One(Box<Image>),
    /// None at all.
    None,
    /// So many, and nobody said which.
    Several(usize),
}

/// The AMI with this `id`, the one that `wanted` describes, or the one that is both.
pub async fn find(
    ec2: &Ec2,
    id: Option<&str>,
    wanted: Option<&AmiFilter>,
) -> Result<Found, ApiError> {
    let mut request = ec2.describe_images();
    if let Some(id) = id {
        request = request.image_ids(id);
    }
    if let Some(wanted) = wanted {
        request = request
            .set_filters(Some(api_filters(&wanted.filters)))
            .set_owners(Some(wanted.owners.clone()))
            .include_deprecated(wanted.include_deprecated);
    }
    let answer = ec2.call("DescribeImages", |_| request.clone().send()).await?;
    let found = answer.images.unwrap_or_default();
    Ok(choose(found, wanted.is_some_and(|wanted| wanted.most_recent)))
}

fn choose(mut found: Vec<Image>, newest: bool) -> Found {
    found.sort_by(|one, other| other.creation_date().cmp(&one.creation_date()));
    let count = found.len();
    match found.into_iter().next() {
        None => Found::None,
        Some(first) if newest || count == 1 => Found::One(Box::new(first)),
        Some(_) => Found::Several(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_several_counts_only_if_it_is_asked_for() {
        let image = |id: &str, date: &str| Image::builder().image_id(id).creation_date(date);
        let several = || {
            let old = image("ami-old", "2024-05-01T00:00:00.000Z").build();
            let new = image("ami-new", "2024-11-22T00:00:00.000Z").build();
            vec![old, new]
        };
        assert!(matches!(choose(Vec::new(), true), Found::None));
        assert!(matches!(choose(several(), false), Found::Several(2)));
        let Found::One(newest) = choose(several(), true) else { panic!("one is the newest") };
        assert_eq!(newest.image_id(), Some("ami-new"));
    }
}
