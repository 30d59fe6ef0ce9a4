//! The program in a release's archive.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use zip::ZipArchive;

use crate::peer::open_regular;
use crate::plugin::installed::Installed;

/// The largest program.
const LARGEST: u64 = 2 << 30;

/// Writes the program of `found` from the `archive` to the file `to`. Its name is made here, never
/// taken from the archive; what else is in it stays there.
pub(super) fn take(archive: &Path, found: &Installed, to: &Path) -> anyhow::Result<()> {
    let name = found.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    take_named(archive, name, to)
}

/// The same for the program that is called `name` in the archive.
pub(super) fn take_named(archive: &Path, name: &str, to: &Path) -> anyhow::Result<()> {
    let mut archive =
        ZipArchive::new(open_regular(archive)?).context("the archive cannot be read")?;
    let member = archive.by_name(name);
    let member = member.with_context(|| format!("the archive has no file `{name}`"))?;
    ensure!(member.is_file(), "`{name}` in the archive is no file");
    let mut file = File::options().write(true).truncate(true).open(to)?;
    let read = io::copy(&mut member.take(LARGEST + 1), &mut file);
    let read = read.context("the archive is damaged")?;
    ensure!(read <= LARGEST, "`{name}` in the archive is larger than {LARGEST} bytes");
    file.sync_all()?;
    Ok(())
}
