//! What all shells share: which scripts to run, with which variables, quoted how.
//!
//! `shell`, `powershell` and `windows-shell` run them on a machine; [`local`] runs them on this one, for the
//! `shell-local` provisioner and post-processor.

pub mod child;
pub mod complaints;
pub mod local;
mod nesting;
mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use smart_default::SmartDefault;

use crate::component::{Check, DISCONNECTED_STATUS, Facts};
use crate::diagnostic::code;

pub use variables::VariableFormat;

/// A script is read whole: it may be changed on its way.
pub const LARGEST_SCRIPT: u64 = 64 << 20;

/// The options that say what is run.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Commands that together make one script, one on each line. Exactly one of `inline`, `script`
    /// and `scripts` is given.
    pub inline: Vec<String>,
    /// The path of one script.
    pub script: Option<String>,
    /// The paths of several scripts, run in this order.
    pub scripts: Vec<String>,
    /// Variables for the scripts, each as `NAME=value`.
    pub environment_vars: Vec<String>,
    /// Variables for the scripts; these win over `environment_vars`.
    pub env: BTreeMap<String, String>,
    /// The exit statuses that count as success. 2300218 stands for a lost connection.
    #[default(vec![0])]
    pub valid_exit_codes: Vec<u32>,
}

impl Options {
    /// Warns of commands that ask for an image or a package as `latest`, and of loops that sleep until
    /// cloud-init's mark is there.
    pub fn lint(&self, check: &mut Check<'_>) {
        for (at, command) in self.inline.iter().enumerate() {
            if command.contains(BOOT_FINISHED) && command.contains("sleep") {
                let option = format!("inline.{at}");
                let found = check.warn(code::SLEEP_FOR_BOOT, &option, WAITS_FOR_BOOT);
                found.cause = Some("waits forever if cloud-init fails".to_owned());
                found.help = Some(WAIT_FOR_WHAT.to_owned());
            }
            let words = command.split([' ', '\t', '\n', ';', '"', '\'']);
            for word in words.filter(|word| is_latest(word)) {
                let summary = format!("`{word}` is another thing tomorrow");
                let found = check.warn(code::UNPINNED_LATEST, &format!("inline.{at}"), summary);
                found.cause = Some("not pinned".to_owned());
                found.help = Some("name a version, or better a digest".to_owned());
            }
        }
    }
}

/// The file that cloud-init writes when it is done.
const BOOT_FINISHED: &str = "boot-finished";

/// What is said of a wait for the boot of a machine, and what to do instead.
pub const WAITS_FOR_BOOT: &str = "a sleep waits for the machine to finish booting";
/// See [`WAITS_FOR_BOOT`].
pub const WAIT_FOR_WHAT: &str = "wait for what is awaited: `cloud-init status --wait`, or \
                                 `systemctl is-system-running --wait`";

fn is_latest(word: &str) -> bool {
    let name = word.strip_suffix(":latest").or_else(|| word.strip_suffix("@latest"));
    name.is_some_and(|name| !name.is_empty())
}

/// What is run, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// One script made of these lines.
    Inline(Vec<String>),
    /// These files, in order.
    Files(Vec<PathBuf>),
}

impl Work {
    /// The files of this machine that it is.
    pub fn reads(&self) -> Option<Vec<PathBuf>> {
        match self {
            Self::Inline(_) => Some(Vec::new()),
            Self::Files(files) => Some(files.clone()),
        }
    }
}

impl Options {
    /// The option with the first command, if that is one of `sleeps`, whatever its case.
    pub fn wait_first(&self, sleeps: &[&str]) -> Option<&'static str> {
        let (name, _) = self.inline.first()?.trim_start().split_once(char::is_whitespace)?;
        sleeps.iter().any(|sleep| name.eq_ignore_ascii_case(sleep)).then_some("inline.0")
    }

    /// Checks that there is exactly one kind of script, that the files exist, and that every
    /// variable has a name.
    pub fn check(&self, check: &mut Check<'_>) -> Option<Work> {
        for variable in &self.environment_vars {
            if variable.find('=').is_none_or(|at| at == 0) {
                let cause = format!("`{variable}` is not of the form NAME=value");
                check.error("environment_vars", cause);
            }
        }
        if self.script.is_some() && !self.scripts.is_empty() {
            check.error("script", "`scripts` is given too").help = Some("keep one of them".into());
        }
        let files: Vec<PathBuf> =
            self.script.iter().chain(&self.scripts).map(PathBuf::from).collect();
        if !self.inline.is_empty() {
            if !files.is_empty() {
                let other = if self.script.is_some() { "script" } else { "scripts" };
                check.error("inline", format!("`{other}` is given too")).help =
                    Some("keep one of them, or make two provisioners".into());
            }
            return Some(Work::Inline(self.inline.clone()));
        }
        if files.is_empty() {
            check.missing("inline", "give the commands in `inline`, or a file in `script`");
            return None;
        }
        let option = if self.script.is_some() { "script" } else { "scripts" };
        for file in &files {
            if !check.may_read(option, file) {
                continue;
            }
            let cause = match std::fs::metadata(file) {
                Ok(found) if found.is_file() => continue,
                Ok(_) => format!("{} is no regular file", file.display()),
                Err(error) => format!("cannot read {}: {error}", file.display()),
            };
            check.error(option, cause);
        }
        Some(Work::Files(files))
    }

    /// All variables of the scripts: ours, then `environment_vars`, then `env`.
    pub fn variables(&self, facts: &Facts) -> BTreeMap<String, String> {
        let mut variables = build_variables(facts);
        let given = self.environment_vars.iter().filter_map(|variable| variable.split_once('='));
        variables.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
        variables.extend(self.env.clone());
        variables
    }

    /// Reports the variables that would break quotes in which `{{.Vars}}` stands in `command`.
    pub fn check_quotes(
        &self,
        command: &str,
        format: &VariableFormat,
        help: &str,
        check: &mut Check<'_>,
    ) {
        nesting::check(command, format, self, help, check);
    }

    /// Whether `status` counts as success, and if not, why.
    pub fn accept(&self, status: u32) -> Result<(), String> {
        if self.valid_exit_codes.contains(&status) {
            return Ok(());
        }
        let allowed = &self.valid_exit_codes;
        Err(format!(
            "Script exited with non-zero exit status: {status}. Allowed exit codes are: {allowed:?}"
        ))
    }

    /// Whether a lost connection counts as success.
    pub fn accepts_disconnect(&self) -> bool {
        self.valid_exit_codes.contains(&DISCONNECTED_STATUS)
    }
}

/// What every script is told of the build: `PACKER_BUILD_NAME`, `PACKER_BUILDER_TYPE`, and
/// `PACKER_HTTP_ADDR`, `PACKER_HTTP_IP`, `PACKER_HTTP_PORT` while the builder serves files.
pub fn build_variables(facts: &Facts) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("PACKER_BUILD_NAME".to_owned(), facts.source_name().to_owned()),
        ("PACKER_BUILDER_TYPE".to_owned(), facts.builder_type.clone()),
    ]);
    for (name, key) in [
        ("PACKER_HTTP_ADDR", "PackerHTTPAddr"),
        ("PACKER_HTTP_IP", "PackerHTTPIP"),
        ("PACKER_HTTP_PORT", "PackerHTTPPort"),
    ] {
        if let Some(value) = served(facts, key) {
            variables.insert(name.to_owned(), value);
        }
    }
    variables
}

/// A fact about the builder's HTTP server; builders without one say `ERR_…`.
pub fn served(facts: &Facts, key: &str) -> Option<String> {
    let text = match facts.scope.build_data.as_ref()?.get(key)? {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return None,
    };
    let meaningful = !text.is_empty() && text != "0" && !text.starts_with("ERR_");
    meaningful.then_some(text)
}
