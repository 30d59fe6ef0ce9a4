//! `shell-local`: runs scripts on this machine while the other one runs.

use async_trait::async_trait;

use crate::component::{Check, Component, ProvisionContext, Provisioner};
use crate::script::{self, local};

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct ShellLocal(local::LocalShell);

impl Component for ShellLocal {
    const TYPE: &'static str = "shell-local";
    const ABOUT: &'static str =
        "Runs scripts or commands on this machine, while the other one is up.";
    type Options = (script::Options, local::Options);

    fn lint((scripts, _): &Self::Options, check: &mut Check<'_>) {
        scripts.lint(check);
    }

    fn prepare(options: Self::Options, check: &mut Check<'_>) -> Option<Self> {
        local::LocalShell::prepare(options, check).map(Self)
    }
}

#[async_trait]
impl Provisioner for ShellLocal {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        self.0.run(&cx.facts, &cx.ui, &cx.cancel).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Machine};

    /// Runs `options`: how it ended and what was said.
    async fn run(options: serde_json::Value) -> (String, Vec<String>) {
        let (cx, mut said) = fake::context(Machine::answering([]));
        let ended = fake::prepare::<ShellLocal>(options).unwrap().provision(&cx).await;
        let ended = ended.map_or_else(|error| format!("{error:#}"), |()| "ok".to_owned());
        (ended, fake::said(&mut said))
    }

    /// The path that a run named.
    fn script(said: &[String]) -> &str {
        said[0].strip_prefix("Running local shell script: ").unwrap()
    }

    #[tokio::test]
    async fn an_inline_script_is_private_and_gone_afterwards() {
        let (ended, said) = run(json!({
            "inline": ["stat -c %a $0", "echo \"$A $PACKER_BUILD_NAME\"", "echo err >&2", "exit 3"],
            "env": {"A": "it's $(x)"}, "valid_exit_codes": [3], "tempfile_extension": ".sh"
        }))
        .await;
        assert_eq!(ended, "ok");
        let mut lines = said[1..].to_vec();
        lines.sort();
        assert_eq!(lines, ["700", "err", "it's $(x) web"]);
        assert!(script(&said).ends_with(".sh") && !std::path::Path::new(script(&said)).exists());
    }

    #[tokio::test]
    async fn files_run_in_order_and_the_first_failure_ends_it() {
        let (_dir, good) = fake::local_file("a $(b) c.sh", b"#!/bin/sh\necho good\n");
        let (_dir2, bad) = fake::local_file("bad.sh", b"exit 7\n");
        for file in [&good, &bad] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(file, mode).unwrap();
        }
        let (ended, said) = run(json!({"scripts": [good, bad, good]})).await;
        assert!(ended.contains("exit status: 7. Allowed exit codes are: [0]"), "{ended}");
        assert_eq!(said.iter().filter(|line| *line == "good").count(), 1);
    }

    #[tokio::test]
    async fn execute_command_is_a_list_of_words_or_one_line_for_sh() {
        for (command, line) in [
            (json!(["/bin/echo", "a,b", "{{.Command}}"]), "a,b true"),
            (
                json!("echo a,b {{.Vars}}; true {{.Script}}"),
                "a,b PACKER_BUILDER_TYPE=null PACKER_BUILD_NAME=web",
            ),
        ] {
            let (ended, said) = run(json!({"command": "true", "execute_command": command})).await;
            assert_eq!((ended.as_str(), said[1].as_str()), ("ok", line));
        }
    }

    #[tokio::test]
    async fn another_operating_system_is_skipped() {
        let (ended, said) = run(json!({"inline": ["exit 1"], "only_on": ["windows"]})).await;
        assert_eq!(ended, "ok");
        assert!(said[0].starts_with("Skipping shell-local due to runtime OS"), "{said:?}");
    }

    #[tokio::test]
    async fn interrupting_ends_all_that_the_script_started() {
        let (cx, mut said) = fake::context(Machine::answering([]));
        let slow = fake::prepare::<ShellLocal>(json!({"inline": ["sleep 60 & echo $!", "wait"]}));
        let slow = slow.unwrap();
        let interrupt = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            cx.cancel.cancel();
        };
        let before = Instant::now();
        let (ended, ()) = tokio::join!(slow.provision(&cx), interrupt);
        assert!(ended.unwrap_err().is::<crate::retry::Cancelled>());
        assert!(before.elapsed() < Duration::from_secs(4));
        let said = fake::said(&mut said);
        let process: i32 = said[1].parse().unwrap();
        let process = rustix::process::Pid::from_raw(process).unwrap();
        assert!(rustix::process::test_kill_process(process).is_err(), "the sleep still runs");
        assert!(!std::path::Path::new(script(&said)).exists());
    }

    #[tokio::test]
    async fn a_server_that_a_script_leaves_running_does_not_hold_the_build_up() {
        let before = Instant::now();
        let (ended, said) = run(json!({"inline": ["sleep 20 & echo $!"]})).await;
        assert_eq!(ended, "ok");
        assert!(before.elapsed() < Duration::from_secs(5));
        let process = rustix::process::Pid::from_raw(said[1].parse().unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    }

    #[test]
    fn all_that_is_wrong_with_the_options_is_said_at_once() {
        let wrong = json!({
            "command": "x", "inline": ["y"], "only_on": ["plan9"], "use_linux_pathing": true,
            "env_var_format": "%d"
        });
        insta::assert_snapshot!(fake::prepare::<ShellLocal>(wrong).unwrap_err().join("\n"), @r"
        the value of `command` cannot be used: another of `inline`, `script` and `scripts` is given too
        the value of `only_on` cannot be used: `plan9` is none of darwin, freebsd, linux, openbsd, solaris, windows
        the value of `use_linux_pathing` cannot be used: it is about script files, not about `inline`
        the value of `env_var_format` cannot be used: a `%` must start `%s`, `%v`, `%[1]s`, `%[2]s` or `%%`
        ");
    }
}
