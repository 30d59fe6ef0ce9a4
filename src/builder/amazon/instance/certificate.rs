//! The certificate that signs the bundle, and its key, come to the machine.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;

use crate::component::{BuildContext, Communicator, Exit, Upload};
use crate::event::Phase;
use crate::peer;
use crate::retry::or_cancelled;
use crate::step::Step;

/// No certificate, and no key, is that large.
const LARGEST: u64 = 64 << 10;

/// Both files: here, and on the machine.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// The directory of the machine.
    pub directory: String,
}

impl Certificate {
    /// Where the certificate is on the machine.
    pub(super) fn cert_there(&self) -> String {
        format!("{}/cert.pem", self.directory)
    }

    /// Where its key is.
    pub(super) fn key_there(&self) -> String {
        format!("{}/key.pem", self.directory)
    }

    /// Takes both off the machine.
    pub(super) async fn remove(
        &self,
        cx: &BuildContext,
        connection: &dyn Communicator,
    ) -> anyhow::Result<()> {
        let there = [self.cert_there(), self.key_there()];
        let command = connection.shell().remove_files(&there.each_ref().map(String::as_str));
        let (exit, _) = or_cancelled(&cx.cancel, connection.run_captured(&command)).await??;
        ensure!(
            exit == Exit::Status(0),
            "cannot take the certificate's key, {}, off the machine",
            there[1]
        );
        Ok(())
    }
}

/// Uploads the certificate and its key. Only who logs in there, and root, may read the key.
pub(super) struct UploadCertificate {
    pub connection: Arc<dyn Communicator>,
    pub certificate: Certificate,
}

#[async_trait]
impl Step for UploadCertificate {
    type Output = ();

    fn name(&self) -> &'static str {
        "upload the certificate"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Uploading the X.509 certificate and its key");
        let Certificate { cert, key, .. } = &self.certificate;
        let files = [
            (cert, self.certificate.cert_there(), 0o644),
            (key, self.certificate.key_there(), 0o600),
        ];
        for (from, to, mode) in files {
            let read = peer::read_regular_text(from, LARGEST);
            let text = read.with_context(|| format!("cannot read {}", from.display()))?;
            if from == key {
                cx.redactor.register(&text);
            }
            let upload = Upload::Text { content: text.as_bytes(), mode };
            let uploaded = or_cancelled(&cx.cancel, self.connection.upload(upload, &to, &cx.ui));
            uploaded.await?.with_context(|| format!("cannot upload {} to {to}", from.display()))?;
        }
        Ok(())
    }
}
