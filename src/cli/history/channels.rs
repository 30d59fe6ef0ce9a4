//! Which channels have the images, and from which commit they came there.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::HistoryCommand;
use super::rows::Row;
use crate::aws::account::Patience;
use crate::aws::allow::Regions;
use crate::channel::releases::{self, Release};
use crate::channel::{Channels, Context, allow};
use crate::cli::Exit;
use crate::permission::Permission;

/// Notes the channels of all images that were published.
pub(super) async fn note(command: &HistoryCommand<'_>, rows: &mut [Row]) -> Exit {
    let prefix = format!("{}/", command.arguments.prefix);
    let mut published: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        // A tag is a text of anybody who may tag: what is no name is refused below.
        for image in row.published_as.iter().filter_map(|path| path.strip_prefix(&prefix)) {
            published.entry((row.region.clone(), image.to_owned())).or_default().push(at);
        }
    }
    let mut exit = Exit::Success;
    for ((region, image), published) in published {
        let what = format!("the channels of `{image}` in {region}");
        match command.ui.wait_for(&what, said(command, &region, &image)).await {
            Ok(channels) => {
                published.iter().for_each(|at| note_in(&mut rows[*at], &image, &channels));
            }
            Err(error) => {
                command.warn(&format!("Error: {what} are not known: {error:#}"));
                exit = Exit::Failure;
            }
        }
    }
    exit
}

/// All channels of an image in a region, with what each says and said.
async fn said(
    command: &HistoryCommand<'_>,
    region: &str,
    image: &str,
) -> anyhow::Result<Vec<(String, Vec<Release>)>> {
    let session = command.session;
    let (environment, redactor) = (session.environment.clone(), session.redactor.clone());
    let cancel = CancellationToken::new();
    let cx = Context { environment, redactor, ui: command.ui.clone(), cancel };
    let channels = Channels::new(&command.arguments.prefix, image)?;
    let region = cx.region(Some(region), Patience::Short).await?;
    let mut all = Vec::new();
    for channel in releases::all(&region, &channels).await? {
        let history = releases::history(&region, &channels, &channel).await?;
        all.push((channel, history));
    }
    Ok(all)
}

fn note_in(row: &mut Row, image: &str, channels: &[(String, Vec<Release>)]) {
    for (channel, history) in channels {
        if history.last().is_some_and(|now| now.ami == row.id) {
            row.channels.insert(format!("{image}/{channel}"));
        }
        let own = history.iter().filter(|release| release.ami == row.id);
        let commit = own.map(|release| &release.note.commit).find(|commit| !commit.is_empty());
        if let Some(commit) = commit.filter(|_| row.commit.is_empty()) {
            row.know_commit(commit);
        }
    }
}

/// What the account must allow for that.
pub(super) fn permissions(prefix: &str) -> Vec<Permission> {
    allow::look(prefix, &Regions::new(None, &[]))
}
