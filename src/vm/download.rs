//! The image that a machine starts from: found on this host, or downloaded into the shared cache.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use jiff::fmt::rfc2822::DateTimePrinter;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use sha1::Digest as _;
use smart_default::SmartDefault;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::component::{BuildContext, Check};
use crate::config::GoDuration;
use crate::diagnostic::code;
use crate::env::Environment;
use crate::event::{Message, Progress, Ui};
use crate::fault::{Fault, Kind};
use crate::peer::{self, Allowance};
use crate::retry::{Backoff, Cancelled, or_cancelled, sleep};
use crate::secret::Redactor;
use crate::vm::checksum::{Checksum, Digest, find_in_sums};
use crate::vm::shared::Turn;
use crate::web::{self, netrc};

/// A server that is silent for this long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// How often the progress of a download is reported.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// The list of a large mirror has some megabytes.
const SUMS: Allowance = Allowance::new("the sums file", 16 << 20, Duration::from_secs(60));
/// What may be downloaded, if [`TIME_VARIABLE`] does not allow more time.
const IMAGE: Allowance = Allowance::new("the image", 256 << 30, Duration::from_secs(30 * 60));
/// How long a download may take, as Go writes durations.
const TIME_VARIABLE: &str = "PACKER_GETTER_READ_TIMEOUT";

/// The image to start from.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Path or URL (`http`, `https`, `file`) of the image. What `.netrc` (or the file that `NETRC` names)
    /// knows of the server is sent to it over `https`; not with `iso_skip_cache`, where QEMU asks itself.
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
    let url = Url::parse(url).ok();
    if let Some(password) = url.as_ref().and_then(Url::password) {
        redactor.register(password);
    }
}

fn is_remote(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
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
            match Place::of(url) {
                Ok(Place::Local(_)) if self.iso_skip_cache => {
                    let cause = "`iso_skip_cache` is for what a server has, and this is a file";
                    check.error(option, cause);
                }
                Ok(Place::Local(path)) => _ = check.may_read(option, path),
                Ok(Place::Remote(_)) => {}
                Err(cause) => _ = check.error(option, cause),
            }
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
                if let Some(path) = local(&sums) {
                    check.may_read("iso_checksum", path);
                }
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

/// Where an image is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Local(PathBuf),
    Remote(Url),
}

impl Place {
    /// Reads a path or a URL.
    fn of(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            let path = text.strip_prefix("file:").unwrap_or(text);
            return Ok(Self::Local(PathBuf::from(path)));
        }
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Remote(url)),
            "file" => {
                let path = url.to_file_path();
                path.map(Self::Local).map_err(|()| format!("`{text}` names no file of this host"))
            }
            other => Err(format!("`{other}` is not built yet: use http, https or a file")),
        }
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

    /// Whether it stays on its server: nobody reads it before the machine does.
    pub fn stays(&self) -> bool {
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
            Place::Remote(url) if self.stays => {
                or_cancelled(&cx.cancel, gives_parts(&url)).await??;
                Ok(Source::Server(url))
            }
            Place::Remote(url) => {
                let target = self.target(&url, expected.as_ref(), cx);
                self.fetch_to(&target, &url, expected.as_ref(), cx).await?;
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
        let name = match place {
            Place::Local(path) => path.file_name().and_then(|name| name.to_str()),
            Place::Remote(url) => url.path_segments().and_then(|mut parts| parts.next_back()),
        };
        let text = match Place::of(sums).map_err(anyhow::Error::msg)? {
            Place::Local(path) => peer::read_regular_text(&path, SUMS.bytes)
                .with_context(|| format!("cannot read the sums file {}", path.display()))?,
            Place::Remote(url) => {
                let listed = or_cancelled(&cx.cancel, sums_text(&url, cx)).await?;
                listed.with_context(|| format!("cannot download the sums file {url}"))?
            }
        };
        let name = name.unwrap_or_default();
        let found = find_in_sums(&text, name);
        found.map(Some).with_context(|| format!("the sums file {sums} does not list `{name}`"))
    }

    /// Where the download is kept: in the cache under a name that says what it is.
    fn target(&self, url: &Url, expected: Option<&Digest>, cx: &BuildContext) -> PathBuf {
        let identity = expected.map_or_else(|| url.to_string(), Digest::to_string);
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
        url: &Url,
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
            let Some(response) = request(url, since, cx).await? else { return Ok(None) };
            let transfer = Transfer { url, expected, allowance, ui: &cx.ui };
            transfer.receive(response, dir).await.map(Some)
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

/// That a file is not what the template says it is.
fn wrong(text: String) -> anyhow::Error {
    Fault::lasting(Kind::Template).mark(anyhow!(text))
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

/// A request for `url`, with the login that `.netrc` has for its server. It goes nowhere in the clear.
fn get(client: &Client, url: &Url, cx: &BuildContext) -> anyhow::Result<RequestBuilder> {
    let request = client.get(url.clone());
    let (environment, redactor) = (&cx.facts.scope.environment, &cx.redactor);
    let Some(login) = netrc::login(url, environment, redactor)? else { return Ok(request) };
    if web::safe(url.as_str()).is_err() {
        let server = url.host_str().unwrap_or_default();
        cx.ui.say(format!(
            "The login that .netrc has for {server} is not sent over {}",
            url.scheme()
        ));
        return Ok(request);
    }
    Ok(request.basic_auth(login.user, Some(login.password.expose())))
}

/// Asks for `url`; `None` if what was downloaded at `since` is still the same.
async fn request(
    url: &Url,
    since: Option<std::time::SystemTime>,
    cx: &BuildContext,
) -> anyhow::Result<Option<Response>> {
    let client = web::client().read_timeout(SILENCE).build().context("no HTTP client")?;
    let mut request = get(&client, url, cx)?;
    if let Some(since) = since {
        let since = jiff::Timestamp::try_from(since)?;
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&since)?;
        request = request.header("if-modified-since", date);
    }
    let response = request.send().await.map_err(web::cause)?;
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    web::success(response).map(Some)
}

/// Makes sure that the server of `url` is there and gives out parts of files.
async fn gives_parts(url: &Url) -> anyhow::Result<()> {
    let asked = async {
        let client = web::client().read_timeout(SILENCE).build().context("no HTTP client")?;
        web::success(client.head(url.clone()).send().await.map_err(web::cause)?)
    };
    let response = asked.await.with_context(|| format!("cannot read {url}"))?;
    let parts = response.headers().get(reqwest::header::ACCEPT_RANGES);
    if parts.is_none_or(|parts| parts != "bytes") {
        bail!("the server of {url} gives out no parts of files, which `iso_skip_cache` needs");
    }
    Ok(())
}

/// The sums file at `url`.
async fn sums_text(url: &Url, cx: &BuildContext) -> anyhow::Result<String> {
    let download = async {
        let client = web::client().build().context("no HTTP client")?;
        let response = get(&client, url, cx)?.send().await.map_err(web::cause)?;
        web::body(web::success(response)?, SUMS).await
    };
    let text = SUMS.in_time(download).await??;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A download under way.
struct Transfer<'a> {
    url: &'a Url,
    expected: Option<&'a Digest>,
    allowance: Allowance,
    ui: &'a Ui,
}

impl Transfer<'_> {
    /// Streams the body to a temporary file in `dir`, and takes its checksum on the way.
    async fn receive(&self, mut response: Response, dir: &Path) -> anyhow::Result<NamedTempFile> {
        let total = response.content_length();
        self.allowance.check(total.unwrap_or(0))?;
        let file = NamedTempFile::with_prefix_in(".download-", dir)?;
        let mut writer = tokio::fs::File::from_std(file.reopen()?);
        let mut hasher = self.expected.map(|expected| expected.kind.hasher());
        let (mut done, mut reported) = (0, Instant::now());
        while let Some(chunk) = response.chunk().await.map_err(web::cause)? {
            self.allowance.check(done + chunk.len() as u64)?;
            writer.write_all(&chunk).await?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&chunk);
            }
            done += chunk.len() as u64;
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                self.report(done, total, false);
            }
        }
        writer.flush().await?;
        self.report(done, total, true);
        let found = hasher.map(|hasher| hasher.finish());
        if let (Some(found), Some(expected)) = (found, self.expected)
            && found != *expected
        {
            return Err(wrong(format!("its checksum is {found}, but {expected} is expected")));
        }
        Ok(file)
    }

    fn report(&self, done: u64, total: Option<u64>, finished: bool) {
        let what = self.url.to_string();
        self.ui.send(Message::Progress(Progress { what, done, total, finished }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_paths_or_urls() {
        let local = |path: &str| Ok(Place::Local(PathBuf::from(path)));
        assert_eq!(Place::of("disk.img"), local("disk.img"));
        assert_eq!(Place::of("/a/disk.img"), local("/a/disk.img"));
        assert_eq!(Place::of("file:///a/my%20disk.img"), local("/a/my disk.img"));
        assert_eq!(Place::of("file:disk.img"), local("disk.img"));
        assert!(matches!(Place::of("https://a.example/d.img"), Ok(Place::Remote(_))));
        assert!(Place::of("s3::https://a.example/d.img").is_err());
        assert!(Place::of("ftp://a.example/d.img").is_err());
    }
}
