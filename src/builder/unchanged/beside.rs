//! The same for images that are files: their record stands in a file beside them.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{EarlierImage, LOOK, record, tell};
use crate::component::{BuildContext, PastImage, PastQuery, SkipUnchanged};
use crate::event::Phase;
use crate::fingerprint::{MadeFrom, RecordFile};
use crate::step::{Ending, Step, remove_if_there};
use crate::whole_file::directory_of;

/// Looks for the image that an earlier run has left.
pub(crate) struct FindBeside {
    /// Where its record would be.
    pub path: PathBuf,
    /// What people call it.
    pub shown: String,
    /// What the build starts from.
    pub source: String,
    pub wanted: SkipUnchanged,
}

/// The image of the build that the record in the file `path` tells of; none if its files are gone. Whether
/// they are as they were is not looked at: that may be long.
pub(crate) async fn past(
    path: PathBuf,
    query: &PastQuery,
) -> anyhow::Result<Option<Vec<PastImage>>> {
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let look = move || {
        let read = RecordFile::read(&path)?;
        let is_whole = |read: &RecordFile| {
            read.told().all(|(name, _)| directory_of(&path).join(name).is_file())
        };
        let is_there = read.as_ref().is_some_and(is_whole);
        anyhow::Ok((read, is_there))
    };
    let (read, is_there) = tokio::task::spawn_blocking(look).await??;
    let Some(read) = read.filter(|read| read.made_from.build == query.build) else {
        return Ok(None);
    };
    if !is_there {
        return Ok(Some(Vec::new()));
    }
    let id = read.told().next().map(|(name, _)| directory.join(name).display().to_string());
    Ok(Some(vec![PastImage {
        id: id.unwrap_or_default(),
        made_at: read.made_at(),
        size: Some(read.told().map(|(_, size)| size).sum()),
        made_from: Some(read.made_from),
        ..PastImage::default()
    }]))
}

/// What an earlier run has left.
#[derive(Debug)]
pub(crate) enum FoundRecord {
    /// Nothing that is known to be of this build.
    Nothing,
    /// An image of this build, which is not enough.
    Outdated,
    /// One that is.
    Unchanged {
        /// What its record says.
        record: Box<RecordFile>,
        files: Vec<PathBuf>,
    },
}

impl FindBeside {
    async fn look(
        &self,
        cx: &BuildContext,
    ) -> anyhow::Result<(Result<String, String>, FoundRecord)> {
        let wanted = record(cx, &self.source).await?;
        let path = self.path.clone();
        let read = match tokio::task::spawn_blocking(move || RecordFile::read(&path)).await? {
            Ok(Some(read)) => read,
            Ok(None) => {
                let why = format!("no earlier image of this build is at {}", self.shown);
                return Ok((Err(why), FoundRecord::Nothing));
            }
            Err(error) => return Ok((Err(format!("{error:#}")), FoundRecord::Nothing)),
        };
        if read.made_from.build != cx.facts.unique_name {
            let why = format!("{} is of the build {}", self.shown, read.made_from.build);
            return Ok((Err(why), FoundRecord::Nothing));
        }
        let (shown, made_from) = (self.shown.clone(), read.made_from.clone());
        let earlier = EarlierImage { shown, made_from, made_at: read.made_at() };
        let why = match earlier.judge(&wanted, &self.wanted) {
            Ok(why) => why,
            Err(why) => return Ok((Err(why), FoundRecord::Outdated)),
        };
        // Only now: this may read a whole image.
        let (path, record) = (self.path.clone(), Box::new(read));
        let look = move || {
            let files = record.files(&path);
            (record, files)
        };
        Ok(match tokio::task::spawn_blocking(look).await? {
            (record, Ok(files)) => (Ok(why), FoundRecord::Unchanged { record, files }),
            (_, Err(why)) => (Err(why), FoundRecord::Outdated),
        })
    }
}

#[async_trait]
impl Step for FindBeside {
    type Output = FoundRecord;

    fn name(&self) -> &'static str {
        LOOK
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<FoundRecord> {
        let (verdict, left) = self.look(cx).await?;
        tell(cx, &self.wanted, &verdict);
        Ok(left)
    }
}

/// Writes the record of a finished image beside it. Until then nothing says that the image is whole.
pub(crate) struct WriteBeside {
    pub path: PathBuf,
    pub source: String,
    pub files: Vec<PathBuf>,
    /// What the builder wants to know again.
    pub note: String,
}

#[async_trait]
impl Step for WriteBeside {
    type Output = MadeFrom;

    fn name(&self) -> &'static str {
        "write down what the image was made from"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<MadeFrom> {
        let (record, build) = (record(cx, &self.source).await?, cx.facts.unique_name.clone());
        let (path, files, note) = (self.path.clone(), self.files.clone(), self.note.clone());
        let write = move || RecordFile::write(&path, (&build, &record), &files, &note);
        Ok(tokio::task::spawn_blocking(write).await??.made_from)
    }

    async fn undo(&self, _cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        match ending {
            Ending::Done => Ok(()),
            Ending::Failed => remove_if_there(&self.path).await,
        }
    }
}
