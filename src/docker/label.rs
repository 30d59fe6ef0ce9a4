//! The labels of an image that say what it was made from.
//!
//! Images inherit labels: one that somebody makes from ours has them, too. So they say how many
//! steps an image has: whatever is made from it has more.

use std::collections::HashMap;

use bollard::query_parameters::ListImagesOptions;
use jiff::Timestamp;

use super::engine::{Engine, EngineError};
use super::made;
use crate::fingerprint::{MadeFrom, Record};
use crate::guest::harmless;

/// Which build made it.
const BUILD: &str = "imgbake.image";
/// From what, as one number.
const NUMBER: &str = "imgbake.made-from";
/// From what, part by part.
const PARTS: &str = "imgbake.parts";
/// How many steps it has.
const STEPS: &str = "imgbake.steps";

/// How long the list of parts may be: it is sent in an address.
const MOST_PARTS: usize = 64 << 10;

/// An image that says what it was made from.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// `sha256:…`.
    pub id: String,
    /// A name of it, or its id.
    pub shown: String,
    /// What it says.
    pub made_from: MadeFrom,
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// How large it is with all its layers, in bytes.
    pub size: Option<u64>,
}

/// What an image of `build` says that is made from `record` now.
pub fn made_from(build: &str, record: &Record) -> MadeFrom {
    MadeFrom::new(build, record, MOST_PARTS)
}

/// The lines of a Dockerfile that label an image which is made in so many steps.
pub fn lines(made_from: &MadeFrom, steps: usize) -> [String; 4] {
    let (MadeFrom { build, number, parts }, steps) = (made_from, steps.to_string());
    let labels = [(BUILD, build), (NUMBER, number), (PARTS, parts), (STEPS, &steps)];
    labels.map(|(key, value)| format!("LABEL {key}={}", quoted(value)))
}

impl Engine {
    /// The finished images of `build`, the newest first.
    pub async fn labelled(&self, build: &str) -> Result<Vec<Labelled>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{BUILD}={build}")])]);
        let options = ListImagesOptions { filters: Some(filters), ..ListImagesOptions::default() };
        let mut all = self.client.list_images(Some(options)).await?;
        // What has a name of ours still is not finished, or has failed.
        all.retain(|one| !one.repo_tags.iter().any(|name| made::is_unfinished(name)));
        all.sort_by_key(|one| std::cmp::Reverse(one.created));
        let mut own = Vec::new();
        for one in all {
            let label = |key: &str| one.labels.get(key).cloned().unwrap_or_default();
            let (said, number, parts) = (label(BUILD), label(NUMBER), label(PARTS));
            if said != build || label(STEPS) != self.steps(&one.id).await?.to_string() {
                continue;
            }
            let made_from = MadeFrom { build: said, number, parts };
            let shown = one.repo_tags.first().unwrap_or(&one.id);
            let shown = harmless(shown.as_bytes());
            let made_at = Timestamp::from_second(one.created).ok();
            let size = u64::try_from(one.size).ok();
            own.push(Labelled { id: one.id, shown, made_from, made_at, size });
        }
        Ok(own)
    }

    /// How many steps the image `id` was made in.
    pub async fn steps(&self, id: &str) -> Result<usize, EngineError> {
        Ok(self.client.image_history(id).await?.len())
    }
}

/// `text` as a Dockerfile writes it where nothing of it stands for a variable.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_no_more_than_its_text() {
        assert_eq!(quoted(r#"web "$HOME" \"#), r#""web \"\$HOME\" \\""#);
    }
}
