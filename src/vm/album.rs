//! The pictures of a machine's screen, kept as files: no more than anybody looks at, and none twice.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::event::{Message, Picture, Ui};
use crate::vm::screen::Frame;

/// How many pictures are kept.
const MOST_PICTURES: usize = 60;
/// How many bytes they may have together.
const MOST_BYTES: u64 = 64 << 20;

/// A directory with the pictures of one build.
#[derive(Debug)]
pub struct Album {
    directory: PathBuf,
    /// Whether people are told of those that are taken in passing, too.
    tells_all: bool,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// How many there were.
    count: usize,
    /// Those that are there, the oldest first.
    kept: VecDeque<Page>,
}

#[derive(Debug)]
struct Page {
    path: PathBuf,
    /// Of what it shows.
    digest: [u8; 32],
    bytes: u64,
    moment: Moment,
}

/// A picture that is to be kept.
struct Taken {
    ending: &'static str,
    bytes: Vec<u8>,
    digest: [u8; 32],
    moment: Moment,
}

/// When a picture was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before something was typed; of several steps, this one.
    BeforeTyping(Option<usize>),
    /// In passing, so many minutes after the machine started.
    Minute(u64),
    /// When the build failed.
    Failure,
}

impl Moment {
    /// As the name of the file says it.
    fn word(&self) -> String {
        match self {
            Self::BeforeTyping(None) => "before-typing".to_owned(),
            Self::BeforeTyping(Some(step)) => format!("before-step-{step}"),
            Self::Minute(minute) => format!("{minute}m"),
            Self::Failure => "failure".to_owned(),
        }
    }

    /// As people say it.
    fn words(&self) -> String {
        match self {
            Self::BeforeTyping(None) => "before the boot command".to_owned(),
            Self::BeforeTyping(Some(step)) => format!("before step {step} of the boot command"),
            Self::Minute(minute) => format!("after {minute} min"),
            Self::Failure => "when the build failed".to_owned(),
        }
    }
}

impl Album {
    /// The album in `directory`, which is made with the first picture. Those of an earlier build go.
    pub async fn empty(directory: &Path, tells_all: bool) -> anyhow::Result<Self> {
        let album = Self { directory: directory.to_owned(), tells_all, pages: Mutex::default() };
        let mut entries = match tokio::fs::read_dir(directory).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(album),
            Err(error) => return Err(error).with_context(|| album.cannot("read")),
        };
        while let Some(entry) = entries.next_entry().await.with_context(|| album.cannot("read"))? {
            if is_picture(&entry.file_name().to_string_lossy()) {
                let removed = tokio::fs::remove_file(entry.path()).await;
                removed.with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        Ok(album)
    }

    fn cannot(&self, what: &str) -> String {
        format!("cannot {what} the directory {} of the screen's pictures", self.directory.display())
    }

    /// Keeps what the screen shows, and tells of it. One that shows the same as the last one is not
    /// kept again. The path is that of the picture that shows it.
    pub async fn keep(&self, frame: Frame, moment: Moment, ui: &Ui) -> anyhow::Result<PathBuf> {
        let mut pages = self.pages.lock().await;
        let digest = frame.digest();
        if let Some(page) = pages.kept.back()
            && page.digest == digest
        {
            return Ok(page.path.clone());
        }
        let png = tokio::task::spawn_blocking(move || frame.to_png()).await??;
        self.add(&mut pages, Taken { ending: "png", bytes: png, digest, moment }, ui).await
    }

    /// Keeps `jpeg`, a picture that somebody else has taken.
    pub async fn keep_jpeg(
        &self,
        jpeg: Vec<u8>,
        moment: Moment,
        ui: &Ui,
    ) -> anyhow::Result<PathBuf> {
        ensure!(jpeg.starts_with(&[0xff, 0xd8, 0xff]), "it is no JPEG");
        ensure!(jpeg.len() as u64 <= MOST_BYTES, "it has more than {MOST_BYTES} bytes");
        let digest = Sha256::digest(&jpeg).into();
        let taken = Taken { ending: "jpg", bytes: jpeg, digest, moment };
        self.add(&mut *self.pages.lock().await, taken, ui).await
    }

    async fn add(&self, pages: &mut Pages, taken: Taken, ui: &Ui) -> anyhow::Result<PathBuf> {
        let Taken { ending, bytes: content, digest, moment } = taken;
        tokio::fs::create_dir_all(&self.directory).await.with_context(|| self.cannot("make"))?;
        pages.count += 1;
        let path = self.directory.join(format!("{:03}-{}.{ending}", pages.count, moment.word()));
        let written = tokio::fs::write(&path, &content).await;
        written.with_context(|| format!("cannot write {}", path.display()))?;
        let (shown, bytes) = (moment.words(), content.len() as u64);
        let is_told = !matches!(moment, Moment::Minute(_)) || self.tells_all;
        pages.kept.push_back(Page { path: path.clone(), digest, bytes, moment });
        pages.make_room().await?;
        let name = path.display().to_string();
        ui.send(Message::Picture(Picture { path: name, moment: shown, is_told }));
        Ok(path)
    }
}

impl Pages {
    /// Removes the oldest that were taken in passing, then the oldest.
    async fn make_room(&mut self) -> anyhow::Result<()> {
        while self.kept.len() > MOST_PICTURES
            || (self.kept.len() > 1
                && self.kept.iter().map(|page| page.bytes).sum::<u64>() > MOST_BYTES)
        {
            let in_passing = |page: &Page| matches!(page.moment, Moment::Minute(_));
            let at = self.kept.iter().take(self.kept.len() - 1).position(in_passing).unwrap_or(0);
            let Some(page) = self.kept.remove(at) else { return Ok(()) };
            let removed = tokio::fs::remove_file(&page.path).await;
            removed.with_context(|| format!("cannot remove {}", page.path.display()))?;
        }
        Ok(())
    }
}

/// Whether `name` is that of a file that an album has made.
fn is_picture(name: &str) -> bool {
    let Some((number, rest)) = name.split_once('-') else { return false };
    number.len() >= 3
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && [".png", ".jpg"].iter().any(|ending| rest.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_shows_the_same_is_kept_once_and_what_was_there_goes() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("screens");
        std::fs::create_dir(&directory).unwrap();
        for old in ["007-3m.png", "mine.png", "123.png"] {
            std::fs::write(directory.join(old), "").unwrap();
        }
        let (ui, mut events) = Ui::new();
        let album = Album::empty(&directory, false).await.unwrap();
        let (one, two) = (Frame::filled(8, 8, 0), Frame::filled(8, 8, 255));
        album.keep(one.clone(), Moment::BeforeTyping(None), &ui).await.unwrap();
        let path = album.keep(one, Moment::Minute(1), &ui).await.unwrap();
        assert!(path.ends_with("001-before-typing.png"));
        album.keep(two, Moment::Failure, &ui).await.unwrap();
        let kept = ["001-before-typing.png", "002-failure.png", "123.png", "mine.png"];
        assert_eq!(names(&directory), kept);
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            if let Message::Picture(picture) = event.message {
                told.push(picture.moment);
            }
        }
        assert_eq!(told, ["before the boot command", "when the build failed"]);
    }

    #[tokio::test]
    async fn the_oldest_of_those_taken_in_passing_go_first() {
        let root = tempfile::tempdir().unwrap();
        let (ui, _events) = Ui::new();
        let album = Album::empty(root.path(), false).await.unwrap();
        let shade = |number: u64| Frame::filled(8, 8, u8::try_from(number).unwrap());
        album.keep(shade(255), Moment::BeforeTyping(None), &ui).await.unwrap();
        for minute in 1..=MOST_PICTURES as u64 + 5 {
            album.keep(shade(minute), Moment::Minute(minute), &ui).await.unwrap();
        }
        let names = names(root.path());
        assert_eq!(names.len(), MOST_PICTURES);
        assert_eq!(names[..2], ["001-before-typing.png", "008-7m.png"]);
    }
}
