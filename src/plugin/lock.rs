//! `imgbake.lock.hcl`: which plugins a template was last used with, so that a release that is swapped
//! under its tag is an error.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use hcl::format::{Format as _, Formatter};
use hcl::{Block, Expression};

use super::installed::platform;
use super::version::{Constraints, Version};
use crate::diagnostic::Severity;
use crate::peer::read_regular_text;
use crate::source::SourceMap;
use crate::template::ast::{Attribute, Body, Expr, ExprKind};
use crate::template::format;
use crate::template::hcl as language;

/// The largest lock file that is read.
const LARGEST: u64 = 1024 * 1024;

/// What the file is called, beside the template.
pub const NAME: &str = "imgbake.lock.hcl";

/// The plugins of a template, by their sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock(BTreeMap<String, Pinned>);

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Its version, without a `v`.
    pub version: String,
    /// The SHA-256 of the release's archives, by platform.
    pub archives: BTreeMap<String, String>,
    /// The SHA-256 of the programs in them, by platform, as far as they were seen.
    pub programs: BTreeMap<String, String>,
}

/// Where the lock file of the template at `template` is: a file, or a directory of files.
pub fn path_for(template: &Path) -> PathBuf {
    let dir = if template.is_dir() { Some(template) } else { template.parent() };
    dir.unwrap_or(Path::new("")).join(NAME)
}

impl Lock {
    /// Reads `path`; a file that is not there locks nothing.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match read_regular_text(path, LARGEST) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let parsed = Self::parse(&text);
        parsed.with_context(|| {
            format!("{} cannot be read; `imgbake init -upgrade` writes it anew", path.display())
        })
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut sources = SourceMap::default();
        let file = sources.add(NAME, text);
        let (body, found) = language::parse_file(file, &sources);
        if let Some(error) = found.0.iter().find(|found| found.severity == Severity::Error) {
            let line = error.span.map(|span| sources.position(span).line);
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            bail!("{line}{}", error.summary);
        }
        let mut lock = Self::default();
        for block in body.blocks.iter().filter(|block| block.kind.value == "plugin") {
            let source = block.labels.first().context("a plugin has no source")?.value.clone();
            let pinned = Pinned::of(&block.body);
            let pinned = pinned.with_context(|| format!("`{source}` has no version"))?;
            ensure!(lock.0.insert(source.clone(), pinned).is_none(), "`{source}` stands twice");
        }
        Ok(lock)
    }

    /// What is locked of `source`.
    pub fn of(&self, source: &str) -> Option<&Pinned> {
        self.0.get(source)
    }

    /// Locks `source`.
    pub fn pin(&mut self, source: &str, pinned: Pinned) {
        self.0.insert(source.to_owned(), pinned);
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Written by `imgbake init`; keep it with the template. `imgbake init -upgrade` changes it.\n",
        );
        let mut formatter = Formatter::builder().prefer_ident_keys(true).build_vec();
        for (source, Pinned { version, archives, programs }) in &self.0 {
            let block = Block::builder("plugin")
                .add_label(source.as_str())
                .add_attribute(("version", version.as_str()))
                .add_attribute(("archives", object(archives)))
                .add_attribute(("programs", object(programs)))
                .build();
            // Texts have an HCL form, and memory takes all that it is given.
            text.extend(["\n", &block.format_string(&mut formatter).unwrap_or_default()]);
        }
        format::format(&text)
    }
}

fn object(sums: &BTreeMap<String, String>) -> Expression {
    let sums = sums.iter().map(|(platform, sum)| (platform.clone(), sum.as_str().into()));
    Expression::from(hcl::Value::Object(sums.collect()))
}

/// The texts in an object.
fn texts(value: Option<&Attribute>) -> BTreeMap<String, String> {
    let Some(ExprKind::Object(members)) = value.map(|value| &value.value.kind) else {
        return BTreeMap::new();
    };
    let texts = members.iter().filter_map(|(key, value)| Some((text(key)?, text(value)?)));
    texts.collect()
}

fn text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::String(text) => Some(text.clone()),
        _ => None,
    }
}

impl Pinned {
    /// What the block of a plugin says; `None` if it has no version.
    fn of(body: &Body) -> Option<Self> {
        let attribute = |name| body.attributes.get(name);
        let version = text(&attribute("version")?.value)?;
        let (archives, programs) = (texts(attribute("archives")), texts(attribute("programs")));
        Some(Self { version, archives, programs })
    }

    /// The same, with what is known of other platforms by `before`, which was locked until now. A program
    /// whose archive has changed is not the one of this release any more.
    pub fn with_others_of(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|before| before.version == self.version) else {
            return self;
        };
        for (platform, sum) in &before.programs {
            let archives = before.archives.get(platform).zip(self.archives.get(platform));
            if archives.is_none_or(|(old, new)| old == new) {
                self.programs.entry(platform.clone()).or_insert_with(|| sum.clone());
            }
        }
        for (platform, sum) in &before.archives {
            self.archives.entry(platform.clone()).or_insert_with(|| sum.clone());
        }
        self
    }

    /// The same, with the program of this platform, if nothing was known of that.
    pub fn with_program(mut self, sum: String) -> Self {
        self.programs.entry(platform()).or_insert(sum);
        self
    }

    /// Whether the archives of a release, whose `sums` these are, are the locked ones: for all platforms,
    /// as the file is kept for all.
    pub fn check_archives(&self, sums: &BTreeMap<String, String>) -> anyhow::Result<()> {
        for (platform, locked) in &self.archives {
            let Some(sum) = sums.get(platform).filter(|sum| *sum != locked) else { continue };
            bail!(
                "the archive of version {} for {platform} has the SHA-256 {sum}, but the lock file names \
                 {locked}: the release was swapped. If you trust the new one, `imgbake init -upgrade` locks it",
                self.version
            );
        }
        Ok(())
    }

    /// Whether the locked version is one that the template allows.
    pub fn check_constraints(&self, source: &str, constraints: &Constraints) -> anyhow::Result<()> {
        let version = Version::parse(&self.version).map_err(anyhow::Error::msg)?;
        ensure!(
            constraints.allow(&version.core()),
            "{NAME} locks {source} to {}, which the template does not allow; `imgbake init -upgrade` locks another",
            self.version
        );
        Ok(())
    }

    /// Whether the program with the SHA-256 `sum` is the locked one.
    pub fn check_sum(&self, source: &str, sum: &str) -> anyhow::Result<()> {
        let Some(locked) = self.programs.get(&platform()) else { return Ok(()) };
        ensure!(
            locked == sum,
            "the program of {source} {} has the SHA-256 {sum}, but {NAME} locks {locked}: the release was \
             swapped, or the file was changed",
            self.version
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_is_read_as_it_is_written() {
        let mut lock = Lock::default();
        let sums = |sum: &str| BTreeMap::from([(platform(), sum.to_owned())]);
        let pinned = Pinned { version: "1.2.3".into(), archives: sums("aa"), programs: sums("bb") };
        lock.pin("github.com/hashicorp/docker", pinned.clone());
        lock.pin("github.com/acme/amazon", Pinned { version: "2.0.0".into(), ..Pinned::default() });
        assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
        assert!(pinned.check_sum("x", "bb").is_ok());
        assert!(pinned.check_sum("x", "cc").unwrap_err().to_string().contains("swapped"));
        let constraints = Constraints::parse(">= 2").unwrap();
        assert!(pinned.check_constraints("x", &constraints).is_err());
        assert_eq!(Lock::parse("").unwrap(), Lock::default());
        assert!(Lock::parse("plugin \"x\" {}").is_err());
    }

    #[test]
    fn what_is_known_of_other_platforms_stays_as_long_as_the_release_is_the_same() {
        let sums = |all: &[(&str, &str)]| {
            all.iter().map(|(platform, sum)| ((*platform).to_owned(), (*sum).to_owned())).collect()
        };
        let pinned = |version: &str, archives: &[(&str, &str)], programs: &[(&str, &str)]| Pinned {
            version: version.to_owned(),
            archives: sums(archives),
            programs: sums(programs),
        };
        let archives = [("darwin_arm64", "d"), ("linux_amd64", "l")];
        let before = pinned("1.0.0", &archives, &[("darwin_arm64", "mac")]);
        let now = pinned("1.0.0", &archives, &[("linux_amd64", "here")]);
        let both = now.clone().with_others_of(Some(&before));
        assert_eq!(both.programs, sums(&[("darwin_arm64", "mac"), ("linux_amd64", "here")]));
        assert_eq!(now.clone().with_others_of(None), now);
        let newer = pinned("1.0.1", &archives, &[("linux_amd64", "here")]);
        assert_eq!(newer.clone().with_others_of(Some(&before)), newer);
        let swapped = pinned("1.0.0", &[("darwin_arm64", "other")], &[("linux_amd64", "here")]);
        let joined = swapped.clone().with_others_of(Some(&before));
        assert_eq!(joined.programs, swapped.programs);
        let error = before.check_archives(&swapped.archives).unwrap_err().to_string();
        assert!(error.contains("for darwin_arm64") && error.contains("swapped"), "{error}");
        assert!(before.check_archives(&now.archives).is_ok());
        let known = before.clone().with_program("new".to_owned());
        assert_eq!(known.programs.len(), 2);
        assert_eq!(known.clone().with_program("other".to_owned()), known);
    }
}
