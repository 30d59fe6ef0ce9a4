//! The environment, the clock and the limits of the process: where the outside world enters, so that
//! tests can hold it still.

pub mod sealed;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use uuid::Uuid;

use crate::diagnostic::Frontend;
use crate::identity::Role;
use crate::peer;
use crate::reach::Reach;
use crate::secret::{Secret, SecretStore};

/// The version of Packer whose templates this program understands: `packer.version`,
/// `{{packer_version}}`, and what `required_version` is compared with.
pub const PACKER_VERSION: &str = "1.16.0";

/// How many open files are enough for a hundred builds at a time.
const WANTED_FILES: u64 = 4096;

/// With how few no build could work: each has connections, logs and scripts.
const LEAST_FILES: u64 = 64;

/// Has the system allow this process as many open files as it needs, if it may have them.
///
/// # Errors
/// Where it may have so few that nothing would work: a sentence about that.
pub fn allow_files() -> Result<(), String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED_FILES, |most| most.min(WANTED_FILES));
    let enough = |current: Option<u64>, least| current.is_none_or(|current| current >= least);
    if !enough(current, wanted) {
        // Where that is refused, what there is may still be enough.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
    match getrlimit(Resource::Nofile).current {
        Some(few) if !enough(Some(few), LEAST_FILES) => Err(format!(
            "Error: only {few} files may be open at a time, and imgbake needs {LEAST_FILES}: raise the limit, e.g. with `ulimit -n {WANTED_FILES}`\n"
        )),
        _ => Ok(()),
    }
}

/// Whoever tells people what is waited for.
pub trait WaitReporter: std::fmt::Debug + Send + Sync {
    /// Says it.
    fn say(&self, text: &str);
}

/// What a run knows of the process that it is.
#[derive(Clone, Debug)]
pub struct Environment {
    vars: BTreeMap<String, String>,
    /// The working directory at the start.
    pub cwd: PathBuf,
    /// When the run started; `{{timestamp}}` and `{{isotime}}` are about this moment.
    pub started: Timestamp,
    is_timeless: bool,
    /// One id for the whole run, exported as `PACKER_RUN_UUID`.
    pub run_uuid: String,
    /// The role that the run takes on in AWS, if it was told one.
    pub role: Option<Role>,
    /// Where the template functions `aws_secretsmanager` and `aws_secretsmanager_raw` read from;
    /// `None` asks nobody.
    pub secrets: Option<Arc<dyn SecretStore>>,
    /// Who has given templates what they are given.
    pub asker: Frontend,
    /// Which files a template may have read.
    pub reach: Reach,
    /// What the digests of [fingerprints](crate::fingerprint) are made with. It is no variable: nothing
    /// that is started gets it.
    pub fingerprint_key: Option<Secret>,
    voice: Arc<OnceLock<Box<dyn WaitReporter>>>,
}

/// The variable with that key.
pub const FINGERPRINT_KEY: &str = "IMGBAKE_FINGERPRINT_KEY";

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where it enters")]
    pub fn of_process() -> std::io::Result<Self> {
        Self::of_variables(std::env::vars_os())
    }

    /// The environment of this process, but with these variables. Those that are no text are left
    /// out.
    pub fn of_variables(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> std::io::Result<Self> {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let vars = vars.into_iter().filter_map(text).collect();
        Ok(Self::new(vars, std::env::current_dir()?, Timestamp::now()))
    }

    /// An environment made by hand.
    pub fn new(mut vars: BTreeMap<String, String>, cwd: PathBuf, started: Timestamp) -> Self {
        let fingerprint_key = vars.remove(FINGERPRINT_KEY).filter(|key| !key.is_empty());
        let fingerprint_key = fingerprint_key.map(Secret::new);
        let run_uuid = match vars.get("PACKER_RUN_UUID") {
            Some(given) if !given.is_empty() => given.clone(),
            _ => Uuid::new_v4().to_string(),
        };
        let (role, secrets, asker, reach, voice) = Default::default();
        let is_timeless = false;
        Self {
            vars,
            cwd,
            started,
            is_timeless,
            run_uuid,
            role,
            secrets,
            asker,
            reach,
            fingerprint_key,
            voice,
        }
    }

    /// What is waited for is told to `voice` from now on; to the first one that is given.
    pub fn speak_through(&self, voice: impl WaitReporter + 'static) {
        // A second one would say the same once more.
        let _ = self.voice.set(Box::new(voice));
    }

    /// Tells people what is waited for, if there is anybody to hear it.
    pub fn say(&self, text: &str) {
        self.voice.get().into_iter().for_each(|voice| voice.say(text));
    }

    /// The same, asked by somebody else.
    pub fn asked_by(self, asker: Frontend) -> Self {
        Self { asker, ..self }
    }

    /// The same, with a role to take on.
    pub fn taking_on(self, role: Option<Role>) -> Self {
        Self { role, ..self }
    }

    /// The same with this key for fingerprints.
    pub fn with_key(self, fingerprint_key: Option<Secret>) -> Self {
        Self { fingerprint_key, ..self }
    }

    /// The same with a store of secrets.
    pub fn with_secrets(self, secrets: Arc<dyn SecretStore>) -> Self {
        Self { secrets: Some(secrets), ..self }
    }

    /// The same without a store of secrets: nobody is asked for one, and what it holds is unknown.
    pub fn without_secrets(self) -> Self {
        Self { secrets: None, ..self }
    }

    /// The same with other files in reach.
    pub fn reaching(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// The same at the beginning of time, where nothing is random: what comes of it does not depend on
    /// when it is made.
    pub fn timeless(&self) -> Self {
        let (started, run_uuid) = (Timestamp::UNIX_EPOCH, String::new());
        Self { started, run_uuid, is_timeless: true, ..self.clone() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        if self.is_timeless { self.started } else { Timestamp::now() }
    }

    /// A random UUID.
    pub fn new_uuid(&self) -> Uuid {
        if self.is_timeless { Uuid::nil() } else { Uuid::new_v4() }
    }

    /// The variable `name`, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// `path` with a leading `~` or `~user` replaced by that home directory.
    pub fn expand_home(&self, path: &Path) -> PathBuf {
        let Some(rest) = path.to_str().and_then(|text| text.strip_prefix('~')) else {
            return path.to_owned();
        };
        let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let home = if user.is_empty() { self.home() } else { home_of(user) };
        home.map_or_else(|| path.to_owned(), |home| home.join(rest))
    }

    /// Where this program keeps what it remembers from one run to the next: `IMGBAKE_STATE_DIR`,
    /// else `$XDG_STATE_HOME/imgbake`, else `~/.local/state/imgbake`.
    pub fn state_dir(&self) -> Option<PathBuf> {
        if let Some(given) = self.get("IMGBAKE_STATE_DIR") {
            return Some(PathBuf::from(given));
        }
        let given = self.get("XDG_STATE_HOME").map(PathBuf::from);
        let state = given.or_else(|| self.home().map(|home| home.join(".local/state")))?;
        Some(state.join("imgbake"))
    }

    /// Where downloads are kept: `PACKER_CACHE_DIR`, else `$XDG_CACHE_HOME/packer`, else
    /// `~/.cache/packer`, so that images fetched by Packer are found again.
    pub fn cache_dir(&self) -> PathBuf {
        self.get("PACKER_CACHE_DIR")
            .map(PathBuf::from)
            .or_else(|| self.get("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("packer")))
            .or_else(|| self.home().map(|home| home.join(".cache/packer")))
            .unwrap_or_else(|| self.cwd.join("packer_cache"))
    }
}

/// The largest list of users that is read.
const USERS: u64 = 16 * 1024 * 1024;

fn home_of(user: &str) -> Option<PathBuf> {
    let users = peer::read_regular_text(Path::new("/etc/passwd"), USERS).ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(4).map(PathBuf::from)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_directory_is_found_by_its_user() {
        let vars = [("HOME".to_owned(), "/home/me".to_owned())].into();
        let environment = Environment::new(vars, "/".into(), Timestamp::UNIX_EPOCH);
        assert_eq!(environment.expand_home("/a/~".as_ref()), Path::new("/a/~"));
        assert_eq!(environment.expand_home("~root/key".as_ref()), Path::new("/root/key"));
        assert_eq!(environment.expand_home("~/key".as_ref()), Path::new("/home/me/key"));
    }
}
