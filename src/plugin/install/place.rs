//! A program becomes an installed plugin, and is removed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tempfile::NamedTempFile;

use super::{name, parts};
use crate::env::Environment;
use crate::peer::open_regular;
use crate::plugin::installed::{self, Description, Installed, platform, sum_of, sum_path};
use crate::plugin::runtime;
use crate::plugin::version::Version;

/// Where the plugin `source` in this version is installed below `root`.
pub(super) fn path(root: &Path, source: &str, version: &Version) -> anyhow::Result<PathBuf> {
    let name = name(source)?;
    let file = format!("packer-plugin-{name}_v{}_x5.0_{}", version.text(), platform());
    Ok(root.join(source).join(file))
}

/// A temporary file in the directory of `target`, which is made if it is not there.
pub(super) fn beside(target: &Path) -> anyhow::Result<NamedTempFile> {
    let dir = target.parent().context("no directory")?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let builder = tempfile::Builder::new().prefix(".installing").tempfile_in(dir);
    builder.with_context(|| dir.display().to_string())
}

/// Makes the program in `temporary` the plugin `found`, if it says that it is; with its SHA-256.
pub(super) async fn put(
    temporary: NamedTempFile,
    found: Installed,
    environment: &Arc<Environment>,
) -> anyhow::Result<(Installed, String)> {
    temporary.as_file().set_permissions(Permissions::from_mode(0o755))?;
    // Nobody can run what is open for writing.
    let temporary = temporary.into_temp_path();
    let description = Description::ask(&temporary, environment).await?;
    description.check(&found)?;
    let sum = sum_of(&temporary)?;
    temporary.persist(&found.path)?;
    write_sum(&found.path, &sum)?;
    Ok((found, sum))
}

fn write_sum(program: &Path, sum: &str) -> anyhow::Result<()> {
    let path = sum_path(program);
    fs::write(&path, sum).with_context(|| path.display().to_string())?;
    Ok(fs::set_permissions(&path, Permissions::from_mode(0o644))?)
}

/// Installs the program `file` as the plugin `source`.
pub fn from_file(
    file: &Path,
    source: &str,
    environment: &Arc<Environment>,
) -> anyhow::Result<Installed> {
    parts(source)?;
    let description = Description::ask_blocking(file, environment)
        .with_context(|| format!("{} does not say what it is", file.display()))?;
    let version = Version::parse(&description.version).map_err(anyhow::Error::msg)?;
    let plain = version.text().split('+').next().unwrap_or_default();
    ensure!(
        plain == version.core_text() || plain == format!("{}-dev", version.core_text()),
        "it is the pre-release {}; only releases and `-dev` versions can be installed",
        version.text()
    );
    let root = installed::directory(environment)?;
    let target = path(&root, source, &Version::parse(plain).map_err(anyhow::Error::msg)?)?;
    let found = Installed::of(&root, &target).context("its version is not written as x.y.z")?;
    let temporary = beside(&target)?;
    std::io::copy(&mut open_regular(file)?, &mut temporary.as_file())?;
    let environment = environment.clone();
    runtime::finish(async move { put(temporary, found, &environment).await })?
        .map(|(found, _)| found)
}

/// Removes an installed plugin and what stands beside it.
pub fn remove(found: &Installed) -> anyhow::Result<()> {
    fs::remove_file(&found.path).with_context(|| found.path.display().to_string())?;
    match fs::remove_file(sum_path(&found.path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
