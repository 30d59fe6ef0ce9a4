//! The envelope (DSSE) that a statement and its signatures come in.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::public_key::PublicKey;
use super::shown;
use crate::peer;

/// What a statement is, for who opens the envelope.
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The largest attestation: an SBOM with a line for each file of a large image is one.
const LARGEST: u64 = 768 << 20;

/// More signatures than this are no use to anybody.
const MOST_SIGNATURES: usize = 64;

/// A statement, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The statement, as it was signed.
    pub payload: Vec<u8>,
    /// One each for whoever signed.
    pub signatures: Vec<Signature>,
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What its key is called; it may be nothing.
    pub id: String,
    /// Its bytes.
    pub signature: Vec<u8>,
    /// The certificate of its key in PEM, if Sigstore has certified it.
    pub certificate: Option<String>,
}

/// An envelope as JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Deserialize, Serialize)]
struct WrittenSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cert: Option<String>,
}

impl Envelope {
    /// One around `statement` that nobody has signed yet.
    pub fn of(statement: &Json) -> Self {
        Self { payload: statement.to_string().into_bytes(), signatures: Vec::new() }
    }

    /// The envelope in the file `path`.
    ///
    /// # Errors
    /// Says what the file has instead.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Self::parse(&peer::read_regular(path, LARGEST)?)
    }

    fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let json: Json =
            serde_json::from_slice(text).map_err(|error| anyhow!("it is no JSON: {error}"))?;
        if json.get("payloadType").is_none() {
            match json.get("_type").or(json.get("mediaType")).and_then(Json::as_str) {
                Some(kind) if kind.contains("in-toto") => {
                    bail!("nobody has signed it: it is a statement without an envelope")
                }
                Some(kind) if kind.contains("sigstore.bundle") => {
                    bail!(
                        "it is a bundle of Sigstore: name it with -bundle, beside the attestation"
                    )
                }
                _ => bail!("it is no envelope of a statement (DSSE): it has no `payloadType`"),
            }
        }
        let written = Written::deserialize(json);
        let written = written.map_err(|error| anyhow!("it is no envelope (DSSE): {error}"))?;
        let kind = shown(&written.payload_type);
        ensure!(
            written.payload_type == PAYLOAD,
            "its `payloadType` is {kind}, where `{PAYLOAD}` is expected"
        );
        ensure!(!written.signatures.is_empty(), "nobody has signed it: it has no `signatures`");
        ensure!(
            written.signatures.len() <= MOST_SIGNATURES,
            "it has more than {MOST_SIGNATURES} signatures"
        );
        let signatures = written.signatures.into_iter().map(|one| {
            let signature = decoded(&one.sig).context("`sig`")?;
            Ok(Signature { id: one.keyid, signature, certificate: one.cert })
        });
        Ok(Self {
            payload: decoded(&written.payload).context("`payload`")?,
            signatures: signatures.collect::<anyhow::Result<_>>()?,
        })
    }

    /// What is signed: the statement with its type, so that it stands for nothing else.
    pub fn signed(&self) -> Vec<u8> {
        let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), self.payload.len());
        [head.as_bytes(), &self.payload].concat()
    }

    /// Whether `key` accepts one of its signatures.
    pub fn is_accepted_by(&self, key: &PublicKey) -> bool {
        let message = self.signed();
        self.signatures.iter().any(|one| key.accepts(&message, &one.signature))
    }

    /// Whose keys its signatures name, for people.
    pub fn signers(&self) -> String {
        let ids = self.signatures.iter().map(|one| match one.id.as_str() {
            "" => "a key without a name".to_owned(),
            id => shown(id),
        });
        format!("its signatures are of {}", ids.collect::<Vec<_>>().join(", "))
    }

    /// It as JSON.
    pub fn written(&self) -> anyhow::Result<String> {
        let signatures = self.signatures.iter().map(|one| WrittenSignature {
            keyid: one.id.clone(),
            sig: STANDARD.encode(&one.signature),
            cert: one.certificate.clone(),
        });
        Ok(serde_json::to_string_pretty(&Written {
            payload_type: PAYLOAD.to_owned(),
            payload: STANDARD.encode(&self.payload),
            signatures: signatures.collect(),
        })?)
    }
}

/// The bytes of `text`, in either form of Base64 that envelopes have.
fn decoded(text: &str) -> anyhow::Result<Vec<u8>> {
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map_err(|error| anyhow!("it is no Base64: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_envelope_is_told_what_it_is() {
        let signature = json!({"keyid": "a", "sig": "YQ=="});
        for (text, why) in [
            ("{".to_owned(), "it is no JSON"),
            (json!({"_type": "https://in-toto.io/Statement/v1"}).to_string(), "nobody has signed it"),
            (json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}).to_string(), "with -bundle"),
            (json!({"a": 1}).to_string(), "it has no `payloadType`"),
            (json!({"payloadType": "x", "payload": "", "signatures": []}).to_string(), "is `x`, where"),
            (json!({"payloadType": PAYLOAD, "payload": "", "signatures": []}).to_string(), "no `signatures`"),
            (json!({"payloadType": PAYLOAD, "payload": "", "signatures": vec![signature.clone(); 65]}).to_string(), "more than 64"),
            (json!({"payloadType": PAYLOAD, "payload": "!", "signatures": [signature]}).to_string(), "`payload`: it is no Base64"),
            (json!({"payloadType": PAYLOAD, "signatures": []}).to_string(), "missing field `payload`"),
        ] {
            let said = format!("{:#}", Envelope::parse(text.as_bytes()).unwrap_err());
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written() {
        let mut envelope = Envelope::of(&json!({"a": "ü?~"}));
        envelope.signatures.push(Signature {
            id: "x".to_owned(),
            signature: vec![251, 255],
            certificate: None,
        });
        let text = envelope.written().unwrap();
        assert_eq!(Envelope::parse(text.as_bytes()).unwrap(), envelope);
        let url_safe = text.replace("+/8=", "-_8=");
        assert_ne!(url_safe, text);
        assert_eq!(Envelope::parse(url_safe.as_bytes()).unwrap(), envelope);
        assert_eq!(
            envelope.signed(),
            "DSSEv1 28 application/vnd.in-toto+json 12 {\"a\":\"ü?~\"}".as_bytes()
        );
    }
}
