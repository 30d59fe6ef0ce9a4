//! What is another thing tomorrow: `latest`, and plugins without an upper limit.

use super::{Rule, Subject, finding, texts};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, code};
use crate::plan::PlannedBuild;
use crate::source::Span;
use crate::template::ast::RequiredPlugin;

pub(super) const RULE: Rule = Rule { code: code::UNPINNED_LATEST, check };

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let plugins = subject.template.required_plugins.iter().filter(|plugin| !is_limited(plugin));
    let mut found: Vec<Diagnostic> = plugins.map(plugin).collect();
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

/// Whether no future major version is taken.
fn is_limited(plugin: &RequiredPlugin) -> bool {
    let parts = plugin.version.value.split(',').map(str::trim);
    let is_open = |part: &str| part.is_empty() || part.starts_with('>') || part.starts_with("!=");
    !parts.clone().all(is_open)
}

fn plugin(plugin: &RequiredPlugin) -> Diagnostic {
    let name = &plugin.name.value;
    finding(RULE.code, plugin.version.span, format!("any future version of `{name}` is taken"))
        .because("no upper limit")
        .help("`~> 1.2` takes what is compatible with 1.2")
}

/// The disk images that are downloaded from where the newest is, with a checksum that comes from
/// there too or with none: a written one stops the build when the image changes.
fn sources(build: &PlannedBuild) -> Vec<(String, Span)> {
    let checksum = build.options.get("iso_checksum").and_then(|entry| entry.value.as_str());
    let is_written = |text: &str| text != "none" && !text.starts_with("file:") && !text.is_empty();
    if checksum.is_some_and(is_written) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{SourceMap, Spanned};

    #[test]
    fn a_limit_is_told_from_none() {
        let nowhere = Span::new(SourceMap::default().add("", ""), 0, 0);
        for (version, limited) in [
            ("~> 1.2", true),
            ("1.2.3", true),
            (">= 1.2, < 2.0", true),
            (">= 1.2", false),
            ("> 0", false),
            (">= 1.2, != 1.3", false),
            ("", false),
        ] {
            let spanned = |text: &str| Spanned::new(text.to_owned(), nowhere);
            let plugin = RequiredPlugin {
                name: spanned("amazon"),
                source: spanned("github.com/hashicorp/amazon"),
                version: spanned(version),
            };
            assert_eq!(is_limited(&plugin), limited, "{version}");
        }
    }
}
