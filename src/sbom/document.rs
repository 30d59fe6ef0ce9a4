//! Documents that list what is in an image, as other programs write them.

use std::path::Path;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::peer;

/// A line for each package of a large image makes some tens of megabytes; with a line for each file
/// it is more.
const LARGEST: u64 = 512 << 20;

/// A format of SBOMs, in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CycloneDX.
    #[default]
    CycloneDx,
    /// SPDX.
    Spdx,
}

impl Format {
    /// Its name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::CycloneDx => "cyclonedx",
            Self::Spdx => "spdx",
        }
    }

    /// That of `document`, if it is an SBOM.
    fn of(document: &Json) -> Option<Self> {
        let text = |name: &str| document.get(name).and_then(Json::as_str).unwrap_or_default();
        if !text("spdxVersion").is_empty() {
            return Some(Self::Spdx);
        }
        let is_cyclonedx = text("bomFormat").eq_ignore_ascii_case("CycloneDX");
        (is_cyclonedx && !text("specVersion").is_empty()).then_some(Self::CycloneDx)
    }
}

/// An SBOM.
#[derive(Clone, Debug)]
pub struct Sbom {
    /// What it is written in.
    pub format: Format,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// What they say.
    pub document: Json,
}

impl Sbom {
    /// Reads the file `path`.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = peer::read_regular(path, LARGEST);
        let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(bytes)
    }

    /// This `document`.
    pub fn of(format: Format, document: Json) -> anyhow::Result<Self> {
        Ok(Self { format, bytes: serde_json::to_vec_pretty(&document)?, document })
    }

    fn parse(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let document: Json = serde_json::from_slice(&bytes)
            .map_err(|error| anyhow::anyhow!("it is no SBOM, for it is no JSON: {error}"))?;
        let format = Format::of(&document).context(
            "it is no SBOM: neither a `spdxVersion` nor `bomFormat: CycloneDX` with a `specVersion` is in it",
        )?;
        Ok(Self { format, bytes, document })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_told_by_what_it_requires() {
        let format = |text: &str| Sbom::parse(text.into()).map(|sbom| sbom.format).ok();
        let cyclonedx = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6"}"#;
        assert_eq!(format(cyclonedx), Some(Format::CycloneDx));
        assert_eq!(format(r#"{"spdxVersion": "SPDX-2.3"}"#), Some(Format::Spdx));
        for wrong in [r#"{"bomFormat": "CycloneDX"}"#, r#"{"spdxVersion": ""}"#, "[]", "<bom/>", ""]
        {
            assert_eq!(format(wrong), None, "{wrong}");
        }
    }
}
