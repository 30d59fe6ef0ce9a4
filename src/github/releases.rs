//! The page of a release: a part of its notes that is ours, and an asset.

use anyhow::{Context as _, ensure};
use axum::http::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use octocrab::models::repos::Release;
use serde_json::{Value as Json, json};
use url::Url;

use super::Context;
use super::rest::{RestClient, Result, digest, if_allowed};
use crate::secret::Secret;

/// How long notes may be; GitHub refuses longer ones.
const LONGEST_NOTES: usize = 125_000;

/// What a release shall say.
#[derive(Clone, Debug)]
pub struct Part {
    /// What makes it the same part: workflow, job, templates.
    pub key: String,
    /// Markdown.
    pub text: String,
    /// The asset: what it is called, and what is in it.
    pub asset: (&'static str, String),
}

/// Writes `part` into the notes of the release that the run is for, in place of what it said before,
/// and its asset. The release's page; `None` where the token may not do that.
///
/// # Errors
/// When GitHub cannot be reached, answers what nobody expects, or the notes get too long.
pub async fn publish(
    context: &Context,
    token: &Secret,
    (id, upload_url): (u64, &str),
    part: &Part,
) -> anyhow::Result<Option<String>> {
    let rest = RestClient::of(context, token)?;
    let upload = Upload::of(context, token, upload_url, part)?;
    let releases = rest.client.repos(&rest.owner, &rest.name);
    let Some(release) = if_allowed(releases.releases().get(id)).await? else { return Ok(None) };
    let key = digest(&part.key);
    let notes = with_part(release.body.as_deref().unwrap_or_default(), &key, &part.text);
    ensure!(notes.chars().count() <= LONGEST_NOTES, "its notes are too long for more");
    let written = if_allowed(write(&rest, upload, &release, &notes)).await?;
    Ok(written.map(|()| release.html_url.to_string()))
}

async fn write(rest: &RestClient, upload: Upload, release: &Release, notes: &str) -> Result<()> {
    // octocrab's own call sends the number along, which GitHub does not describe.
    let route = rest.route(&format!("releases/{}", release.id));
    let _: Json = rest.client.patch(route, Some(&json!({ "body": notes }))).await?;
    for old in release.assets.iter().filter(|asset| asset.name == upload.name) {
        let route = rest.route(&format!("releases/assets/{}", old.id));
        octocrab::map_github_error(rest.client._delete(route, None::<&()>).await?).await?;
    }
    octocrab::map_github_error(upload.rest.client.execute(upload.request).await?).await?;
    Ok(())
}

/// A file on its way to a release. Files may go to a server of its own, and octocrab's own call takes
/// the paths of two servers for one.
struct Upload {
    rest: RestClient,
    name: &'static str,
    request: Request<String>,
}

impl Upload {
    /// To `…/assets{?name,label}`.
    fn of(context: &Context, token: &Secret, url: &str, part: &Part) -> anyhow::Result<Self> {
        let url = url.split('{').next().unwrap_or_default();
        let server = Url::parse(url).and_then(|url| url.join("/")).context("upload_url")?;
        let (name, content) = &part.asset;
        let request = Request::post(format!("{url}?name={name}"))
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, content.len())
            .body(content.clone())?;
        Ok(Self { rest: RestClient::at(server.as_str(), context, token)?, name, request })
    }
}

/// `notes` with `text` as the part `key`.
fn with_part(notes: &str, key: &str, text: &str) -> String {
    let start = format!("<!-- imgbake:images key={key} -->");
    let end = format!("<!-- imgbake:end key={key} -->");
    let part = format!("{start}\n{}\n{end}", text.trim());
    let found = notes.find(&start).and_then(|from| {
        let until = from + notes[from..].find(&end)? + end.len();
        Some((&notes[..from], &notes[until..]))
    });
    match (found, notes.trim_end()) {
        (Some((before, after)), _) => format!("{before}{part}{after}"),
        (None, "") => part,
        (None, notes) => format!("{notes}\n\n{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_appended_once_and_then_replaced() {
        let notes = with_part("What is new\n", "a", "one");
        assert!(notes.starts_with("What is new\n\n<!--") && notes.contains("one"), "{notes}");
        let both = with_part(&notes, "b", "other");
        let again = with_part(&both, "a", "two");
        assert!(!again.contains("one") && again.contains("two"), "{again}");
        assert!(again.contains("other") && again.starts_with("What is new"), "{again}");
        assert_eq!(again.matches("key=a").count(), 2);
        assert!(with_part("", "a", "one").starts_with("<!--"));
    }
}
