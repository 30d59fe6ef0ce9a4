//! The image that a machine starts from: found on this host, or downloaded into the shared cache.

mod http;
mod place;
mod repository;
#[cfg(feature = "aws")]
mod s3;
mod transfer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use schemars::JsonSchema;
use serde::Deserialize;
use sha1::Digest as _;
use smart_default::SmartDefault;
use url::Url;

use self::place::Place;
use self::transfer::{Opened, Transfer, wrong};
use crate::component::{BuildContext, Check, WITHOUT_AWS};
use crate::config::GoDuration;
use crate::diagnostic::code;
use crate::env::Environment;
use crate::fault::Fault;
use crate::peer::{self, Allowance};
use crate::permission::Permission;
use crate::retry::{Backoff, Cancelled, or_cancelled, sleep};
use crate::secret::Redactor;
use crate::vm::checksum::{Checksum, Digest, find_in_sums};
use crate::vm::shared::Turn;

/// The list of a large mirror has some megabytes.
const SUMS: Allowance = Allowance::new("the sums file", 16 << 20, Duration::from_secs(60));
/// What may be downloaded, if [`TIME_VARIABLE`] does not allow more time.
const IMAGE: Allowance = Allowance::new("the image", 256 << 30, Duration::from_secs(30 * 60));
/// How long a download may take, as Go writes durations.
const TIME_VARIABLE: &str = "PACKER_GETTER_READ_TIMEOUT";

/// The image to start from.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = {
    "iso_md5": "iso_checksum",
    "iso_checksum_type": "iso_checksum",
    "iso_checksum_url": "iso_checksum",
}))]
pub struct Options {
    /// Path or URL (`http`, `https`, `file`) of the image. What `.netrc` (or the file that `NETRC` names)
    /// knows of the server is sent to it over `https`; not with `iso_skip_cache`, where QEMU asks itself.
    /// Or a file in a repository, `git::https://…/REPOSITORY.git//PATH?ref=…` and
    /// `hg::https://…/REPOSITORY//PATH?rev=…`, read by the programs `git` and `hg`; an object in S3,
    /// `s3::https://s3.REGION.amazonaws.com/BUCKET/KEY`, another S3's `s3::https://HOST/BUCKET/KEY`, or
    /// `s3://BUCKET/KEY`, with the credentials that AWS's own tools find; or one in Google Cloud Storage,
    /// `gcs::https://www.googleapis.com/storage/v1/BUCKET/NAME`, with the token in
    /// `GOOGLE_OAUTH_ACCESS_TOKEN` where it is not public. Shares of SMB are mounted by hand.
    pub iso_url: String,
    /// Paths or URLs of the image, tried in this order. Not together with `iso_url`.
    pub iso_urls: Vec<String>,
    /// The image's checksum: `<type>:<hex>` with md5, sha1, sha256 or sha512, the hex digits alone,
    /// `file:<path or URL>` of a sums file, or `none`.
    pub iso_checksum: String,
    /// Where a downloaded image is kept, instead of the cache. A path without an extension is a
    /// directory.
    pub iso_target_path: Option<PathBuf>,
    /// The extension of a downloaded image in the cache.
    #[default("iso".into())]
    pub iso_target_extension: String,
    /// Whether the CD of an installer is not downloaded: QEMU reads from its server what the machine
    /// asks for. Nothing checks it then. QEMU needs its driver for that (Debian's package
    /// `qemu-block-extra`), and the server must give out parts of files.
    pub iso_skip_cache: bool,
}

/// Nobody is shown the password in `url`.
fn register_password(url: &str, redactor: &Redactor) {
    let got = url.split_once("::").filter(|(getter, _)| place::is_word(getter));
    let url = got.map_or(url, |(_, url)| url);
    let url = Url::parse(url).ok();
    if let Some(password) = url.as_ref().and_then(Url::password) {
        redactor.register(password);
    }
}

fn is_remote(url: &str) -> bool {
    !matches!(Place::of(url), Ok(Place::Local(_)) | Err(_))
}

/// Whether `latest` is a folder of the URL, or a part of a name: `debian-latest.qcow2`.
fn names_the_newest(url: &str) -> bool {
    url.split(['/', '?', '-', '.', '_']).any(|word| word == "latest")
}

impl Options {
    /// Warns of an image that is downloaded from where the newest is, with a checksum that comes from
    /// there, too, or with none: a written one stops the build when the image changes.
    pub fn lint(&self, check: &mut Check<'_>) {
        let checksum = self.iso_checksum.as_str();
        if !checksum.is_empty() && checksum != "none" && !checksum.starts_with("file:") {
            return;
        }
        let one = [("iso_url".to_owned(), &self.iso_url)].into_iter();
        let several = self.iso_urls.iter().enumerate();
        let all = one.chain(several.map(|(at, url)| (format!("iso_urls.{at}"), url)));
        for (option, url) in all.filter(|(_, url)| is_remote(url) && names_the_newest(url)) {
            let summary = "the disk image is another one tomorrow";
            let found = check.warn(code::UNPINNED_LATEST, &option, summary);
            found.cause = Some(format!("`{}`", url.rsplit('/').next().unwrap_or(url)));
            let help = "name a dated image, or give its `iso_checksum` as `sha256:…`";
            found.help = Some(help.to_owned());
        }
    }

    /// What there is to fetch; `None` after reporting why nothing can be.
    pub fn check(&self, check: &mut Check<'_>) -> Option<Download> {
        let urls = match (self.iso_url.as_str(), &self.iso_urls[..]) {
            ("", []) => {
                check.missing("iso_url", "give the path or URL of an image");
                None
            }
            ("", urls) => Some(urls.to_vec()),
            (url, []) => Some(vec![url.to_owned()]),
            _ => {
                check.error("iso_urls", "`iso_url` is given too: give one of the two");
                None
            }
        };
        let sums = self.iso_checksum.strip_prefix("file:");
        for url in urls.iter().flatten().map(String::as_str).chain(sums) {
            register_password(url, check.redactor);
        }
        for url in urls.iter().flatten() {
            let option = if self.iso_url.is_empty() { "iso_urls" } else { "iso_url" };
            self.check_place(url, option, check);
        }
        let checksum = self.check_checksum(check);
        Some(Download {
            urls: urls?,
            checksum: checksum?,
            target: self.iso_target_path.clone(),
            extension: self.iso_target_extension.to_lowercase(),
            stays: self.iso_skip_cache,
        })
    }

    fn check_place(&self, text: &str, option: &str, check: &mut Check<'_>) {
        let cause = match Place::of(text) {
            Err(cause) => cause,
            Ok(Place::Web(_)) => return,
            Ok(_) if self.iso_skip_cache => {
                "`iso_skip_cache` is for what a web server has, and this is somewhere else"
                    .to_owned()
            }
            Ok(Place::S3(_)) if cfg!(not(feature = "aws")) => WITHOUT_AWS.to_owned(),
            Ok(_) => {
                may_read(text, option, check);
                return;
            }
        };
        check.error(option, cause);
    }

    fn check_checksum(&self, check: &mut Check<'_>) -> Option<Checksum> {
        if self.iso_skip_cache {
            if !matches!(self.iso_checksum.as_str(), "" | "none") {
                let text = "with `iso_skip_cache`, nobody compares the checksum";
                check.warn(code::OPTION_VALUE, "iso_checksum", text);
            }
            return Some(Checksum::None);
        }
        if self.iso_checksum.is_empty() {
            check.missing("iso_checksum", "`none` accepts any image, which is not advisable");
            return None;
        }
        match Checksum::parse(&self.iso_checksum) {
            Ok(Checksum::None) => {
                let text = "`iso_checksum = \"none\"`: a damaged or forged image is not noticed";
                check.warn(code::OPTION_VALUE, "iso_checksum", text);
                Some(Checksum::None)
            }
            Ok(Checksum::SumsFile(sums)) => {
                self.check_place(&sums, "iso_checksum", check);
                Some(Checksum::SumsFile(sums))
            }
            Ok(checksum) => Some(checksum),
            Err(cause) => {
                check.error("iso_checksum", cause);
                None
            }
        }
    }
}

/// The file of this host that `text`, a path or a URL, names.
pub fn local(text: &str) -> Option<PathBuf> {
    match Place::of(text) {
        Ok(Place::Local(path)) => Some(path),
        _ => None,
    }
}

/// Whether the template may have the file or the repository of this host read that `text` names; what
/// is elsewhere is not ours to refuse.
pub fn may_read(text: &str, option: &str, check: &mut Check<'_>) -> bool {
    match Place::of(text) {
        Ok(Place::Local(path)) => check.may_read(option, path),
        Ok(Place::Repository(file)) => {
            file.directory().is_none_or(|directory| check.may_read(option, directory))
        }
        _ => true,
    }
}

/// Where QEMU finds an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// On this host.
    File(PathBuf),
    /// On a server that gives out parts of it.
    Server(Url),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(url) => url.fmt(f),
        }
    }
}

/// An image to fetch.
#[derive(Clone, Debug)]
pub struct Download {
    urls: Vec<String>,
    checksum: Checksum,
    target: Option<PathBuf>,
    extension: String,
    /// Whether it stays on its server.
    stays: bool,
}

impl Download {
    /// What is at the path or URL `from`, and has this `checksum`; a download is kept with the
    /// `extension`.
    ///
    /// # Errors
    /// When that is no place to fetch from.
    pub fn of(from: &str, checksum: Checksum, extension: &str) -> Result<Self, String> {
        Place::of(from)?;
        let (urls, extension) = (vec![from.to_owned()], extension.to_owned());
        Ok(Self { urls, checksum, target: None, extension, stays: false })
    }

    /// Where the image is, its checksum verified.
    ///
    /// A file of this host is used where it is. A download goes to the cache, which builds and
    /// runs share: the first downloads, the others wait for it.
    ///
    /// # Errors
    /// When no URL gives an image with the right checksum; each URL's cause is said.
    pub async fn fetch(&self, cx: &BuildContext) -> anyhow::Result<Source> {
        cx.ui.say("Retrieving the image");
        let mut errors = Vec::new();
        for url in &self.urls {
            cx.ui.say(format!("Trying {url}"));
            match self.fetch_from(url, cx).await {
                Ok(source) => {
                    cx.ui.say(format!("{url} => {source}"));
                    return Ok(source);
                }
                Err(error) if cx.cancel.is_cancelled() => return Err(error),
                Err(error) => {
                    if self.urls.len() > 1 {
                        cx.ui.error(format!("{error:#}"));
                    }
                    errors.push(error);
                }
            }
        }
        Err(none_of_them(&errors))
    }

    /// What the image is, before it is fetched: the checksum that it must have, if it must have one.
    ///
    /// # Errors
    /// When the list that has it cannot be read; the last cause is said.
    pub async fn identity(&self, cx: &BuildContext) -> anyhow::Result<Option<String>> {
        let mut cause = None;
        for url in &self.urls {
            let place = Place::of(url).map_err(anyhow::Error::msg)?;
            match self.expected(&place, cx).await {
                Ok(expected) => return Ok(expected.map(|digest| digest.to_string())),
                Err(error) => cause = Some(error),
            }
        }
        Err(cause.unwrap_or_else(|| anyhow::anyhow!("there is no image to start from")))
    }

    /// What an AWS account must allow, so that it is fetched.
    pub fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        #[cfg(feature = "aws")]
        let permission = |place| match place {
            Place::S3(object) => object.permission(environment),
            _ => None,
        };
        #[cfg(not(feature = "aws"))]
        let permission = |_place| {
            let _ = environment;
            None
        };
        let sums = match &self.checksum {
            Checksum::SumsFile(sums) => Some(sums),
            _ => None,
        };
        let places = self.urls.iter().chain(sums).filter_map(|url| Place::of(url).ok());
        places.filter_map(permission).collect()
    }

    /// Whether it stays on its server: nobody reads it before the machine does.
    pub fn is_streamed(&self) -> bool {
        self.stays
    }

    async fn fetch_from(&self, url: &str, cx: &BuildContext) -> anyhow::Result<Source> {
        let place = Place::of(url).map_err(anyhow::Error::msg)?;
        let expected = self.expected(&place, cx).await?;
        match place {
            Place::Local(path) => {
                peer::open_regular(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                if let Some(expected) = expected {
                    verify(&expected, &path, &turn(&path, cx).await?).await?;
                }
                Ok(Source::File(path))
            }
            Place::Web(url) if self.stays => {
                or_cancelled(&cx.cancel, http::gives_parts(&url)).await??;
                Ok(Source::Server(url))
            }
            place => {
                let what = match &place {
                    Place::Web(url) => url.to_string(),
                    _ => url.to_owned(),
                };
                let target = self.target(&what, expected.as_ref(), cx);
                self.fetch_to(&target, (&what, &place), expected.as_ref(), cx).await?;
                Ok(Source::File(target))
            }
        }
    }

    /// The checksum that the image must have.
    async fn expected(&self, place: &Place, cx: &BuildContext) -> anyhow::Result<Option<Digest>> {
        let sums = match &self.checksum {
            Checksum::None => return Ok(None),
            Checksum::Digest(digest) => return Ok(Some(digest.clone())),
            Checksum::SumsFile(sums) => sums,
        };
        let text = match Place::of(sums).map_err(anyhow::Error::msg)? {
            Place::Local(path) => peer::read_regular_text(&path, SUMS.bytes)
                .with_context(|| format!("cannot read the sums file {}", path.display()))?,
            place => {
                let listed = or_cancelled(&cx.cancel, sums_text(&place, cx)).await?;
                listed.with_context(|| format!("cannot download the sums file {sums}"))?
            }
        };
        let name = place.file_name();
        let name = name.unwrap_or_default();
        let found = find_in_sums(&text, &name);
        found.map(Some).with_context(|| format!("the sums file {sums} does not list `{name}`"))
    }

    /// Where the download is kept: in the cache under a name that says what it is.
    fn target(&self, url: &str, expected: Option<&Digest>, cx: &BuildContext) -> PathBuf {
        let identity = expected.map_or_else(|| url.to_owned(), Digest::to_string);
        let digest = hex::encode(sha1::Sha1::digest(identity));
        let name = format!("{digest}.{}", self.extension);
        match &self.target {
            Some(path) if path.extension().is_some() => path.clone(),
            Some(dir) => dir.join(name),
            None => cx.facts.scope.environment.cache_dir().join(name),
        }
    }

    /// Makes sure that the image is at `target`.
    async fn fetch_to(
        &self,
        target: &Path,
        (url, place): (&str, &Place),
        expected: Option<&Digest>,
        cx: &BuildContext,
    ) -> anyhow::Result<()> {
        let dir = target.parent().unwrap_or(Path::new("."));
        tokio::fs::create_dir_all(dir)
            .await
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        let turn = turn(target, cx).await?;
        let is_fetched = format!("fetched from {url}");
        if expected.is_none() && turn.knows(&is_fetched) {
            return Ok(());
        }
        let _lock = lock(target, cx).await?;
        let mut since = None;
        if let Ok(metadata) = tokio::fs::metadata(target).await {
            match expected {
                Some(expected) if verify(expected, target, &turn).await.is_ok() => return Ok(()),
                Some(_) => cx.ui.say(format!("{} is damaged: again", target.display())),
                None => since = metadata.modified().ok(),
            }
        }
        let allowance = allowance(&cx.facts.scope.environment)?;
        let download = allowance.in_time(async {
            let Some(opened) = open(place, since, cx).await? else { return Ok(None) };
            let transfer = Transfer { what: url, expected, allowance, ui: &cx.ui };
            transfer.receive(opened, dir).await.map(Some)
        });
        let downloaded = or_cancelled(&cx.cancel, download).await?;
        let downloaded = downloaded
            .map_err(|late| anyhow::anyhow!("{late}: {TIME_VARIABLE} may allow more"))
            .flatten()
            .with_context(|| format!("cannot download {url}"))?;
        if let Some(file) = downloaded {
            let kept = file.persist(target);
            kept.with_context(|| format!("cannot write {}", target.display()))?;
        }
        turn.learn(&expected.map_or(is_fetched, Digest::to_string), turn.stamp());
        Ok(())
    }
}

/// Waits until no other build of this run is at work on the image at `path`.
async fn turn(path: &Path, cx: &BuildContext) -> Result<Turn, Cancelled> {
    Turn::with(path, &cx.cancel, || {
        cx.ui.say("Waiting for another build that needs the same image")
    })
    .await
}

/// Waits until no other run is at work on `target`; the lock ends when the file is closed.
async fn lock(target: &Path, cx: &BuildContext) -> anyhow::Result<File> {
    let path = PathBuf::from(format!("{}.lock", target.display()));
    let context = || format!("cannot lock {}", path.display());
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let file = peer::open_regular_as(&mut options, &path).with_context(context)?;
    let backoff =
        Backoff { first: Duration::from_millis(50), factor: 1.5, longest: Duration::from_secs(1) };
    for (tries, wait) in backoff.waits().enumerate() {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                if tries == 0 {
                    cx.ui.say("Waiting for another run that downloads the same image");
                }
                sleep(&cx.cancel, wait).await?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
    }
    Ok(file)
}

async fn verify(expected: &Digest, path: &Path, turn: &Turn) -> anyhow::Result<()> {
    if turn.knows(&expected.to_string()) {
        return Ok(());
    }
    let (wanted, file) = (expected.clone(), path.to_owned());
    let stamp = turn.stamp();
    let found = tokio::task::spawn_blocking(move || Digest::of_file(wanted.kind, &file)).await?;
    let found = found.with_context(|| format!("cannot read {}", path.display()))?;
    if found != *expected {
        let shown = path.display();
        return Err(wrong(format!(
            "the checksum of {shown} is {found}, but {expected} is expected"
        )));
    }
    turn.learn(&expected.to_string(), stamp);
    Ok(())
}

/// That no URL gave an image, for all their reasons; each of `errors` is about one.
fn none_of_them(errors: &[anyhow::Error]) -> anyhow::Error {
    let causes: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
    let error = anyhow!("cannot get the image: {}", causes.join("; "));
    // One that can answer the next time is enough.
    let faults: Option<Vec<Fault>> = errors.iter().map(Fault::of).collect();
    let faults = faults.unwrap_or_default();
    match faults.iter().find(|fault| fault.can_retry).or(faults.last()) {
        Some(fault) => fault.mark(error),
        None => error,
    }
}

/// How much may be downloaded, and for how long.
fn allowance(environment: &Environment) -> anyhow::Result<Allowance> {
    let Some(given) = environment.get(TIME_VARIABLE) else { return Ok(IMAGE) };
    let time = GoDuration::parse(given).map_err(anyhow::Error::msg).context(TIME_VARIABLE)?;
    Ok(Allowance { time: time.get(), ..IMAGE })
}

/// What is at `place`; `None` if what was fetched at `since` is still the same, where that can be asked.
async fn open(
    place: &Place,
    since: Option<SystemTime>,
    cx: &BuildContext,
) -> anyhow::Result<Option<Opened>> {
    match place {
        Place::Local(path) => Err(anyhow!("{} is on this host", path.display())),
        Place::Web(url) => http::open(url, since, cx).await,
        Place::Gcs(object) => http::open_gcs(object, since, cx).await,
        Place::Repository(file) => repository::open(file, cx).await.map(Some),
        #[cfg(feature = "aws")]
        Place::S3(object) => object.open(cx).await.map(Some),
        #[cfg(not(feature = "aws"))]
        Place::S3(object) => Err(anyhow!("nothing here reads {object:?}")),
    }
}

/// The sums file at `place`.
async fn sums_text(place: &Place, cx: &BuildContext) -> anyhow::Result<String> {
    let download = async {
        let opened = open(place, None, cx).await?.context("nothing came")?;
        SUMS.check(opened.total.unwrap_or(0))?;
        SUMS.collect(opened.chunks).await
    };
    let text = SUMS.in_time(download).await??;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_two_colons_stand() {
        for url in [
            "https://me:correct-horse@[::1]/d.img",
            "https://me:correct-horse@a.example/a::b.img",
            "git::https://me:correct-horse@a.example/r//d.img",
        ] {
            let redactor = Redactor::default();
            register_password(url, &redactor);
            assert!(!redactor.redact(url).contains("correct-horse"), "{url}");
        }
    }
}
