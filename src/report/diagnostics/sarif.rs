//! SARIF 2.1.0 (OASIS): what code scanning services read.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{level, message};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, SourceMap, Span};

/// What the paths of the log are relative to, by the name that services know it by.
const ROOT: &str = "%SRCROOT%";

pub(super) fn render(
    found: &[&Diagnostic],
    sources: &SourceMap,
    root: &Path,
) -> serde_json::Result<String> {
    let mut rules: Vec<Code> = found.iter().map(|found| found.code).collect();
    rules.sort_by_key(|code| code.name());
    rules.dedup();
    let mut writer = Writer { sources, root, seen: BTreeMap::new() };
    let results: Vec<Json> = found.iter().map(|found| writer.result(found, &rules)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "imgbake",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_iter().map(rule).collect::<Vec<_>>(),
            } },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&log)
}

fn rule(code: Code) -> Json {
    json!({
        "id": code.name(),
        "shortDescription": { "text": code.title() },
        "help": { "text": code.page(), "markdown": code.page() },
    })
}

struct Writer<'a> {
    sources: &'a SourceMap,
    root: &'a Path,
    /// How often each fingerprint was given.
    seen: BTreeMap<String, usize>,
}

impl Writer<'_> {
    fn result(&mut self, found: &Diagnostic, rules: &[Code]) -> Json {
        let mut result = json!({
            "ruleId": found.code.name(),
            "ruleIndex": rules.iter().position(|rule| *rule == found.code),
            "level": level(found.severity),
            "message": { "text": message(found) },
            "partialFingerprints": { "imgbakeFinding/v1": self.fingerprint(found) },
        });
        if let Some(span) = found.span {
            result["locations"] = json!([{ "physicalLocation": self.place(span) }]);
        }
        if !found.labels.is_empty() {
            let related = found.labels.iter().map(|label| {
                json!({
                    "physicalLocation": self.place(label.span),
                    "message": { "text": label.text },
                })
            });
            result["relatedLocations"] = related.collect();
        }
        result
    }

    fn place(&self, span: Span) -> Json {
        let file = self.sources.file(span.file);
        let (start_line, start_column) = file.utf16_position(span.start as usize);
        let (end_line, end_column) = file.utf16_position(span.end as usize);
        json!({
            "artifactLocation": self.artifact(&file.path),
            "region": {
                "startLine": start_line,
                "startColumn": start_column,
                "endLine": end_line,
                "endColumn": end_column,
            },
        })
    }

    /// A path below the root as a relative reference, any other as a whole URL.
    fn artifact(&self, path: &Path) -> Json {
        let root = Url::from_directory_path(self.root);
        let (Ok(root), Ok(file)) = (root, Url::from_file_path(self.root.join(path))) else {
            return json!({ "uri": path.display().to_string() });
        };
        match file.as_str().strip_prefix(root.as_str()) {
            Some(relative) => json!({ "uri": relative, "uriBaseId": ROOT }),
            None => json!({ "uri": file.as_str() }),
        }
    }

    /// The same for the same finding after lines were added elsewhere: made of the code, the file,
    /// the text of the line, and a number where there are several such.
    fn fingerprint(&mut self, found: &Diagnostic) -> String {
        let mut hash = Sha256::new();
        hash.update(found.code.name());
        match found.span {
            Some(span) => {
                let file: &SourceFile = self.sources.file(span.file);
                hash.update(file.path.as_os_str().as_encoded_bytes());
                hash.update(file.line(span.start as usize).trim());
            }
            None => hash.update(&found.summary),
        }
        let print = hex::encode(&hash.finalize()[..16]);
        let count = self.seen.entry(print.clone()).or_default();
        *count += 1;
        format!("{print}:{count}")
    }
}
