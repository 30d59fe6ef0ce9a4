//! Provisioners: each changes a running machine.
//!
//! | file | what is there |
//! |---|---|
//! | `remote`, `elevated`, `environment` | scripts on the machine: put there and run, with rights, with variables |
//! | `staging` | a directory for tools that run there |
//! | `program`, `private` | tools of this host that work on the machine, and their keys |
//! | `fields` | fields that several texts have |
//! | all others | a provisioner each, or several of one tool |

pub mod elevated;
mod environment;
pub mod fields;
mod private;
mod program;
mod remote;
pub mod staging;

#[cfg(test)]
pub(crate) mod fake;

use std::path::Path;

use crate::component::{Check, Descriptor, Provisioner};

/// A line for each file or folder, with the provisioners in it.
macro_rules! provisioners {
    ($($module:ident: $($($part:ident)::+),+;)+) => {
        $(pub mod $module;)+

        /// The provisioners that are built in.
        pub fn built_in() -> Vec<Descriptor<dyn Provisioner>> {
            vec![$($(Descriptor::<dyn Provisioner>::of::<$module::$($part)::+>(|own| Box::new(own))),+),+]
        }
    };
}

provisioners! {
    ansible: Ansible;
    ansible_local: AnsibleLocal;
    breakpoint: Breakpoint;
    chef: client::ChefClient, solo::ChefSolo;
    file: File;
    hcp_sbom: HcpSbom;
    inspec: Inspec;
    powershell: PowerShell;
    puppet: masterless::PuppetMasterless, server::PuppetServer;
    salt_masterless: SaltMasterless;
    shell: Shell;
    shell_local: ShellLocal;
    sleep: Sleep;
    windows_restart: WindowsRestart;
    windows_shell: WindowsShell;
}

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
