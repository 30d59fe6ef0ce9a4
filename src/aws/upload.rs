//! A file goes to S3 in parts, several at a time. A part that fails is sent again alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
use aws_sdk_s3::operation::create_multipart_upload::CreateMultipartUploadOutput;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use aws_smithy_runtime_api::client::result::SdkError;
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::aws::call::S3;
use crate::aws::resource::s3_object::{BUILD_METADATA, S3Object};
use crate::journal::Thing;
use crate::retry::or_cancelled;

/// How many parts are on their way at a time.
const AT_A_TIME: usize = 8;
/// The size of a part: S3 takes 5 MiB and more.
const PART: u64 = 8 << 20;
/// How many parts S3 takes.
const MOST_PARTS: u64 = 10_000;

/// A file on its way. What is there already is not sent again if it is run once more.
#[derive(Debug)]
pub struct Upload {
    /// The file.
    pub file: PathBuf,
    /// What becomes of it.
    pub object: S3Object,
    /// How S3 encrypts it, if not as the bucket says.
    pub encryption: Option<ServerSideEncryption>,
    /// The KMS key for that.
    pub key: Option<String>,
    so_far: Mutex<SoFar>,
}

/// What of it is there.
#[derive(Debug, Default)]
struct SoFar {
    id: Option<String>,
    parts: BTreeMap<u64, String>,
}

/// A part of the file: its number from 1, its place, its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    number: u64,
    offset: u64,
    size: u64,
}

impl Upload {
    /// `file`, which becomes `object`.
    pub fn new(
        file: PathBuf,
        object: S3Object,
        encryption: Option<ServerSideEncryption>,
        key: Option<String>,
    ) -> Self {
        Self { file, object, encryption, key, so_far: Mutex::default() }
    }

    /// Uploads all that is not there yet, until `cancel` fires; `sent` hears how much of how much is
    /// there.
    pub async fn run(
        &self,
        s3: &S3,
        thing: &Thing,
        cancel: &CancellationToken,
        sent: impl Fn(u64, u64) + Sync,
    ) -> anyhow::Result<()> {
        let size = size(&self.file).await?;
        let id = self.begin(s3, thing).await?;
        let missing: Vec<_> = parts(size).filter(|part| !self.has(*part)).collect();
        let before = size - missing.iter().map(|part| part.size).sum::<u64>();
        let sends = missing.into_iter().map(|part| self.send(s3, &id, part));
        let all = stream::iter(sends).buffer_unordered(AT_A_TIME);
        let all = all.try_fold(before, |so_far, part: Part| {
            sent(so_far + part.size, size);
            std::future::ready(Ok(so_far + part.size))
        });
        // Parts that are on their way may be cut off: none of them is anything by itself.
        or_cancelled(cancel, all).await??;
        self.complete(s3, thing, &id).await
    }

    fn so_far(&self) -> std::sync::MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, part: Part) -> bool {
        self.so_far().parts.contains_key(&part.number)
    }

    async fn begin(&self, s3: &S3, thing: &Thing) -> anyhow::Result<String> {
        if let Some(id) = self.so_far().id.clone() {
            return Ok(id);
        }
        let S3Object { bucket, key, token, .. } = &self.object;
        let request = s3
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .metadata(BUILD_METADATA, token)
            .set_server_side_encryption(self.encryption.clone())
            .set_ssekms_key_id(self.key.clone());
        let id = |answer: CreateMultipartUploadOutput| answer.upload_id;
        // One of which nobody knows the id is given up in the end; another one is begun.
        let look = async || anyhow::Ok(None);
        let call = s3.make(thing, "CreateMultipartUpload", |_| request.clone().send(), id, look);
        let id = call.await?;
        self.so_far().id = Some(id.clone());
        Ok(id)
    }

    async fn send(&self, s3: &S3, id: &str, part: Part) -> anyhow::Result<Part> {
        let S3Object { bucket, key, .. } = &self.object;
        let number = i32::try_from(part.number).context("there are too many parts")?;
        let send = |s3: &aws_sdk_s3::Client| {
            let request = s3.upload_part().bucket(bucket).key(key).upload_id(id);
            let read = ByteStream::read_from().path(&self.file).offset(part.offset);
            let body = read.length(Length::Exact(part.size)).build();
            let body = body.map_err(SdkError::construction_failure);
            body.and_then(move |body| request.part_number(number).body(body).send())
        };
        let answer = s3.call("UploadPart", send).await?;
        let tag = answer.e_tag.context("UploadPart answered no ETag")?;
        self.so_far().parts.insert(part.number, tag);
        Ok(part)
    }

    async fn complete(&self, s3: &S3, thing: &Thing, id: &str) -> anyhow::Result<()> {
        let S3Object { bucket, key, .. } = &self.object;
        let part = |(number, tag): (&u64, &String)| {
            CompletedPart::builder().set_part_number(i32::try_from(*number).ok()).e_tag(tag).build()
        };
        let parts = self.so_far().parts.iter().map(part).collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = s3.complete_multipart_upload().bucket(bucket).key(key).upload_id(id);
        let request = request.multipart_upload(parts);
        let done = |_: CompleteMultipartUploadOutput| Some(());
        let look = async || Ok(self.object.is_uploaded(s3).await?.then_some(()));
        s3.make(thing, "CompleteMultipartUpload", |_| request.clone().send(), done, look).await
    }
}

async fn size(file: &Path) -> anyhow::Result<u64> {
    let found = tokio::fs::metadata(file).await;
    let size = found.with_context(|| format!("cannot read {}", file.display()))?.len();
    anyhow::ensure!(size > 0, "{} is empty", file.display());
    Ok(size)
}

/// The parts of a file of `size` bytes.
fn parts(size: u64) -> impl Iterator<Item = Part> {
    let each = PART.max(size.div_ceil(MOST_PARTS));
    let offsets = (0..size.div_ceil(each)).map(move |nth| nth * each);
    offsets.zip(1..).map(move |(offset, number)| Part {
        number,
        offset,
        size: each.min(size - offset),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole_file_and_never_too_many() {
        for size in [1, PART, PART + 1, 3 * PART, (PART * MOST_PARTS) + 1, 5 << 40] {
            let parts: Vec<_> = parts(size).collect();
            assert!(parts.len() as u64 <= MOST_PARTS, "{size}");
            assert!(parts.iter().all(|part| part.size > 0), "{size}");
            let mut end = 0;
            for part in &parts {
                assert_eq!(part.offset, end, "{size}");
                end += part.size;
            }
            assert_eq!(end, size);
            assert_eq!(parts[0].number, 1);
        }
    }
}
