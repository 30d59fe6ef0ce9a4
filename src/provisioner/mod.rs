//! Provisioners: each changes a running machine.

pub mod ansible;
pub mod ansible_local;
pub mod breakpoint;
pub mod chef;
pub mod elevated;
mod environment;
pub mod fields;
pub mod file;
pub mod hcp_sbom;
pub mod inspec;
pub mod powershell;
mod private;
mod program;
pub mod puppet;
mod remote;
pub mod salt_masterless;
pub mod shell;
pub mod shell_local;
pub mod sleep;
pub mod staging;
pub mod windows_restart;
pub mod windows_shell;

#[cfg(test)]
pub(crate) mod fake;

use std::path::Path;

use crate::component::Check;

/// The last part of a path as the user wrote it: `app` of `./app/`.
fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Says what is wrong with a local file or directory that must exist, if anything is.
fn must_be_file(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(format!("{} is not a file", path.display())),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// As [`must_be_file`], for a directory.
fn must_be_directory(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is not a directory", path.display())),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Reports if `path`, the value of `option`, may not be read, or is not what it `must_be`. One that is
/// not given is fine, an empty one in a list is not: it would stand for `/` or the working directory.
fn check_path(
    check: &mut Check<'_>,
    option: &str,
    path: &str,
    must_be: fn(&Path) -> Result<(), String>,
) {
    if check.may_read(option, path)
        && let Err(cause) = must_be(Path::new(path))
    {
        check.error(option, cause);
    }
}

/// [`check_path`] for a file, if one is given.
pub(crate) fn check_file(check: &mut Check<'_>, option: &str, path: Option<&str>) {
    if let Some(path) = path {
        check_path(check, option, path, must_be_file);
    }
}

/// [`check_path`] for a directory, if one is given.
fn check_directory(check: &mut Check<'_>, option: &str, path: Option<&str>) {
    if let Some(path) = path {
        check_path(check, option, path, must_be_directory);
    }
}
