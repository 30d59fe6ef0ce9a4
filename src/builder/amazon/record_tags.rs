//! The tags that say what something is made from: a whole [`Record`] beside an AMI or a machine.

use aws_sdk_ec2::types::Tag;

use crate::aws::tags::{self, tag};
use crate::fingerprint::{Brief, Record};

/// The tag that says it as one number.
const NUMBER_TAG: &str = "imgbake:made-from";
/// The tags that say so part by part begin with this.
const PARTS_TAG: &str = "imgbake:parts";
/// The characters of a tag's value, and how many tags we take of the 50 that a thing may have.
const LONGEST_VALUE: usize = 256;
const MOST_PARTS: usize = 5;

/// The tags of what is made from `record`.
pub(super) fn of(record: &Record) -> Vec<Tag> {
    let texts = record.brief().to_texts(LONGEST_VALUE);
    // With some of them only, all others would seem to be new.
    let texts = if texts.len() > MOST_PARTS { Vec::new() } else { texts };
    let parts = texts
        .into_iter()
        .enumerate()
        .map(|(index, text)| tag(format!("{PARTS_TAG}-{index}"), text));
    [tag(NUMBER_TAG, record.number())].into_iter().chain(parts).collect()
}

/// Whether what has these `tags` is made from `record`.
pub(super) fn is_same(tags: &[Tag], record: &Record) -> bool {
    tags::value(tags, NUMBER_TAG) == Some(record.number())
}

/// What is different in `record` from what these `tags` say, in words; `None` if they say no parts.
pub(super) fn changes(tags: &[Tag], record: &Record) -> Option<String> {
    let parts = tags.iter();
    let parts = parts.filter(|tag| tag.key().is_some_and(|key| key.starts_with(PARTS_TAG)));
    let mut parts: Vec<_> = parts.filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    if parts.is_empty() {
        return None;
    }
    parts.sort_unstable();
    let older = Brief::parse(parts.into_iter().map(|(_, text)| text));
    let changes = record.changes_since(&older);
    Some(match changes.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "something that has no name".to_owned(),
    })
}
