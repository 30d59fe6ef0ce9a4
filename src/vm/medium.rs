//! The files of this host that a template puts on a medium for the guest: by name, or by pattern.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::component::Check;

/// Reports what `patterns`, the value of `option`, name and is not there.
pub(super) fn check(option: &str, patterns: &[String], check: &mut Check<'_>) {
    for pattern in patterns {
        if !check.may_read_matches(option, pattern) {
            continue;
        }
        if has_wildcards(pattern) {
            if let Err(error) = glob::Pattern::new(pattern) {
                check.error(option, format!("`{pattern}` is no file pattern: {error}"));
            }
        } else if let Err(error) = std::fs::metadata(pattern) {
            check.error(option, format!("cannot read {pattern}: {error}"));
        }
    }
}

/// The paths that `pattern` of `option` stands for: at least one.
pub(super) fn expand(option: &str, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    if !has_wildcards(pattern) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let paths = glob::glob(pattern).with_context(|| format!("`{pattern}` is no file pattern"))?;
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    if paths.is_empty() {
        bail!("no file matches `{pattern}` of `{option}`");
    }
    Ok(paths)
}

/// The files of this host that `patterns` of `option` stand for; what is wrong with one of them is told
/// where the medium is made.
pub(super) fn reads(option: &str, patterns: &[String]) -> Vec<PathBuf> {
    patterns.iter().filter_map(|pattern| expand(option, pattern).ok()).flatten().collect()
}

/// `name` as a path below the medium's root.
pub(super) fn inside(option: &str, name: &str) -> anyhow::Result<PathBuf> {
    let relative = Path::new(name.trim_start_matches('/'));
    let mut parts = relative.components();
    let is_normal = |part| matches!(part, std::path::Component::Normal(_));
    if relative.as_os_str().is_empty() || !parts.all(is_normal) {
        bail!("`{name}` of `{option}` is no path on a medium");
    }
    Ok(relative.to_owned())
}

fn has_wildcards(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}
