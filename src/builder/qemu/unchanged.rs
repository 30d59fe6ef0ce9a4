//! `-skip-unchanged`: the image that an earlier run has left in the output directory, if that is enough.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;

use super::artifact::Image;
use super::files::Fetch;
use super::{Begin, Qemu, arguments, firmware};
use crate::builder::unchanged::beside::{self, FindBeside, FoundRecord, WriteBeside};
use crate::builder::unchanged::{self, WithProvenance, recorded};
use crate::component::{Artifact, BuildContext, PastImage, PastQuery};
use crate::config::Late;
use crate::fingerprint::RecordFile;
use crate::interpolate::BuildData;
use crate::step::Steps;
use crate::vm::MachineText;
use crate::vm::checksum::{Digest, Kind};
use crate::vm::download::Source;

/// The record's name in the output directory. It is no part of the image.
pub(super) const RECORD: &str = "imgbake-made-from.json";

/// Switches of `qemuargs` whose files QEMU writes.
const WRITTEN: [&str; 9] = [
    "-serial",
    "-parallel",
    "-chardev",
    "-monitor",
    "-qmp",
    "-debugcon",
    "-D",
    "-pidfile",
    "-trace",
];

impl Qemu {
    /// An image: the earlier one, if nothing has changed, or a new one.
    pub(super) async fn bake(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        if cx.skip_unchanged.is_none() && cx.keep_failed.is_none() {
            let (accelerator, data) = self.run(cx, steps, Begin::default()).await?;
            return Ok(Some(Arc::new(self.artifact(accelerator.name(), data)?)));
        }
        let (source, image) = self.source(cx, steps).await?;
        let path = self.directory.join(RECORD);
        let kept_from = cx.keep_failed.map(|_| source.clone());
        let mut begin = Begin { image, replaces: false, source: kept_from };
        if let Some(wanted) = unchanged::wanted(cx) {
            let shown = self.directory.display().to_string();
            let find = FindBeside { path: path.clone(), shown, source: source.clone(), wanted };
            match steps.run(find).await? {
                _ if wanted.only_explains => return Ok(None),
                FoundRecord::Unchanged { record, files } => {
                    return Ok(Some(self.earlier(*record, files)));
                }
                FoundRecord::Outdated => begin.replaces = true,
                FoundRecord::Nothing => {}
            }
        }
        let machine = cx.keep_failed.map(|_| self.with_room_for_states());
        let (accelerator, data) = machine.as_ref().unwrap_or(self).run(cx, steps, begin).await?;
        let image = self.artifact(accelerator.name(), data)?;
        if cx.skip_unchanged.is_none() {
            return Ok(Some(Arc::new(image)));
        }
        let (files, note) = (image.files.clone(), accelerator.name().to_owned());
        let made_from = steps.run(WriteBeside { path, source, files, note }).await?;
        Ok(Some(recorded(image, Some(made_from))))
    }

    /// The image in the output directory, if its record is there.
    pub(super) async fn past_image(
        &self,
        query: &PastQuery,
    ) -> anyhow::Result<Option<Vec<PastImage>>> {
        beside::past(self.directory.join(RECORD), query).await
    }

    /// What the image to start from is, and where, if it had to be fetched to know that.
    async fn source(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<(String, Option<Source>)> {
        if let Some(identity) = self.download.identity(cx).await? {
            return Ok((identity, None));
        }
        let image = steps.run(Fetch { download: self.download.clone() }).await?;
        let identity = match &image {
            Source::Server(url) => url.to_string(),
            Source::File(path) => {
                let file = path.clone();
                let read =
                    tokio::task::spawn_blocking(move || Digest::of_file(Kind::Sha256, &file));
                let read = read.await?;
                read.with_context(|| format!("cannot read {}", path.display()))?.to_string()
            }
        };
        Ok((identity, Some(image)))
    }

    /// The image in the output directory, as it is now.
    pub(super) fn artifact(
        &self,
        accelerator: &str,
        build_data: BuildData,
    ) -> anyhow::Result<Image> {
        let mut files = files_below(&self.directory)
            .with_context(|| format!("cannot read {}", self.directory.display()))?;
        if self.firmware.efi_drop_efivars {
            files.retain(|path| !path.ends_with(firmware::VARIABLES));
        }
        Ok(Image { files, ..self.image(accelerator, build_data) })
    }

    /// The image without its files.
    pub(super) fn image(&self, accelerator: &str, build_data: BuildData) -> Image {
        Image {
            directory: self.directory.clone(),
            files: Vec::new(),
            disks: self.disk_paths(),
            disk_name: self.name.clone(),
            format: self.finished.name(),
            size: self.disks.disk_size.clone(),
            accelerator: accelerator.to_owned(),
            build_data,
        }
    }

    /// The image that `record` tells of.
    fn earlier(&self, record: RecordFile, files: Vec<PathBuf>) -> Arc<dyn Artifact> {
        let data = BuildData::from([("ID".to_owned(), json!(self.name))]);
        let artifact = Image { files, ..self.image(&record.note, data) };
        Arc::new(WithProvenance { artifact, made_from: record.made_from, was_there: true })
    }

    /// The files of this host that get into the image, or into what the machine boots.
    pub(super) fn files_read(&self) -> Vec<PathBuf> {
        let mut files = self.cd.reads();
        files.extend(self.floppy.reads());
        files.extend(self.http.http_directory.clone());
        let firmware = &self.firmware;
        let firmware =
            [&firmware.firmware, &firmware.efi_firmware_code, &firmware.efi_firmware_vars];
        files.extend(firmware.into_iter().flatten().cloned());
        files.extend(files_in(&self.hardware.qemuargs, &self.directory));
        files
    }
}

/// All files below `directory`, in the order of their names.
fn files_below(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = walkdir::WalkDir::new(directory).min_depth(1).sort_by_file_name().into_iter();
    // QEMU may leave a socket.
    let is_file =
        |entry: &walkdir::DirEntry| entry.file_type().is_file() || entry.path_is_symlink();
    let files = entries.filter(|entry| entry.as_ref().map_or(true, is_file));
    files.map(|entry| Ok(entry?.into_path())).collect()
}

/// The files that rows of `qemuargs` name, but for those in the output `directory`, and those that QEMU
/// writes.
fn files_in(rows: &[Vec<MachineText>], directory: &Path) -> Vec<PathBuf> {
    let is_read = |row: &&Vec<_>| !WRITTEN.iter().any(|switch| arguments::is_for(row, switch));
    let words = rows.iter().filter(is_read).flatten().map(Late::raw);
    let values = words.flat_map(|word| word.split([',', '=']));
    let paths = values.map(PathBuf::from);
    paths.filter(|path| path.is_file() && !path.starts_with(directory)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_qemu_is_given_are_known_and_those_that_it_writes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("output");
        std::fs::create_dir(&output).unwrap();
        let path = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let (seed, kernel) = (path("seed.iso"), path("kernel"));
        let (log, disk) = (path("console.log"), path("output/disk"));
        let row = |words: [String; 2]| words.map(|word| Late::new(&word)).to_vec();
        let rows = [
            row(["-drive".to_owned(), format!("file={},media=cdrom", seed.display())]),
            row(["-drive".to_owned(), format!("file={}", disk.display())]),
            row(["-kernel".to_owned(), kernel.display().to_string()]),
            row(["-serial".to_owned(), format!("file:{}", log.display())]),
            row(["-chardev".to_owned(), format!("file,id=c,path={}", log.display())]),
        ];
        assert_eq!(files_in(&rows, &output), [seed, kernel]);
    }
}
