//! Which Ansible is on this machine.

use std::collections::HashMap;
use std::io;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::env::Environment;

/// `2.14` of `2.14.18`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32);

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(60);

/// What programs have answered: starting Python takes half a second, and every build asks.
static ANSWERS: Mutex<Option<HashMap<String, Result<Version, String>>>> = Mutex::new(None);

/// The version of `program`, or why it cannot be used.
pub(super) fn of(program: &str, environment: &Environment) -> Result<Version, String> {
    let path = environment.get("PATH").unwrap_or_default();
    let key = format!("{program}\0{path}\0{}", environment.cwd.display());
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = answers.get_or_insert_default();
    answers.entry(key).or_insert_with(|| ask(program, environment)).clone()
}

fn ask(program: &str, environment: &Environment) -> Result<Version, String> {
    let asked = format!("`{program} --version`");
    let printed = run(program, environment).map_err(|error| not_started(program, &error))?;
    let Some((success, printed)) = printed else {
        return Err(format!("{asked} has not answered within {PATIENCE:?}"));
    };
    let first = printed.lines().next().unwrap_or_default();
    if !success {
        return Err(format!("{asked} fails: {}", crate::guest::harmless(first.as_bytes())));
    }
    let Some(version) = read(first) else {
        let first = crate::guest::harmless(first.as_bytes());
        return Err(format!("{asked} says no version of Ansible: {first}"));
    };
    if version < Version(2, 0) {
        return Err(format!("Ansible {}.{} is too old: 2.0 is needed", version.0, version.1));
    }
    Ok(version)
}

/// What is said of a program that cannot be started.
pub(super) fn not_started(program: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        return format!("there is no `{program}` on this machine: Ansible is not installed here");
    }
    format!("cannot run `{program}` on this machine: {error}")
}

/// Whether `program --version` succeeds and what it prints; `None` if it takes too long.
fn run(program: &str, environment: &Environment) -> io::Result<Option<(bool, String)>> {
    let child = Command::new(program)
        .arg("--version")
        .env_clear()
        .envs(environment.vars())
        .current_dir(&environment.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        // The thread has not reaped it: the id is still its own.
        id.map(|id| kill_process(id, Signal::KILL));
        return Ok(None);
    };
    let output = output?;
    let printed = if output.status.success() { output.stdout } else { output.stderr };
    Ok(Some((output.status.success(), String::from_utf8_lossy(&printed).into_owned())))
}

/// Reads `ansible-playbook [core 2.14.18]` or `ansible-playbook 2.9.6`.
pub(super) fn read(line: &str) -> Option<Version> {
    let words = line.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.filter(|word| word.contains('.')).find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_ansible_say_their_versions_differently() {
        assert_eq!(read("ansible-playbook [core 2.14.18]"), Some(Version(2, 14)));
        assert_eq!(read("ansible-playbook 2.9.6"), Some(Version(2, 9)));
        assert_eq!(read("hello 7"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_explained() {
        let environment = crate::interpolate::Scope::for_tests().environment;
        let said = of("/no/ansible-playbook", &environment).unwrap_err();
        assert!(said.contains("Ansible is not installed here"), "{said}");
    }
}
