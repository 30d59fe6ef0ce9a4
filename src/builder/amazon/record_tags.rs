//! What something is made from, as tags of an AMI or a machine.

use aws_sdk_ec2::types::Tag;

use crate::aws::tags::{self, tag};
use crate::fingerprint::{Brief, MadeFrom, Record};

/// The tag that says it as one number.
pub(super) const NUMBER_TAG: &str = "imgbake:made-from";
/// The tags that say so part by part begin with this.
const PARTS_TAG: &str = "imgbake:parts";
/// The characters of a tag's value, and how many tags we take of the 50 that a thing may have.
const LONGEST_VALUE: usize = 256;
const MOST_PARTS: usize = 5;
/// The characters in all of them; at the end of each there may be too few for a part.
const MOST_CHARACTERS: usize = MOST_PARTS * (LONGEST_VALUE - 16);

/// What is made of `record` by `build`, as far as tags can hold it.
pub(super) fn made_from(build: &str, record: &Record) -> MadeFrom {
    MadeFrom::new(build, record, MOST_CHARACTERS)
}

/// The tags that say so, but for the build.
pub(super) fn of(made_from: &MadeFrom) -> Vec<Tag> {
    let MadeFrom { number, parts, .. } = made_from;
    let parts = Brief::parse([parts.as_str()]).to_texts(LONGEST_VALUE).into_iter().enumerate();
    let parts = parts.map(|(index, text)| tag(format!("{PARTS_TAG}-{index}"), text));
    [tag(NUMBER_TAG, number)].into_iter().chain(parts).collect()
}

/// The keys of all those tags.
pub(super) fn keys() -> impl Iterator<Item = String> {
    let parts = (0..MOST_PARTS).map(|index| format!("{PARTS_TAG}-{index}"));
    std::iter::once(NUMBER_TAG.to_owned()).chain(parts)
}

/// What these `tags` say; who made it, other tags do.
pub(super) fn read(tags: &[Tag]) -> MadeFrom {
    let parts = tags.iter();
    let parts = parts.filter(|tag| tag.key().is_some_and(|key| key.starts_with(PARTS_TAG)));
    let mut parts: Vec<_> = parts.filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    parts.sort_unstable();
    let parts = parts.into_iter().map(|(_, text)| text).collect();
    let number = tags::value(tags, NUMBER_TAG).unwrap_or_default().to_owned();
    MadeFrom { build: String::new(), number, parts }
}
