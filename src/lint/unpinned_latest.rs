//! What is another thing tomorrow: `latest`.

use super::{Rule, Subject, finding, text_of, texts};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, code};
use crate::plan::PlannedBuild;
use crate::source::Span;

pub(super) const RULE: Rule = Rule::new(code::UNPINNED_LATEST, check);

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for build in &subject.plan.builds {
        found.extend(sources(build).into_iter().map(source));
        for provisioner in &build.provisioners {
            found.extend(commands(&provisioner.options, build).into_iter().map(|(word, span)| {
                finding(RULE.code, span, format!("`{word}` is another thing tomorrow"))
                    .because("not pinned")
                    .help("name a version, or better a digest")
            }));
        }
    }
    found
}

/// The disk images that are downloaded from where the newest is, with a checksum that comes from
/// there too or with none: a written one stops the build when the image changes.
fn sources(build: &PlannedBuild) -> Vec<(String, Span)> {
    let checksum = text_of(&build.options, "iso_checksum", build);
    let is_written = |text: &str| text != "none" && !text.starts_with("file:") && !text.is_empty();
    if checksum.as_deref().is_some_and(is_written) {
        return Vec::new();
    }
    let options = ["iso_url", "iso_urls"];
    let urls = options.iter().filter_map(|option| build.options.get(option));
    let urls = urls.flat_map(|entry| texts(&entry.value, build));
    urls.filter(|(url, _)| is_remote(url) && url.split(['/', '?']).any(is_latest)).collect()
}

fn is_remote(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// `latest`, also as a part of a name: `debian-latest.qcow2`.
fn is_latest(segment: &str) -> bool {
    segment.split(['-', '.', '_']).any(|word| word == "latest")
}

fn source((url, span): (String, Span)) -> Diagnostic {
    finding(RULE.code, span, "the disk image is another one tomorrow")
        .because(format!("`{}`", url.rsplit('/').next().unwrap_or(&url)))
        .help("name a dated image, or give its `iso_checksum` as `sha256:…`")
}

/// Images and packages in the commands of a provisioner that are asked for as `latest`.
fn commands(options: &Node, build: &PlannedBuild) -> Vec<(String, Span)> {
    let Some(inline) = options.get("inline") else { return Vec::new() };
    let mut found = Vec::new();
    for (command, span) in texts(&inline.value, build) {
        let words = command.split([' ', '\t', '\n', ';', '"', '\'']);
        let latest = |word: &&str| {
            let name = word.strip_suffix(":latest").or_else(|| word.strip_suffix("@latest"));
            name.is_some_and(|name| !name.is_empty())
        };
        found.extend(words.filter(latest).map(|word| (word.to_owned(), span)));
    }
    found
}
