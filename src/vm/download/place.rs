//! Where an image is, as templates write it: a path, a URL, or one of go-getter's forms (`git::https://…`).

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use url::Url;

use crate::peer;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On this host.
    Local(PathBuf),
    /// On a web server.
    Web(Url),
    /// In a repository of Git or Mercurial.
    Repository(Repository),
    /// In Google Cloud Storage.
    Gcs(GcsObject),
    /// In S3.
    S3(S3Object),
}

/// A file in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    /// Who reads it.
    pub tool: Tool,
    /// The repository itself.
    pub url: String,
    /// The file in it.
    pub path: String,
    /// The branch, tag or commit; `None`: what the repository shows first.
    pub revision: Option<String>,
}

/// A program that reads repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Git's.
    Git,
    /// Mercurial's.
    Hg,
}

/// An object in Google Cloud Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GcsObject {
    pub bucket: String,
    pub name: String,
}

/// An object in S3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct S3Object {
    pub bucket: String,
    pub key: String,
    /// The version of it that is meant.
    pub version: Option<String>,
    /// Where the bucket is, if that is said.
    pub region: Option<String>,
    /// Where another S3 than Amazon's is.
    pub endpoint: Option<String>,
}

impl Place {
    /// Reads what a template says.
    ///
    /// # Errors
    /// Says what it cannot be.
    pub fn of(text: &str) -> Result<Self, String> {
        if let Some((getter, rest)) = text.split_once("::").filter(|(getter, _)| is_word(getter)) {
            return Self::got_by(getter, rest);
        }
        if !text.contains("://") {
            let path = text.strip_prefix("file:").unwrap_or(text);
            return Ok(Self::Local(PathBuf::from(path)));
        }
        let url = parse(text)?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Web(url)),
            "file" => {
                let path = url.to_file_path();
                path.map(Self::Local).map_err(|()| format!("`{text}` names no file of this host"))
            }
            "s3" => S3Object::of_bucket(&url).map(Self::S3),
            "smb" => Err(no_shares()),
            other => Err(format!("nothing here reads `{other}`: use {KNOWN}")),
        }
    }

    /// What stands behind `getter::`.
    fn got_by(getter: &str, text: &str) -> Result<Self, String> {
        match getter {
            "file" | "http" | "https" => Self::of(text),
            "git" => Repository::parse(Tool::Git, text).map(Self::Repository),
            "hg" => Repository::parse(Tool::Hg, text).map(Self::Repository),
            "gcs" => GcsObject::parse(&parse(text)?).map(Self::Gcs),
            "s3" => S3Object::parse(&parse(text)?).map(Self::S3),
            "smb" => Err(no_shares()),
            other => Err(format!("nothing here reads `{other}::`: use {KNOWN}")),
        }
    }

    /// What the file is called there.
    pub fn file_name(&self) -> Option<Cow<'_, str>> {
        let last = |path: &'_ str| path.rsplit('/').next().unwrap_or_default().to_owned();
        Some(match self {
            Self::Local(path) => Cow::Borrowed(path.file_name()?.to_str()?),
            Self::Web(url) => Cow::Borrowed(url.path_segments()?.next_back()?),
            Self::Repository(file) => Cow::Owned(last(&file.path)),
            Self::Gcs(object) => Cow::Owned(last(&object.name)),
            Self::S3(object) => Cow::Owned(last(&object.key)),
        })
    }
}

/// What images can come from.
const KNOWN: &str = "a file, http, https, `git::`, `hg::`, `gcs::` or `s3::`";

/// Whether `text` can be the name of a getter.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

fn no_shares() -> String {
    "imgbake reads no shares of SMB itself: mount it, and give the path of the file".to_owned()
}

fn parse(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))
}

/// The value of `name` in the query of `url`.
fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Refuses parts of the query of `url` that would change nothing here.
fn only(url: &Url, known: &[&str]) -> Result<(), String> {
    let other = url.query_pairs().find(|(key, _)| !known.contains(&&**key));
    other.map_or(Ok(()), |(key, _)| Err(format!("`{key}` in the address is not built")))
}

impl Repository {
    /// `URL//PATH?ref=…`; without `//`, the last part is the file, or what comes after `.git`.
    fn parse(tool: Tool, text: &str) -> Result<Self, String> {
        let mut url = parse(text)?;
        let (known, option) = match tool {
            Tool::Git => (&["https", "http", "ssh", "git", "file"][..], "ref"),
            Tool::Hg => (&["https", "http", "ssh", "file"][..], "rev"),
        };
        if !known.contains(&url.scheme()) {
            return Err(format!(
                "`{}` is no way to a repository: use {}",
                url.scheme(),
                known.join(", ")
            ));
        }
        only(&url, &[option, "depth"])?;
        let host = url.host_str().unwrap_or_default();
        // Git decodes both, and hands them to `ssh`.
        if [host, url.username()].iter().any(|name| percent_decoded(name).starts_with('-')) {
            return Err(format!("`{text}` names no host"));
        }
        let revision = query(&url, option).filter(|revision| !revision.is_empty());
        if revision.as_ref().is_some_and(|revision| !is_revision(revision)) {
            return Err(format!("`{option}` names no branch, tag or commit"));
        }
        url.set_query(None);
        let whole = url.path().to_owned();
        let (repository, path) = whole
            .split_once("//")
            .or_else(|| {
                let at = whole.find(".git/")? + ".git".len();
                Some((&whole[..at], &whole[at + 1..]))
            })
            .or_else(|| whole.rsplit_once('/'))
            .unwrap_or_default();
        let decoded = percent_decoded(path);
        let is_file = peer::relative_path(Path::new(&decoded));
        if repository.trim_matches('/').is_empty() || decoded.is_empty() || is_file.is_err() {
            return Err(format!("`{text}` names no file in a repository: `REPOSITORY//PATH`"));
        }
        url.set_path(repository);
        // Git ignores a host there, and reads what is here.
        if url.scheme() == "file" && url.to_file_path().is_err() {
            return Err(format!("`{text}` names no directory of this host"));
        }
        Ok(Self { tool, url: url.to_string(), path: decoded, revision })
    }
}

impl Repository {
    /// The directory of this host that it is in.
    pub fn directory(&self) -> Option<PathBuf> {
        let url = Url::parse(&self.url).ok().filter(|url| url.scheme() == "file")?;
        url.to_file_path().ok()
    }
}

/// Whether `text` can name a revision, and nothing else to the program that reads it.
fn is_revision(text: &str) -> bool {
    let is_known = |c: char| c.is_alphanumeric() || "._/-+@".contains(c);
    !text.starts_with('-') && !text.contains("..") && text.chars().all(is_known)
}

impl GcsObject {
    /// `https://www.googleapis.com/storage/v1/BUCKET/NAME`, or the same of `storage.googleapis.com`.
    fn parse(url: &Url) -> Result<Self, String> {
        only(url, &[])?;
        let path = url.path().trim_start_matches('/');
        let path = match url.host_str() {
            Some("www.googleapis.com") => path.strip_prefix("storage/v1/"),
            Some("storage.googleapis.com") => Some(path),
            _ => None,
        };
        let (bucket, name) = path.and_then(|path| path.split_once('/')).unwrap_or_default();
        if bucket.is_empty() || name.is_empty() {
            return Err(format!(
                "`{url}` names no object: `gcs::https://www.googleapis.com/storage/v1/BUCKET/NAME`"
            ));
        }
        Ok(Self { bucket: percent_decoded(bucket), name: percent_decoded(name) })
    }
}

impl S3Object {
    /// `s3://BUCKET/KEY`.
    fn of_bucket(url: &Url) -> Result<Self, String> {
        let bucket = url.host_str().unwrap_or_default();
        Self::in_bucket(url, bucket, url.path().trim_start_matches('/'))
    }

    /// A URL of S3, with the bucket in its host or in its path; that of another S3 has it in its path.
    fn parse(url: &Url) -> Result<Self, String> {
        if url.scheme() == "s3" {
            return Self::of_bucket(url);
        }
        if !["http", "https"].contains(&url.scheme()) {
            return Err(format!("`{url}` is no address in S3: use `s3::https://…` or `s3://…`"));
        }
        let path = url.path().trim_start_matches('/');
        let in_path = || path.split_once('/').unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        let Some(amazon) =
            host.strip_suffix(".amazonaws.com").or(host.strip_suffix(".amazonaws.com.cn"))
        else {
            let (bucket, key) = in_path();
            let endpoint = Some(url.origin().ascii_serialization());
            return Ok(Self { endpoint, ..Self::in_bucket(url, bucket, key)? });
        };
        // `s3.REGION`, `s3-REGION` or `s3`, with `BUCKET.` before it or not.
        let at = amazon
            .rfind(".s3")
            .filter(|at| amazon[at + 3..].starts_with(['.', '-']) || amazon.len() == at + 3);
        let (bucket, rest) = match at {
            Some(at) => (Some(&amazon[..at]), &amazon[at + 1..]),
            None => (None, amazon),
        };
        let region = rest.strip_prefix("s3").map(|rest| rest.trim_start_matches(['.', '-']));
        let region = region.ok_or_else(|| format!("`{host}` is no host of S3"))?;
        let (bucket, key) = bucket.map_or_else(in_path, |bucket| (bucket, path));
        let found = Self::in_bucket(url, bucket, key)?;
        let region = Some(region.to_owned()).filter(|region| !region.is_empty());
        Ok(Self { region: found.region.clone().or(region), ..found })
    }

    fn in_bucket(url: &Url, bucket: &str, key: &str) -> Result<Self, String> {
        only(url, &["region", "version"])?;
        if bucket.is_empty() || key.is_empty() {
            return Err(format!("`{url}` names no object in a bucket"));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: percent_decoded(key),
            version: query(url, "version"),
            region: query(url, "region"),
            endpoint: None,
        })
    }
}

/// `text` of a URL, as it was meant.
fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
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
        assert_eq!(Place::of("file::/a/disk.img"), local("/a/disk.img"));
        assert!(matches!(Place::of("https://a.example/d.img"), Ok(Place::Web(_))));
    }

    #[test]
    fn a_file_in_a_repository_stands_behind_two_slashes_or_last() {
        let file = |text: &str| match Place::of(text) {
            Ok(Place::Repository(Repository { url, path, revision, .. })) => {
                format!("{url} {path} {}", revision.unwrap_or_default())
            }
            other => format!("{other:?}"),
        };
        for (text, meant) in [
            ("git::https://a.example/r.git//x/d.img?ref=v1", "https://a.example/r.git x/d.img v1"),
            ("git::https://a.example/r.git/x/d.img", "https://a.example/r.git x/d.img "),
            ("git::ssh://git@a.example/me/r/d.img", "ssh://git@a.example/me/r d.img "),
            ("hg::file:///srv/r//d%20e.img?rev=2", "file:///srv/r d e.img 2"),
        ] {
            assert_eq!(file(text), meant, "{text}");
        }
    }

    #[test]
    fn objects_are_named_as_go_getter_names_them() {
        let object = |bucket: &str, region: Option<&str>| S3Object {
            bucket: bucket.to_owned(),
            key: "x/d.img".to_owned(),
            region: region.map(str::to_owned),
            ..S3Object::default()
        };
        for (text, meant) in [
            ("s3::https://s3.amazonaws.com/b/x/d.img", object("b", None)),
            ("s3::https://s3-eu-west-1.amazonaws.com/b/x/d.img", object("b", Some("eu-west-1"))),
            ("s3::https://b.s3-eu-west-1.amazonaws.com/x/d.img", object("b", Some("eu-west-1"))),
            ("s3::https://b.s3.eu-west-1.amazonaws.com/x/d.img", object("b", Some("eu-west-1"))),
            ("s3::https://a.b.s3.amazonaws.com/x/d.img", object("a.b", None)),
            ("s3://b/x/d.img?region=eu-west-1", object("b", Some("eu-west-1"))),
        ] {
            assert_eq!(Place::of(text), Ok(Place::S3(meant)), "{text}");
        }
        let other = Place::of("s3::http://127.0.0.1:9000/b/x/d.img?version=3");
        let Ok(Place::S3(other)) = other else { panic!("{other:?}") };
        assert_eq!(other.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!((other.bucket.as_str(), other.version.as_deref()), ("b", Some("3")));
        let gcs = GcsObject { bucket: "b".to_owned(), name: "x/d.img".to_owned() };
        let google = "gcs::https://www.googleapis.com/storage/v1/b/x/d.img";
        assert_eq!(Place::of(google), Ok(Place::Gcs(gcs)));
    }

    #[test]
    fn what_cannot_be_read_says_what_can() {
        for (text, why) in [
            ("ftp://a.example/d.img", "nothing here reads `ftp`"),
            ("smb://a.example/share/d.img", "mount it"),
            ("smb::smb://a.example/share/d.img", "mount it"),
            ("x::https://a.example/d.img", "nothing here reads `x::`"),
            ("git::ext://sh/r//d", "no way to a repository"),
            ("git::ssh://-oProxyCommand/r//d", "names no host"),
            ("git::ssh://%2doProxyCommand/r//d", "names no host"),
            ("git::file://host/srv/r//d", "names no directory of this host"),
            ("git::https://a.example//", "names no file in a repository"),
            ("git::https://a.example/r//x%2F..%2F..%2Fd", "names no file in a repository"),
            ("git::https://a.example/r//d?ref=--upload-pack=x", "names no branch"),
            ("git::https://a.example/r//d?sshkey=x", "`sshkey` in the address is not built"),
            ("gcs::https://a.example/b/d", "names no object"),
            ("s3::https://b.ec2.amazonaws.com/d", "is no host of S3"),
            ("s3::https://s3.amazonaws.com/b", "names no object in a bucket"),
            ("s3://b/d?aws_access_key_id=x", "`aws_access_key_id` in the address is not built"),
        ] {
            let said = Place::of(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
