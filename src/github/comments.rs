//! One comment on a pull request, which is updated instead of repeated.
//!
//! A hidden marker says whose it is: which workflow, job and templates, and which run wrote it last.
//! Runs at the same time agree on the oldest comment, and a run never writes over what a later one
//! has said.

use octocrab::Page;
use octocrab::models::issues::Comment;
use octocrab::models::{CommentId, UserId};

use super::Context;
use super::rest::{RestClient, Result, digest, if_allowed, is_forbidden};
use crate::secret::Secret;

/// How long a comment may be; GitHub refuses longer ones.
pub const LONGEST_COMMENT: usize = 65_536;

/// What to say, and whose word it is.
#[derive(Clone, Debug)]
pub struct Note {
    /// What makes it the same comment: workflow, job, templates.
    pub key: String,
    /// Markdown.
    pub text: String,
    /// What of it is news if it differs; durations are not.
    pub news: String,
    /// Whether to write even what is no news.
    pub always: bool,
    /// Whether it is worth a first comment; otherwise only one that is there is updated.
    pub worth_a_first: bool,
}

/// What became of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// There is a new comment, here.
    Created(String),
    /// The comment here says it now.
    Updated(String),
    /// It was said before.
    NoNews,
    /// There is no comment, and it is not worth a first one.
    NotWorthOne,
    /// A later run has said something else.
    Outdated,
    /// The token may not comment.
    NotAllowed,
}

/// Comments on the pull request `number`.
///
/// # Errors
/// When GitHub cannot be reached, or answers what nobody expects.
pub async fn post(
    context: &Context,
    token: &Secret,
    number: u64,
    note: &Note,
) -> anyhow::Result<Posted> {
    let thread = Thread {
        rest: RestClient::of(context, token)?,
        number,
        run: (number_of(&context.run_id), number_of(&context.run_attempt)),
    };
    Ok(if_allowed(thread.post(note)).await?.unwrap_or(Posted::NotAllowed))
}

fn number_of(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// The comments of one pull request.
struct Thread {
    rest: RestClient,
    number: u64,
    /// This run: its number and which try of it this is.
    run: (u64, u64),
}

impl Thread {
    async fn post(&self, note: &Note) -> Result<Posted> {
        let marker = Marker { key: digest(&note.key), news: digest(&note.news), run: self.run };
        let body = format!("{marker}\n{}", note.text);
        let Some((comment, said)) = self.oldest(&marker.key).await? else {
            if !note.always && !note.worth_a_first {
                return Ok(Posted::NotWorthOne);
            }
            return self.create(&marker, &body).await;
        };
        if said.run > marker.run {
            return Ok(Posted::Outdated);
        }
        if said.news == marker.news && !note.always {
            return Ok(Posted::NoNews);
        }
        self.update(comment.id, &body).await
    }

    async fn create(&self, marker: &Marker, body: &str) -> Result<Posted> {
        let issues = self.rest.client.issues(&self.rest.owner, &self.rest.name);
        let created = issues.create_comment(self.number, body).await?;
        // Another job may have done so at the same time: all keep to the oldest.
        match self.oldest(&marker.key).await? {
            Some((oldest, said)) if oldest.id < created.id => {
                issues.delete_comment(created.id).await?;
                if said.run > marker.run {
                    return Ok(Posted::Outdated);
                }
                self.update(oldest.id, body).await
            }
            _ => Ok(Posted::Created(created.html_url.into())),
        }
    }

    async fn update(&self, id: CommentId, body: &str) -> Result<Posted> {
        // octocrab's own call is a POST, which GitHub takes but does not describe.
        let route = self.rest.route(&format!("issues/comments/{id}"));
        let body = serde_json::json!({ "body": body });
        let updated: Comment = self.rest.client.patch(route, Some(&body)).await?;
        Ok(Posted::Updated(updated.html_url.into()))
    }

    /// The oldest comment with this key that is our own.
    async fn oldest(&self, key: &str) -> Result<Option<(Comment, Marker)>> {
        let viewer = self.viewer().await?;
        let issues = self.rest.client.issues(&self.rest.owner, &self.rest.name);
        let mut page: Page<Comment> =
            issues.list_comments(self.number).per_page(100).send().await?;
        loop {
            let next = page.next.take();
            for comment in page {
                let marker = comment.body.as_deref().and_then(Marker::read);
                let marker = marker.filter(|marker| marker.key == key);
                if let Some(marker) = marker.filter(|_| viewer.wrote(&comment)) {
                    return Ok(Some((comment, marker)));
                }
            }
            match self.rest.client.get_page(&next).await? {
                Some(more) => page = more,
                None => return Ok(None),
            }
        }
    }

    /// Whose token it is. The token of a job or an app is nobody's: then it is that of a bot.
    async fn viewer(&self) -> Result<Viewer> {
        match self.rest.client.current().user().await {
            Ok(user) => Ok(Viewer(Some(user.id))),
            Err(error) if is_forbidden(&error) => Ok(Viewer(None)),
            Err(error) => Err(error),
        }
    }
}

/// Who comments. Anybody could write our marker into a comment of their own.
struct Viewer(Option<UserId>);

impl Viewer {
    fn wrote(&self, comment: &Comment) -> bool {
        match self.0 {
            Some(id) => comment.user.id == id,
            None => comment.user.r#type == "Bot",
        }
    }
}

/// The first line of our comments, which nobody sees.
#[derive(Debug, PartialEq, Eq)]
struct Marker {
    key: String,
    news: String,
    run: (u64, u64),
}

const START: &str = "<!-- imgbake:comment";

impl std::fmt::Display for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, news, run: (run, attempt) } = self;
        write!(f, "{START} key={key} news={news} run={run}.{attempt} -->")
    }
}

impl Marker {
    fn read(body: &str) -> Option<Self> {
        let line = body.lines().next()?.strip_prefix(START)?.strip_suffix("-->")?;
        let field = |name: &str| {
            line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let (run, attempt) = field("run")?.split_once('.')?;
        Some(Self {
            key: field("key")?.to_owned(),
            news: field("news")?.to_owned(),
            run: (run.parse().ok()?, attempt.parse().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let marker = Marker { key: digest("a"), news: digest("b"), run: (4711, 2) };
        assert_eq!(Marker::read(&format!("{marker}\n## text")), Some(marker));
        for other in ["", "## text", "<!-- imgbake:comment key=a -->", "text\n<!-- imgbake:x -->"] {
            assert_eq!(Marker::read(other), None, "{other}");
        }
    }
}
