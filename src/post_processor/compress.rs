//! `compress`: packs the artifact's files into one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;
use tokio_util::sync::CancellationToken;

use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::config::Late;
use crate::diagnostic::code;
use crate::peer;
use crate::post_processor::archive::{self, Algorithm, BlockWriter, Entry, Source};
use crate::post_processor::{BuildFields, Files, Stoppable, base_name, blocking, dot};

/// The id of what this makes.
pub const BUILDER_ID: &str = "packer.post-processor.compress";

/// The options of `compress`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The file to write. Its ending says how: `.zip`, `.tar`, or `.gz`, `.bgzf`, `.lz4`, `.xz`,
    /// `.bzip2` after `.tar` or, for a single file, alone. Any other ending is a gzipped tar.
    /// `{{.BuildName}}` and `{{.BuilderType}}` are filled in.
    #[default(Late::new("packer_{{.BuildName}}_{{.BuilderType}}"))]
    pub output: Late<BuildFields>,
    /// The ending that counts instead of the one of `output`.
    pub format: String,
    /// From 1 (fast) to 9 (small); 0 and -1 are the format's default. lz4 has only one.
    #[default(-1)]
    pub compression_level: i32,
}

/// How the files become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Zip,
    Tar(Option<Algorithm>),
    Single(Algorithm),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zip => f.write_str("zip"),
            Self::Tar(None) => f.write_str("tar"),
            Self::Tar(Some(algorithm)) => write!(f, "tar and {}", algorithm.name()),
            Self::Single(algorithm) => f.write_str(algorithm.name()),
        }
    }
}

impl Format {
    /// What the endings of `name` ask for.
    fn of(name: &str) -> Self {
        let endings = endings(name);
        let (last, before) = match endings.as_slice() {
            [.., before, last] => (*last, *before),
            [last] => (*last, ""),
            [] => ("", ""),
        };
        let algorithm = match last {
            "zip" => return Self::Zip,
            "tar" => return Self::Tar(None),
            "gz" => Algorithm::Gzip,
            "bgzf" => Algorithm::Bgzf,
            "lz4" => Algorithm::Lz4,
            "xz" => Algorithm::Xz,
            "bzip2" => Algorithm::Bzip2,
            _ => return Self::Tar(Some(Algorithm::Gzip)),
        };
        if before == "tar" { Self::Tar(Some(algorithm)) } else { Self::Single(algorithm) }
    }

    fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::Zip => None,
            Self::Tar(algorithm) => algorithm,
            Self::Single(algorithm) => Some(algorithm),
        }
    }
}

/// The parts of `name` that follow a dot and are lower-case letters and digits.
fn endings(name: &str) -> Vec<&str> {
    let ends = |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit();
    let token = |part| str::split(part, ends).next().unwrap_or_default();
    name.split('.').skip(1).map(token).filter(|token| !token.is_empty()).collect()
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Compress {
    output: Late<BuildFields>,
    format: Format,
    level: Option<u32>,
}

impl Component for Compress {
    const TYPE: &'static str = "compress";
    const ABOUT: &'static str = "Packs the files of an artifact into one archive.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let name = match own.format.as_str() {
            "" => own.output.raw().to_owned(),
            format => format!("{}.{format}", own.output.raw()),
        };
        let format = Format::of(&name);
        if let Some(ending) = endings(&name).last()
            && ["bz2", "tbz", "txz", "7z", "rar", "zst"].contains(ending)
        {
            let text = format!(
                "`.{ending}` is not an ending that `compress` knows: it writes a gzipped tar"
            );
            check.warn(code::OPTION_VALUE, "output", text).help =
                Some("end `output` in .tar.gz, .tar.xz, .tar.bzip2, .tar.lz4 or .zip".into());
        }
        if own.compression_level < -1 {
            check.error("compression_level", "it is below -1");
        }
        let level = u32::try_from(own.compression_level).ok().filter(|level| *level > 0);
        if level.is_some() && format.algorithm() == Some(Algorithm::Lz4) {
            check.warn(code::OPTION_VALUE, "compression_level", "lz4 is written at its one level");
        }
        Some(Self { output: own.output, format, level: level.map(|level| level.min(9)) })
    }
}

#[async_trait]
impl PostProcessor for Compress {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let target = self.output.render(&cx.facts.scope, &dot(&cx.facts));
        let target = PathBuf::from(target.context("cannot render `output`")?);
        let files = input.files();
        ensure!(!files.is_empty(), "the artifact has no files to compress");
        ensure!(!files.contains(&target), "{} is one of the artifact's files", target.display());
        cx.ui.say(format!(
            "Packing {} file(s) into {} with {}",
            files.len(),
            target.display(),
            self.format
        ));
        let (format, level, to) = (self.format, self.level, target.clone());
        blocking(&cx.cancel, move |cancel| pack(format, level, &files, &to, cancel)).await?;
        let artifact = Files {
            builder_id: BUILDER_ID,
            id: String::new(),
            description: format!("compressed artifacts in: {}", target.display()),
            files: vec![target],
            build_data: input.build_data(),
        };
        Ok(Processed { artifact: Some(Arc::new(artifact)), keep_input: false, keep_forced: false })
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

fn pack(
    format: Format,
    level: Option<u32>,
    files: &[PathBuf],
    target: &Path,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let entries = |name: fn(&Path) -> String| -> Vec<Entry> {
        let entry = |file: &PathBuf| Entry { name: name(file), source: Source::File(file.clone()) };
        files.iter().map(entry).collect()
    };
    archive::write_whole(target, |out| match format {
        Format::Zip => archive::zip(&entries(zip_name), out, level, cancel),
        Format::Tar(None) => archive::tar(&entries(base_name), out, cancel).map(|_| ()),
        Format::Tar(Some(algorithm)) => {
            let packed = BlockWriter::new(out, algorithm, level);
            archive::tar(&entries(base_name), packed, cancel)?.finish()?;
            Ok(())
        }
        Format::Single(algorithm) => {
            let [file] = files else {
                bail!(
                    "{} alone holds one file, and the artifact has {}: end `output` in `.tar.{0}`",
                    algorithm.name(),
                    files.len()
                );
            };
            let mut packed = BlockWriter::new(out, algorithm, level);
            let open = peer::open_regular(file);
            let open = open.with_context(|| format!("cannot read {}", file.display()))?;
            std::io::copy(&mut Stoppable::new(open, cancel), &mut packed)?;
            packed.finish()?;
            Ok(())
        }
    })
}

/// A zip keeps directories; no name in it starts with a slash.
fn zip_name(file: &Path) -> String {
    file.display().to_string().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::post_processor::fake::{self, Made};

    /// Two blocks of gzip that compress a little.
    fn content() -> Vec<u8> {
        (0..1_100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect()
    }

    /// A directory with `a.img` and `b.img`, whose contents differ.
    fn disks() -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a.img", "b.img"].map(|name| dir.path().join(name)).to_vec();
        std::fs::write(&files[0], content()).unwrap();
        std::fs::write(&files[1], "").unwrap();
        (dir, files)
    }

    /// What `tool arguments…` prints.
    fn read_back(tool: &[&str], file: &Path) -> Vec<u8> {
        let output = Command::new(tool[0]).args(&tool[1..]).arg(file).output().unwrap();
        assert!(output.status.success(), "{tool:?}: {output:?}");
        output.stdout
    }

    async fn compressed(output: &Path, level: i32, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let options = json!({"output": output, "compression_level": level});
        let made = Made { files, ..Made::default() };
        let (processed, _) = fake::run::<Compress>(options, made).await;
        let processed = processed.unwrap();
        assert!(!processed.keep_input && !processed.keep_forced);
        processed.artifact.unwrap().files()
    }

    #[tokio::test]
    async fn the_real_tools_read_every_single_file_format() {
        let (dir, files) = disks();
        for (ending, tool) in [
            ("gz", vec!["gzip", "-dc"]),
            ("bgzf", vec!["gzip", "-dc", "-S", ".bgzf"]),
            ("xz", vec!["xz", "-dc"]),
            ("bzip2", vec!["bzip2", "-dc"]),
            ("lz4", vec!["lz4", "-dc"]),
        ] {
            for (level, file) in [(1, &files[0]), (9, &files[1])] {
                let output = dir.path().join(format!("disk.{ending}"));
                assert_eq!(compressed(&output, level, vec![file.clone()]).await, [&*output]);
                assert!(read_back(&tool, &output) == std::fs::read(file).unwrap(), "{ending}");
            }
        }
    }

    #[tokio::test]
    async fn the_real_tools_read_every_archive() {
        let (dir, files) = disks();
        for (ending, flag) in [
            ("tar", "-xO"),
            ("tar.gz", "-zxO"),
            ("", "-zxO"),
            ("tar.xz", "-JxO"),
            ("tar.bzip2", "-jxO"),
            ("tar.lz4", "-xOIlz4"),
        ] {
            let output = dir.path().join(format!("out/disk.{ending}"));
            compressed(&output, -1, files.clone()).await;
            let name = "--occurrence=1";
            let read =
                Command::new("tar").args([flag, name, "-f"]).arg(&output).arg("a.img").output();
            let read = read.unwrap();
            assert!(
                read.status.success() && read.stdout == content(),
                "{ending}: {:?}",
                read.status
            );
        }
        let output = dir.path().join("disk.zip");
        compressed(&output, 9, files.clone()).await;
        read_back(&["unzip", "-tq"], &output);
        let inside = files[0].display().to_string();
        let read = Command::new("unzip").arg("-p").arg(&output).arg(&inside[1..]).output().unwrap();
        assert!(read.stdout == content());
    }

    #[test]
    fn the_endings_of_the_unrendered_name_choose_the_format() {
        let single = Format::Single;
        let tar = |algorithm| Format::Tar(Some(algorithm));
        for (name, format) in [
            ("packer_{{.BuildName}}_{{.BuilderType}}", tar(Algorithm::Gzip)),
            ("{{.BuildName}}.zip", Format::Zip),
            ("a.tar", Format::Tar(None)),
            ("a.tar.lz4", tar(Algorithm::Lz4)),
            ("a.img.gz", single(Algorithm::Gzip)),
            ("a.bgzf", single(Algorithm::Bgzf)),
            ("a.xz", single(Algorithm::Xz)),
            ("a.tar.bzip2", tar(Algorithm::Bzip2)),
            ("a.tgz", tar(Algorithm::Gzip)),
            ("vagrant.box", tar(Algorithm::Gzip)),
        ] {
            assert_eq!(Format::of(name), format, "{name}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_packed_leaves_nothing_behind() {
        let (dir, files) = disks();
        let output = dir.path().join("x/disk.gz");
        for (files, reason) in [
            (files.clone(), "gzip alone holds one file, and the artifact has 2"),
            (Vec::new(), "the artifact has no files to compress"),
            (vec![dir.path().join("gone")], "cannot read"),
        ] {
            let made = Made { files, ..Made::default() };
            let (ended, _) = fake::run::<Compress>(json!({"output": output}), made).await;
            let error = format!("{:#}", ended.err().unwrap());
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(std::fs::read_dir(dir.path().join("x")).unwrap().count(), 0);
    }
}
