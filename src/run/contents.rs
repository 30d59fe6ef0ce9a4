//! What is inside the image of a build (`-sbom`): the machine is asked while it can be, and the answer
//! is written and told once there is an image.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::component::{Artifact, BuildContext, Communicator, PackageDocuments};
use crate::diagnostic::Severity;
use crate::event::{Annotation, Contents, Message, told};
use crate::peer;
use crate::retry;
use crate::sbom::{self, Inventory, Subject, cyclonedx, spdx};
use crate::whole_file;

/// How many changes a line of the log has.
const MOST_TOLD: usize = 40;

/// None of ours is larger.
const LARGEST: u64 = 256 << 20;

/// What is known of a build's machine.
#[derive(Debug)]
pub(super) struct PackageSurvey {
    /// Where SBOMs are written.
    dir: Option<PathBuf>,
    /// Whether anybody wants to know.
    is_wanted: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the machine was reached.
    before: Option<Inventory>,
    /// After the last provisioner.
    after: Option<Inventory>,
    /// Why it is not known.
    wrong: Option<String>,
}

/// When a machine is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It has just been reached.
    Before,
    /// All provisioners have run.
    After,
}

impl PackageSurvey {
    /// One whose documents are written in `dir`, if that is given; somebody else may want them, too.
    pub fn new(dir: Option<PathBuf>, is_wanted: bool) -> Self {
        Self { is_wanted: is_wanted || dir.is_some(), dir, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the machine, if anybody wants to know. What goes wrong with that fails no build, but is
    /// told with its end.
    pub async fn look(&self, cx: &BuildContext, machine: &dyn Communicator, moment: Moment) {
        if !self.is_wanted || (moment == Moment::After && self.seen().wrong.is_some()) {
            return;
        }
        let tell = || cx.ui.say("Waiting for the machine's list of packages ...");
        let asked = retry::told(sbom::of_machine(machine), tell);
        let asked = retry::or_cancelled(&cx.cancel, asked).await;
        let mut seen = self.seen();
        if moment == Moment::Before {
            // A build may start several machines; only the last one matters.
            *seen = Seen::default();
        }
        match asked {
            Ok(Ok(inventory)) if moment == Moment::Before => seen.before = Some(inventory),
            Ok(Ok(inventory)) => seen.after = Some(inventory),
            Ok(Err(error)) => seen.wrong = Some(format!("{error:#}")),
            Err(cancelled) => seen.wrong = Some(cancelled.to_string()),
        }
    }

    /// Makes the documents of the image of the build `name`, writes them where somebody wants files, and
    /// tells what has changed.
    pub fn tell(
        &self,
        cx: &BuildContext,
        name: &str,
        image: &dyn Artifact,
    ) -> Option<Arc<ImageContents>> {
        if !self.is_wanted {
            return None;
        }
        if image.was_there() {
            let why = "an earlier run has made this image, and what it wrote is still true";
            if self.dir.is_some() {
                cx.ui.say(format!("No new SBOM: {why}."));
            }
            return None;
        }
        let missing = if self.dir.is_some() { "no SBOM" } else { "no list of packages" };
        let Seen { before, after, wrong } = std::mem::take(&mut *self.seen());
        let (Some(now), None) = (after, &wrong) else {
            let none = || "this run has provisioned no machine for it".to_owned();
            warn(cx, missing, name, &anyhow::Error::msg(wrong.unwrap_or_else(none)));
            return None;
        };
        let contents = ImageContents {
            name: name.to_owned(),
            id: image.id(),
            builder: cx.facts.builder_type.clone(),
            at: cx.facts.scope.environment.started,
            packages: now,
        };
        if let Some(dir) = &self.dir {
            let documents = contents.documents(&[]);
            match written(dir, name, &documents, before.as_ref(), &contents.packages) {
                Ok(contents) => say(cx, contents),
                Err(error) => warn(cx, missing, name, &error),
            }
        }
        Some(Arc::new(contents))
    }
}

/// Makes `dir`, where SBOMs will be written, and sees that files can be: whoever wants them is to know it
/// before anything is baked.
///
/// # Errors
/// Says why there can be none.
pub fn make_sbom_directory(dir: &Path) -> anyhow::Result<()> {
    let shown = || format!("no SBOM can be written in {}", dir.display());
    if dir.exists() && !dir.is_dir() {
        bail!("{}: it is a file, and no directory", shown());
    }
    let made = fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir));
    made.map(drop).with_context(shown)
}

/// What is in the image of a build.
#[derive(Debug)]
pub(super) struct ImageContents {
    /// The build.
    name: String,
    /// The image.
    id: String,
    /// The type of its builder.
    builder: String,
    /// When it was made.
    at: Timestamp,
    packages: Inventory,
}

impl ImageContents {
    /// Documents of it, without the packages of the files that `but` names.
    pub fn documents(&self, but: &[glob::Pattern]) -> PackageDocuments {
        let (builder, at) = (&self.builder, self.at);
        let about = Subject { name: &self.name, id: &self.id, builder, at };
        let packages = &self.packages.without(but);
        let cyclonedx = cyclonedx::document(packages, &about);
        PackageDocuments { cyclonedx, spdx: spdx::document(packages, &about) }
    }
}

/// Writes the `documents` of the build `name` in `dir`.
fn written(
    dir: &Path,
    name: &str,
    documents: &PackageDocuments,
    before: Option<&Inventory>,
    now: &Inventory,
) -> anyhow::Result<Contents> {
    let file = |ending: &str| dir.join(format!("{}.{ending}", file_name(name)));
    let (mine, other) = (file("cdx.json"), file("spdx.json"));
    let previous = previous(&mine)?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let documents = [&documents.cyclonedx, &documents.spdx];
    let mut files = Vec::new();
    for (path, document) in [mine, other].into_iter().zip(documents) {
        let mut text = serde_json::to_vec_pretty(document)?;
        text.push(b'\n');
        // As a whole: whoever reads it meanwhile sees the one before.
        whole_file::write(&path, 0o644, &text)
            .with_context(|| format!("cannot write {}", path.display()))?;
        files.push(path.display().to_string());
    }
    Ok(Contents {
        packages: now.packages.len(),
        baked: before.map(|before| sbom::difference(before, now)),
        since_previous: previous.map(|previous| sbom::difference(&previous, now)),
        files,
    })
}

/// What the image before had inside, if its document is there.
fn previous(file: &Path) -> anyhow::Result<Option<Inventory>> {
    let wrong = || format!("{} is there, but is no SBOM: move it away", file.display());
    match peer::read_regular(file, LARGEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(wrong),
        Ok(text) => cyclonedx::read(&text).with_context(wrong).map(Some),
    }
}

/// A build's name as that of a file. No two builds have the same.
fn file_name(build: &str) -> String {
    let plain = |next: char| next.is_alphanumeric() || matches!(next, '.' | '_' | '-');
    let mut name = String::with_capacity(build.len());
    for next in build.chars() {
        match plain(next) && !(name.is_empty() && next == '.') {
            true => name.push(next),
            false => name.push_str(&format!("%{:02X}", u32::from(next))),
        }
    }
    name
}

fn say(cx: &BuildContext, contents: Contents) {
    let count = contents.packages;
    match &contents.baked {
        Some(baked) => {
            cx.ui.say(format!("{count} packages in the image: {}", told(baked, MOST_TOLD)));
        }
        None => cx.ui.say(format!("{count} packages in the image")),
    }
    if let Some(changes) = &contents.since_previous {
        cx.ui.say(format!("Since the previous image: {}", told(changes, MOST_TOLD)));
    }
    cx.ui.say(format!("SBOM: {}", contents.files.join(", ")));
    cx.ui.send(Message::Contents(contents));
}

/// An image without the list that somebody wants to have is no failure, but must be seen.
fn warn(cx: &BuildContext, what: &str, name: &str, error: &anyhow::Error) {
    let text = format!("{what} of `{name}`: {error:#}");
    cx.ui.error(format!("Warning: {text}"));
    let (severity, title) = (Severity::Warning, what.to_owned());
    let (place, fault) = (None, None);
    cx.ui.send(Message::Annotation(Annotation { severity, place, title, text, fault }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_for_sboms_is_made_and_a_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (new, file) = (dir.path().join("a/b"), dir.path().join("file"));
        make_sbom_directory(&new).unwrap();
        assert_eq!(fs::read_dir(&new).unwrap().count(), 0);
        fs::write(&file, "x").unwrap();
        let refused = make_sbom_directory(&file).unwrap_err().to_string();
        assert!(refused.ends_with("file: it is a file, and no directory"), "{refused}");
        assert!(make_sbom_directory(&file.join("in")).is_err());
    }

    #[test]
    fn no_two_builds_write_the_same_file_and_none_leaves_its_directory() {
        assert_eq!(file_name("docker.web-1_2"), "docker.web-1_2");
        assert_eq!(
            file_name("images/web.pkr.hcl: docker.web"),
            "images%2Fweb.pkr.hcl%3A%20docker.web"
        );
        assert_eq!(file_name("../x"), "%2E.%2Fx");
        assert_ne!(file_name("a/b"), file_name("a%2Fb"));
    }
}
