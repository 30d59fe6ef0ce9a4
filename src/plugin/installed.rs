//! Which plugins are installed: files in the plugin directory of this user whose names, sums and own
//! words agree.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::process::{Child, Command};

use super::version::{Constraints, Version};
use super::{process, runtime};
use crate::env::Environment;
use crate::peer::{Allowance, open_regular, read_regular_text};

/// How deep plugins lie below the plugin directory.
const DEEPEST: usize = 16;

/// What a plugin says of itself.
const DESCRIPTION: Allowance =
    Allowance::new("the plugin's description", 1024 * 1024, Duration::from_secs(30));

/// How the file with the sum of a plugin is called.
const SUM: &str = "_SHA256SUM";

/// This machine as plugins call it: `linux_amd64`.
pub fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    format!("{os}_{arch}")
}

/// Where plugins are installed. The same places as those of Packer.
///
/// # Errors
/// When `PACKER_PLUGIN_PATH` names several.
pub fn directory(environment: &Environment) -> anyhow::Result<PathBuf> {
    if let Some(given) = environment.get("PACKER_PLUGIN_PATH") {
        ensure!(
            !given.contains(':'),
            "PACKER_PLUGIN_PATH has several directories; give the one that holds the plugins"
        );
        return Ok(environment.cwd.join(given));
    }
    if let Some(config) = environment.get("PACKER_CONFIG_DIR") {
        return Ok(environment.cwd.join(config).join(".packer.d/plugins"));
    }
    let home = environment.home().unwrap_or_else(|| environment.cwd.clone());
    if home.join(".packer.d").is_dir() {
        return Ok(home.join(".packer.d/plugins"));
    }
    let config = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    Ok(config.unwrap_or_else(|| home.join(".config")).join("packer/plugins"))
}

/// A file that is named as a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The file.
    pub path: PathBuf,
    /// Where it comes from: `github.com/hashicorp/docker`.
    pub source: String,
    /// The last part of the source.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The version of the protocol that it speaks, as it stands in the name: `x5.0`.
    pub api: String,
}

/// The file with the SHA-256 of `program`.
pub fn sum_path(program: &Path) -> PathBuf {
    let mut path = program.as_os_str().to_owned();
    path.push(SUM);
    path.into()
}

/// What is installed of `source` and would do, the best last.
pub fn fitting(
    source: &str,
    constraints: &Constraints,
    environment: &Environment,
) -> anyhow::Result<Vec<Installed>> {
    let mut all = all(&directory(environment)?);
    all.retain(|found| found.source == source && constraints.allow(&found.version.core()));
    Ok(all)
}

impl Installed {
    /// Takes the name of the file `path` below `root` apart; `None` if it is no plugin for this machine.
    pub fn of(root: &Path, path: &Path) -> Option<Self> {
        let parent = path.parent()?.strip_prefix(root).ok()?;
        let source: Vec<&str> = parent.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
        let file = path.file_name()?.to_str()?.strip_prefix("packer-plugin-")?;
        let rest = file.strip_suffix(&platform())?.strip_suffix('_')?;
        let (rest, api) = rest.rsplit_once('_')?;
        let (name, version) = rest.rsplit_once("_v")?;
        let (major, minor) = api.strip_prefix('x')?.split_once('.')?;
        let fits = major == "5" && minor.parse::<u32>() == Ok(0);
        let parsed = Version::parse(version).ok()?;
        let pre = version.strip_prefix(&parsed.core_text());
        let is_canonical =
            pre.is_some_and(|pre| pre.is_empty() || pre.starts_with('-')) && !version.contains('+');
        (fits && is_canonical && source.last() == Some(&name)).then(|| Self {
            path: path.to_owned(),
            source: source.join("/"),
            name: name.to_owned(),
            version: parsed,
            api: api.to_owned(),
        })
    }

    /// Whether it may be run: the sum beside it is right, and no user outside its group can change it.
    pub fn check(&self) -> anyhow::Result<String> {
        self.check_rights()?;
        let sum = sum_of(&self.path)?;
        self.check_sum(&sum)?;
        Ok(sum)
    }

    /// The same for a program whose SHA-256 is known to be `sum`: all is looked at but the program.
    pub fn check_known(&self, sum: &str) -> anyhow::Result<()> {
        self.check_rights()?;
        self.check_sum(sum)
    }

    fn check_rights(&self) -> anyhow::Result<()> {
        // The file, and all directories up to the plugin directory: whoever writes to one of them can put
        // another file in its place.
        let above = self.source.split('/').count() + 2;
        self.path.ancestors().take(above).try_for_each(check_owner_and_mode)
    }

    /// Whether the file beside it says `sum`.
    fn check_sum(&self, sum: &str) -> anyhow::Result<()> {
        let beside = sum_path(&self.path);
        let wanted = read_regular_text(&beside, 1024)
            .with_context(|| format!("its sum in {} cannot be read", beside.display()))?;
        ensure!(
            wanted.trim().eq_ignore_ascii_case(sum),
            "its SHA-256 is {sum}, but {} says {}",
            beside.display(),
            wanted.trim()
        );
        Ok(())
    }
}

/// The SHA-256 of a file.
pub fn sum_of(path: &Path) -> anyhow::Result<String> {
    let mut file = open_regular(path)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}

/// `path` must belong to this user or to root, and not everybody may write to it. Its group may: many
/// systems give each user one.
fn check_owner_and_mode(path: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    let own = [rustix::process::geteuid().as_raw(), 0].contains(&metadata.uid());
    ensure!(own, "{} belongs to another user", path.display());
    ensure!(metadata.mode() & 0o002 == 0, "everybody may write to {}", path.display());
    Ok(())
}

/// All plugins below `root` for this machine, sorted by source and version: the best is the last of
/// its source.
pub fn all(root: &Path) -> Vec<Installed> {
    let walk = walkdir::WalkDir::new(root).min_depth(2).max_depth(DEEPEST).follow_links(true);
    let files = walk.into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    let mut found: Vec<Installed> =
        files.filter_map(|entry| Installed::of(root, entry.path())).collect();
    found.sort_by(|a, b| a.source.cmp(&b.source).then_with(|| a.version.cmp(&b.version)));
    found
}

/// What a plugin says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// Its version.
    pub version: String,
    /// The version of the protocol: `x5.0`.
    pub api_version: String,
    /// `v2` for plugins that speak protobuf.
    pub protocol_version: String,
    /// Its builders.
    #[serde(deserialize_with = "list")]
    pub builders: Vec<String>,
    /// Its provisioners.
    #[serde(deserialize_with = "list")]
    pub provisioners: Vec<String>,
    /// Its post-processors.
    #[serde(deserialize_with = "list")]
    pub post_processors: Vec<String>,
    /// Its data sources.
    #[serde(deserialize_with = "list")]
    pub datasources: Vec<String>,
}

/// Starts `command`. A file that was just written may still be open for writing in a child that
/// another thread has started meanwhile, until that one runs its own program.
async fn spawn(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            started => return started,
        }
    }
    command.spawn()
}

/// Go writes an empty list as null.
fn list<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(from)?.unwrap_or_default())
}

impl Description {
    /// Asks the plugin `program`; waits for its answer in this thread.
    pub fn ask_blocking(program: &Path, environment: &Environment) -> anyhow::Result<Self> {
        let (program, environment) = (program.to_owned(), environment.clone());
        runtime::finish(async move { Self::ask(&program, &environment).await })?
    }

    /// Asks the plugin `program`.
    pub async fn ask(program: &Path, environment: &Environment) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        let given = environment.vars().filter(|(name, _)| !process::is_withheld(name));
        command.arg("describe").env_clear().envs(given).current_dir(&environment.cwd);
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        command.kill_on_drop(true);
        let mut child = spawn(&mut command).await.context("it cannot be started")?;
        let stdout = child.stdout.take().context("a child without output")?;
        let answer = DESCRIPTION.collect(tokio_util::io::ReaderStream::new(stdout)).await?;
        let status = DESCRIPTION.in_time(child.wait()).await??;
        ensure!(status.success(), "`describe` ended with {status}");
        serde_json::from_slice(&answer).context("it does not describe itself as plugins do")
    }

    /// Whether it is what its file is named.
    pub fn check(&self, found: &Installed) -> anyhow::Result<()> {
        if self.version != found.version.text() {
            bail!("it says that it is version {}", self.version);
        }
        ensure!(self.api_version == found.api, "it says that it speaks {}", self.api_version);
        let names = [&self.builders, &self.provisioners, &self.post_processors, &self.datasources];
        let odd = names.into_iter().flatten().find(|name| !is_name(name));
        ensure!(odd.is_none(), "a component of it is called {:?}", odd.map_or("", String::as_str));
        Ok(())
    }
}

/// Whether a component or an option may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    (1..=128).contains(&name.len()) && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_plugin_only_if_its_name_says_all() {
        let root = Path::new("/p");
        let found = |path: String| Installed::of(root, Path::new(&path));
        let platform = platform();
        let good =
            format!("/p/github.com/hashicorp/docker/packer-plugin-docker_v1.1.2_x5.0_{platform}");
        let one = found(good).unwrap();
        assert_eq!(
            (one.source.as_str(), one.name.as_str()),
            ("github.com/hashicorp/docker", "docker")
        );
        assert_eq!((one.version.text(), one.api.as_str()), ("1.1.2", "x5.0"));
        for bad in [
            format!("/p/packer-plugin-docker_v1.1.2_x5.0_{platform}"),
            format!("/p/g/h/docker/packer-plugin-docker_v1.1_x5.0_{platform}"),
            format!("/p/g/h/docker/packer-plugin-docker_v1.1.2+x_x5.0_{platform}"),
            format!("/p/g/h/docker/packer-plugin-docker_v1.1.2_x6.0_{platform}"),
            format!("/p/g/h/docker/packer-plugin-docker_v1.1.2_x5.1_{platform}"),
            format!("/p/g/h/docker/packer-plugin-other_v1.1.2_x5.0_{platform}"),
            "/p/g/h/docker/packer-plugin-docker_v1.1.2_x5.0_plan9_amd64".to_owned(),
        ] {
            assert_eq!(found(bad.clone()), None, "{bad}");
        }
    }
}
