//! Plugins that are taken in any future version.

use super::{Rule, Subject, finding};
use crate::diagnostic::{Diagnostic, code};
use crate::template::ast::RequiredPlugin;

pub(super) const RULE: Rule = Rule::new(code::UNLIMITED_PLUGIN, check).pedantic();

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let plugins = subject.template.required_plugins.iter();
    plugins.filter(|plugin| !is_limited(plugin)).map(report).collect()
}

/// Whether no future major version is taken.
fn is_limited(plugin: &RequiredPlugin) -> bool {
    let parts = plugin.version.value.split(',').map(str::trim);
    let is_open = |part: &str| part.is_empty() || part.starts_with('>') || part.starts_with("!=");
    !parts.clone().all(is_open)
}

fn report(plugin: &RequiredPlugin) -> Diagnostic {
    let name = &plugin.name.value;
    finding(RULE.code, plugin.version.span, format!("any future version of `{name}` is taken"))
        .because("no upper limit")
        .help("`~> 1.2` takes what is compatible with 1.2")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{SourceMap, Span, Spanned};

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
