//! The environment of the action, kept where no file shows it.
//!
//! The runner hands the action its inputs, tokens and credentials as variables. Those of a process
//! stand in `/proc/PID/environ` for as long as it runs, whatever it does to its own copy. So the
//! program starts once more, in the same process and before it has read anything: without them, and
//! with all of them on standard input, which is emptied as it is read.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::Environment;

/// Says that the program was started once more.
const MARK: &str = "IMGBAKE_SEALED";

/// What libraries and commands look for in the process itself, and what is nobody's secret. `AWS_`
/// has some that are: see [`is_public`].
const PUBLIC: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "TERM",
    "HOSTNAME",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
];

/// Whether the variable `name` stays in the process.
fn is_public(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_credential = name.contains("KEY")
        || name.contains("SECRET")
        || name.contains("TOKEN") && !name.ends_with("_FILE");
    PUBLIC.contains(&name)
        || name.starts_with("LC_")
        || name.starts_with("XDG_")
        || name.starts_with("AWS_") && !is_credential
}

#[expect(clippy::disallowed_methods, reason = "the environment enters here")]
fn variables() -> std::env::VarsOs {
    std::env::vars_os()
}

/// Whether the variables of this process are those that may be seen.
pub fn is_done() -> bool {
    variables().any(|(name, _)| name == MARK)
}

/// Starts the program once more, with the same arguments, its own name among them. Comes back only
/// to say why that failed.
pub fn again(args: &[OsString]) -> io::Error {
    match handed_over() {
        Ok(all) => {
            let (name, args) = match args {
                [name, args @ ..] => (name.clone(), args),
                [] => (OsString::from("imgbake"), args),
            };
            let public = variables().filter(|(name, _)| is_public(name));
            let mut command = Command::new("/proc/self/exe");
            command.arg0(name).args(args).env_clear().envs(public).env(MARK, "1").stdin(all);
            command.exec()
        }
        Err(error) => error,
    }
}

/// All variables in a file that has no name.
fn handed_over() -> io::Result<File> {
    let mut file = File::from(memfd_create("environment", MemfdFlags::CLOEXEC)?);
    for (name, value) in variables() {
        file.write_all(&[name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat())?;
    }
    file.rewind()?;
    Ok(file)
}

/// The environment that was handed over. It can be read once.
///
/// # Errors
/// When it was not, or there is no working directory.
pub fn environment() -> io::Result<Environment> {
    let mut all = Vec::new();
    let stdin = io::stdin();
    stdin.lock().read_to_end(&mut all)?;
    // Whoever else has the file, the first process of a container for one, has nothing more in it.
    ftruncate(&stdin, 0)?;
    let all = all.split(|byte| *byte == 0).filter_map(|entry| {
        let equals = entry.iter().skip(1).position(|byte| *byte == b'=')? + 1;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(&entry[..equals]), text(&entry[equals + 1..])))
    });
    Environment::of_variables(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_public() {
        for secret in [
            "INPUT_GITHUB-TOKEN",
            "GITHUB_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "DB_PASSWORD",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "PKR_VAR_x",
            "STATE_x",
        ] {
            assert!(!is_public(OsStr::new(secret)), "{secret}");
        }
        for public in ["PATH", "HOME", "AWS_REGION", "AWS_WEB_IDENTITY_TOKEN_FILE", "LC_ALL"] {
            assert!(is_public(OsStr::new(public)), "{public}");
        }
    }
}
