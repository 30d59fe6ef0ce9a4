//! Suggestions beside the lines of a pull request, which its author takes with a click.
//!
//! GitHub takes remarks only on lines that the pull request shows: those that it changes, and a few
//! around them.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Context;
use super::rest::{RestClient, Result, if_allowed};
use crate::secret::Secret;

/// Other lines in place of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The file, as the repository calls it.
    pub path: String,
    /// The number of the first line.
    pub first: usize,
    /// The lines as they are.
    pub lines: Vec<String>,
    /// The lines as they should be.
    pub better: Vec<String>,
}

/// A review with more remarks than these helps nobody.
const MOST: usize = 40;

/// A file of the pull request. What is not text, or too much of it, has no patch.
#[derive(Debug, Deserialize)]
struct File {
    filename: String,
    patch: Option<String>,
}

/// A remark that is there already; without a line if that is gone.
#[derive(Debug, Deserialize)]
struct ReviewComment {
    path: String,
    body: String,
    line: Option<usize>,
}

/// Suggests what can be suggested in the pull request `number` and was not yet: how much that was.
/// `None` where the token may not do that.
///
/// # Errors
/// When GitHub cannot be reached, or answers what nobody expects.
pub async fn suggest(
    context: &Context,
    token: &Secret,
    number: u64,
    suggestions: &[Suggestion],
) -> anyhow::Result<Option<usize>> {
    let rest = RestClient::of(context, token)?;
    if_allowed(review(&rest, number, context.head(), suggestions)).await
}

async fn review(
    rest: &RestClient,
    number: u64,
    head: Option<&str>,
    suggestions: &[Suggestion],
) -> Result<usize> {
    let files: Vec<File> = rest.all(&format!("pulls/{number}/files")).await?;
    let files =
        files.iter().filter_map(|file| Some((file.filename.as_str(), file.patch.as_deref()?)));
    let shown: HashMap<_, _> = files.map(|(name, patch)| (name, hunks(patch))).collect();
    let is_shown = |one: &&Suggestion| {
        shown.get(one.path.as_str()).is_some_and(|hunks| hunks.iter().any(|hunk| one.is_in(hunk)))
    };
    let remarks: Vec<ReviewComment> = rest.all(&format!("pulls/{number}/comments")).await?;
    let is_new = |one: &&Suggestion| {
        let last = Some(one.last());
        let is_it = |remark: &ReviewComment| remark.path == one.path && remark.line == last;
        !remarks.iter().any(|remark| is_it(remark) && remark.body == one.body())
    };
    let new = suggestions.iter().filter(is_shown).filter(is_new).take(MOST);
    let comments: Vec<Json> = new.map(Suggestion::comment).collect();
    if comments.is_empty() {
        return Ok(0);
    }
    let count = comments.len();
    let mut review = json!({
        "event": "COMMENT",
        "body": "`imgbake fmt` would write these lines otherwise.",
        "comments": comments,
    });
    if let Some(head) = head {
        review["commit_id"] = head.into();
    }
    let route = rest.route(&format!("pulls/{number}/reviews"));
    let _: Json = rest.client.post(route, Some(&review)).await?;
    Ok(count)
}

impl Suggestion {
    fn last(&self) -> usize {
        self.first + self.lines.len() - 1
    }

    /// Whether `hunk` shows its lines, as they are: what is checked out may differ from what the
    /// pull request shows.
    fn is_in(&self, hunk: &BTreeMap<usize, &str>) -> bool {
        let mut lines = self.lines.iter().enumerate();
        lines.all(|(at, line)| hunk.get(&(self.first + at)) == Some(&line.as_str()))
    }

    fn body(&self) -> String {
        let longest =
            self.better.iter().flat_map(|line| line.split(|next| next != '`')).map(str::len);
        let fence = "`".repeat(longest.max().unwrap_or(0).max(2) + 1);
        let better: String = self.better.iter().map(|line| format!("{line}\n")).collect();
        format!("{fence}suggestion\n{better}{fence}")
    }

    fn comment(&self) -> Json {
        let mut comment =
            json!({"path": self.path, "line": self.last(), "side": "RIGHT", "body": self.body()});
        if self.first < self.last() {
            comment["start_line"] = self.first.into();
            comment["start_side"] = "RIGHT".into();
        }
        comment
    }
}

/// The lines of the new file that each hunk of `patch` shows, by number.
fn hunks(patch: &str) -> Vec<BTreeMap<usize, &str>> {
    let mut hunks: Vec<BTreeMap<usize, &str>> = Vec::new();
    let mut next = 0;
    for line in patch.lines() {
        // `@@ -1,2 +3,4 @@ text`
        if let Some(place) = line.strip_prefix("@@ ") {
            let new = place.split(' ').find_map(|part| part.strip_prefix('+'));
            let first = new.and_then(|new| new.split(',').next()?.parse().ok());
            next = first.unwrap_or(0);
            hunks.push(BTreeMap::new());
        } else if let (Some(text), Some(hunk)) = (line.strip_prefix([' ', '+']), hunks.last_mut()) {
            hunk.insert(next, text);
            next += 1;
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "@@ -1,3 +1,4 @@ source\n a\n-b\n+b = 1\n+c=2\n d\n\\ No newline at end of file\n@@ -9 +10 @@\n+x";

    fn suggestion(first: usize, lines: &[&str], better: &[&str]) -> Suggestion {
        let [lines, better] =
            [lines, better].map(|all| all.iter().map(|&one| one.into()).collect());
        Suggestion { path: "web.pkr.hcl".into(), first, lines, better }
    }

    #[test]
    fn a_patch_shows_lines_of_the_new_file() {
        let hunks = hunks(PATCH);
        assert_eq!(hunks[0], BTreeMap::from([(1, "a"), (2, "b = 1"), (3, "c=2"), (4, "d")]));
        assert_eq!(hunks[1], BTreeMap::from([(10, "x")]));
        let is_shown = |one: &Suggestion| hunks.iter().any(|hunk| one.is_in(hunk));
        assert!(is_shown(&suggestion(3, &["c=2", "d"], &[])));
        for other in [
            suggestion(4, &["d", "e"], &[]),
            suggestion(3, &["c = 2"], &[]),
            suggestion(5, &["x"], &[]),
        ] {
            assert!(!is_shown(&other), "{other:?}");
        }
    }

    #[test]
    fn a_remark_says_which_lines_and_holds_them_whatever_they_are() {
        let one = suggestion(3, &["c=2", "d"], &["c = 2", "````"]);
        let comment = one.comment();
        assert_eq!((&comment["start_line"], &comment["line"]), (&json!(3), &json!(4)));
        assert_eq!(comment["body"], "`````suggestion\nc = 2\n````\n`````");
        assert_eq!(suggestion(3, &["c=2"], &[]).comment()["body"], "```suggestion\n```");
    }
}
