//! Files of containers, as archives.

use std::io;

use bollard::query_parameters::{
    ContainerArchiveInfoOptions, DownloadFromContainerOptions, UploadToContainerOptions,
};
use futures::{Stream, TryStreamExt as _};
use tokio_util::bytes::Bytes;

use super::engine::{Engine, EngineError, if_there};

/// What a path in a container leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// Something else.
    Other,
    /// Nothing.
    Nothing,
}

/// How Go marks directories and links in a file's mode.
const DIRECTORY: u32 = 1 << 31;
const LINK: u32 = 1 << 27;

impl Engine {
    /// What `path` leads to in the container `id`.
    pub async fn path_kind(&self, id: &str, path: &str) -> Result<PathKind, EngineError> {
        let Some(found) = self.stat(id, path).await? else { return Ok(PathKind::Nothing) };
        let (mode, target) = found;
        if mode & LINK == 0 {
            return Ok(if mode & DIRECTORY == 0 { PathKind::Other } else { PathKind::Directory });
        }
        // The engine has followed all links already.
        match self.stat(id, &target).await? {
            None => Ok(PathKind::Nothing),
            Some((mode, _)) if mode & DIRECTORY == 0 => Ok(PathKind::Other),
            Some(_) => Ok(PathKind::Directory),
        }
    }

    /// `path` with all links followed, if it leads anywhere.
    pub async fn followed(&self, id: &str, path: &str) -> Result<String, EngineError> {
        let found = self.stat(id, path).await?;
        let target = found.filter(|(mode, _)| mode & LINK != 0).map(|(_, target)| target);
        Ok(target.unwrap_or_else(|| path.to_owned()))
    }

    async fn stat(&self, id: &str, path: &str) -> Result<Option<(u32, String)>, EngineError> {
        let options = ContainerArchiveInfoOptions { path: path.to_owned() };
        let asked = self.client.get_container_archive_info(id, Some(options)).await;
        Ok(if_there(asked)?.map(|found| (found.file_mode, found.link_target)))
    }

    /// Unpacks `archive` in the directory `path`, which is there.
    pub async fn put_archive(
        &self,
        id: &str,
        path: &str,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptions {
            path: path.to_owned(),
            no_overwrite_dir_non_dir: Some("true".to_owned()),
            copy_uidgid: None,
        };
        let body = bollard::body_try_stream(archive);
        Ok(self.patient().upload_to_container(id, Some(options), body).await?)
    }

    /// What `path` leads to, as an archive; with `/.` at its end, what is in a directory.
    pub fn get_archive(
        &self,
        id: &str,
        path: &str,
    ) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + use<> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        self.client.download_from_container(id, Some(options)).map_err(EngineError::from)
    }
}
