//! `shell`: runs scripts on the machine.
//!
//! For each script: upload with mode 0755 (one round trip), then `execute_command` and `rm -f`: in
//! one command, unless the template has its own `execute_command`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::component::{Check, Command, Component, Exit, ProvisionContext, Provisioner, Upload};
use crate::config::{GoDuration, Late, late_fields};
use crate::fault::{Fault, Kind};
use crate::guest::shell::{Posix, Shell as _};
use crate::interpolate::Dot;
use crate::peer;
use crate::provisioner::remote::Remote;
use crate::script::{self, LARGEST_SCRIPT, VariableFormat, Work};

late_fields! {
    /// The fields of `execute_command`.
    pub CommandFields = ["Path", "Vars", "EnvVarFile"] and the build;
}

/// The options of `shell`, beside those of every shell.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Uploads scripts as they are. Otherwise their lines end in LF, the last one too.
    pub binary: bool,
    /// How `{{.Vars}}` writes one variable: two `%s`, for the name and the value, whose `'` are
    /// already escaped. Default: `%s='%s' `, or `export %s='%s'\n` with `use_env_var_file`.
    pub env_var_format: Option<String>,
    /// Uploads the variables as a file (mode 0600), `{{.EnvVarFile}}`, instead of writing them
    /// into the command; then `{{.Vars}}` is empty.
    pub use_env_var_file: bool,
    /// The command that runs a script: `{{.Path}}` is where it is on the machine, `{{.Vars}}` are
    /// its variables, `{{.EnvVarFile}}` is the file that has them. The user's login shell reads it,
    /// if that is a POSIX shell; else `sh` does. Default, for `sh`:
    /// `chmod +x {{.Path}}; {{.Vars}} {{.Path}}`, or
    /// `chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}` with `use_env_var_file`.
    pub execute_command: Option<Late<CommandFields>>,
    /// The interpreter of `inline` scripts. Default: `/bin/sh -e`, unless the first of the
    /// commands is itself a `#!` line.
    pub inline_shebang: Option<String>,
    /// Where scripts are uploaded to.
    #[default(Posix.temporary_directory().to_owned())]
    pub remote_folder: String,
    /// What a script is called there. Default: `script_<number>.sh`.
    pub remote_file: Option<String>,
    /// The whole path, instead of `remote_folder` and `remote_file`.
    pub remote_path: Option<String>,
    /// For how long starting a script is tried again: a machine may be rebooting.
    #[default(GoDuration::from_secs(300))]
    pub start_retry_timeout: GoDuration,
    /// Leaves the scripts on the machine.
    pub skip_clean: bool,
    /// A script may break the connection, for example by a reboot.
    pub expect_disconnect: bool,
    /// How long to wait after the last script.
    pub pause_after: GoDuration,
}

/// What to do about variables that cannot stand in quotes.
const USE_FILE: &str = "set `use_env_var_file = true`, and write `. {{.EnvVarFile}} && {{.Path}}` instead of `{{.Vars}} {{.Path}}`";

/// The status of a shell that found a script, and could not run it.
const CANNOT_RUN: u32 = 126;

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct Shell {
    work: Work,
    scripts: script::Options,
    own: Options,
    format: VariableFormat,
    remote_path: String,
    variable_file: Option<String>,
}

impl Component for Shell {
    const TYPE: &'static str = "shell";
    const ABOUT: &'static str = "Runs scripts or commands on the machine.";
    type Options = (script::Options, Options);

    fn lint((scripts, _): &Self::Options, check: &mut Check<'_>) {
        scripts.lint(check);
    }

    fn prepare((scripts, own): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let work = scripts.check(check);
        let default = if own.use_env_var_file { "export %s='%s'\n" } else { "%s='%s' " };
        let format =
            VariableFormat::check(own.env_var_format.as_deref().unwrap_or(default), check)?;
        if let Some(command) = own.execute_command.as_ref().filter(|_| !own.use_env_var_file) {
            scripts.check_quotes(command.raw(), &format, USE_FILE, check);
        }
        let folder = own.remote_folder.trim_end_matches('/');
        let remote_path = own.remote_path.clone().unwrap_or_else(|| {
            let file = own.remote_file.clone().unwrap_or_else(|| format!("script_{}.sh", number()));
            format!("{folder}/{file}")
        });
        let variable_file =
            own.use_env_var_file.then(|| format!("{folder}/varfile_{}.sh", number()));
        Some(Self { work: work?, scripts, format, remote_path, variable_file, own })
    }
}

impl Shell {
    /// What it runs.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }
}

/// A number that keeps the scripts of one run apart from those of another.
fn number() -> u128 {
    uuid::Uuid::new_v4().as_u128() % 9999
}

#[async_trait]
impl Provisioner for Shell {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        self.work.reads()
    }

    fn waits_first(&self) -> Option<&'static str> {
        self.scripts.wait_first(&["sleep"])
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let remote = Remote::patient(cx, self.own.start_retry_timeout);
        if self.own.execute_command.is_none() && !remote.shell().is_posix() {
            bail!("the machine has no POSIX shell: use `powershell` or `windows-shell`");
        }
        let run = self.run_scripts(cx, &remote).await;
        if run.is_err() && !self.own.skip_clean {
            remote.clean_up_once(&self.removal(true)).await;
        }
        run?;
        remote.pause_after(self.own.pause_after).await
    }
}

impl Shell {
    async fn run_scripts(&self, cx: &ProvisionContext, remote: &Remote<'_>) -> anyhow::Result<()> {
        if let Some(file) = &self.variable_file {
            let content = self.format.write(&self.scripts.variables(&cx.facts));
            let from = Upload::Text { content: content.as_bytes(), mode: 0o600 };
            remote.upload("upload the variables", from, file).await?;
        }
        match &self.work {
            Work::Inline(lines) => {
                cx.ui.say("Provisioning with shell script: inline");
                let script = self.inline_script(lines);
                self.run_text(cx, remote, script.as_bytes(), true)
                    .await
                    .context("the inline script")?;
            }
            Work::Files(files) => {
                for (at, file) in files.iter().enumerate() {
                    cx.ui.say(format!("Provisioning with shell script: {}", file.display()));
                    let run = self.run_file(cx, remote, file, at + 1 == files.len()).await;
                    run.with_context(|| format!("the script {}", file.display()))?;
                }
            }
        }
        Ok(())
    }

    fn inline_script(&self, lines: &[String]) -> String {
        let text = format!("{}\n", lines.join("\n"));
        match &self.own.inline_shebang {
            None if text.starts_with("#!") => text,
            given => format!("#!{}\n{text}", given.as_deref().unwrap_or("/bin/sh -e")),
        }
    }

    async fn run_file(
        &self,
        cx: &ProvisionContext,
        remote: &Remote<'_>,
        file: &Path,
        last: bool,
    ) -> anyhow::Result<()> {
        if !self.own.binary {
            let text = peer::read_regular(file, LARGEST_SCRIPT).context("cannot be read")?;
            return self.run_text(cx, remote, &text, last).await;
        }
        remote.upload("upload it", Upload::File(file), &self.remote_path).await?;
        let make_executable = Posix.make_executable(&self.remote_path);
        remote.must_succeed("make it executable", &make_executable).await?;
        self.execute(cx, remote, last).await
    }

    /// Uploads a script whose bytes are at hand: with its mode, so that no `chmod` must follow.
    async fn run_text(
        &self,
        cx: &ProvisionContext,
        remote: &Remote<'_>,
        text: &[u8],
        last: bool,
    ) -> anyhow::Result<()> {
        let content = if self.own.binary { Cow::Borrowed(text) } else { unix_lines(text) };
        let from = Upload::Text { content: &content, mode: 0o755 };
        remote.upload("upload it", from, &self.remote_path).await?;
        self.execute(cx, remote, last).await
    }

    /// Runs the uploaded script, judges its end and removes it.
    async fn execute(
        &self,
        cx: &ProvisionContext,
        remote: &Remote<'_>,
        last: bool,
    ) -> anyhow::Result<()> {
        let mut command = self.command(cx)?;
        // What a template's own command may be followed by is its author's secret.
        let removes_itself = self.own.execute_command.is_none() && !self.own.skip_clean;
        if removes_itself {
            command = Posix.and_after(&command, &self.removal(last));
        }
        let command = match self.own.execute_command {
            Some(_) => Command::Template(&command),
            None => Command::Ours(&command),
        };
        let exit = remote.run("start it", command).await?;
        match exit {
            Exit::Disconnected
                if !self.own.expect_disconnect && !self.scripts.accepts_disconnect() =>
            {
                return Err(Fault::passing(Kind::Guest).mark(anyhow!(
                    "Script disconnected unexpectedly. If it is meant to (it reboots the machine), \
                     set `expect_disconnect = true`, or add 2300218 to `valid_exit_codes`"
                )));
            }
            Exit::Disconnected => {}
            Exit::Status(status) => self.accept(status)?,
        }
        if self.own.skip_clean || (removes_itself && exit != Exit::Disconnected) {
            return Ok(());
        }
        remote.must_succeed("remove it from the machine", &self.removal(last)).await
    }

    /// An error unless the template takes `status`, with a hint where our own command gave it.
    fn accept(&self, status: u32) -> anyhow::Result<()> {
        let Err(cause) = self.scripts.accept(status) else { return Ok(()) };
        if status != CANNOT_RUN || self.own.execute_command.is_some() {
            bail!(cause);
        }
        bail!(
            "{cause}. Status 126 means that {} cannot be run: if its directory is mounted `noexec`, \
             set `remote_folder` to another, or have the interpreter read it: \
             `execute_command = \"{{{{.Vars}}}} sh {{{{.Path}}}}\"`",
            self.remote_path
        )
    }

    /// The command that removes the script, and at the end the variables.
    fn removal(&self, last: bool) -> String {
        let variable_file = self.variable_file.as_deref().filter(|_| last);
        let paths = [self.remote_path.as_str()].into_iter().chain(variable_file);
        Posix.remove_files(&paths.collect::<Vec<_>>())
    }

    /// `execute_command` for the uploaded script. Our own quotes the paths where they need it; in
    /// the user's they stand as they are, since its author may have put quotes around them.
    fn command(&self, cx: &ProvisionContext) -> anyhow::Result<String> {
        let scope = &cx.facts.scope;
        let variable_file = self.variable_file.as_deref().unwrap_or_default();
        let mut dot: Dot = scope.build_data.clone().unwrap_or_default();
        let vars = match &self.variable_file {
            Some(_) => String::new(),
            None => self.format.write(&self.scripts.variables(&cx.facts)),
        };
        dot.insert("Vars".into(), vars.into());
        let standard = if self.own.use_env_var_file {
            "chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}"
        } else {
            "chmod +x {{.Path}}; {{.Vars}} {{.Path}}"
        };
        let (template, path, variable_file) = match &self.own.execute_command {
            Some(given) => (given.clone(), self.remote_path.as_str().into(), variable_file.into()),
            None => {
                let paths = (Posix.path(&self.remote_path), Posix.path(variable_file));
                (Late::new(standard), paths.0, paths.1)
            }
        };
        dot.insert("Path".into(), path.into());
        dot.insert("EnvVarFile".into(), variable_file.into());
        template.render(scope, &dot).context("cannot render `execute_command`")
    }
}

/// `text` with every line ended by LF alone, the last one too.
fn unix_lines(text: &[u8]) -> Cow<'_, [u8]> {
    let ended = text.is_empty() || text.ends_with(b"\n");
    if ended && !text.windows(2).any(|pair| pair == b"\r\n") {
        return Cow::Borrowed(text);
    }
    let mut unix = Vec::with_capacity(text.len() + 1);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        unix.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        unix.push(b'\n');
    }
    Cow::Owned(unix)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Answer, Machine};
    use crate::retry;

    fn shell(options: serde_json::Value) -> Shell {
        fake::prepare(options).unwrap()
    }

    #[tokio::test]
    async fn a_script_costs_one_upload_and_one_command() {
        let options = json!({
            "inline": ["echo one", "echo two"], "remote_path": "/tmp/s.sh",
            "environment_vars": ["B=it's", "A=over"], "env": {"A": "$(reboot)"}
        });
        let (ended, log) = fake::run::<Shell>(options, Machine::answering([])).await;
        assert_eq!(ended, "ok");
        let vars =
            r#"A='$(reboot)' B='it'"'"'s' PACKER_BUILDER_TYPE='null' PACKER_BUILD_NAME='web' "#;
        assert_eq!(
            log,
            [
                "write 755 /tmp/s.sh\n#!/bin/sh -e\necho one\necho two\n".to_owned(),
                format!(
                    "run chmod +x /tmp/s.sh; {vars} /tmp/s.sh; \
                     status=$?; rm -f /tmp/s.sh; exit $status"
                ),
            ]
        );
    }

    #[tokio::test]
    async fn scripts_run_in_order_with_unix_lines_and_the_variables_of_a_file() {
        let (_dir, dos) = fake::local_file("it's $(x).sh", b"#!/bin/sh\r\necho a\r\necho b");
        let options = json!({
            "scripts": [dos, dos], "use_env_var_file": true, "env": {"A": "b"},
            "remote_folder": "/var/tmp/", "remote_file": "x y.sh"
        });
        let (ended, log) = fake::run::<Shell>(options, Machine::answering([])).await;
        assert_eq!(ended, "ok");
        let file = log[0].split(['\n', ' ']).nth(2).unwrap();
        assert!(file.starts_with("/var/tmp/varfile_"), "{file}");
        assert!(log[0].starts_with("write 600 ") && log[0].contains("\nexport A='b'\n"));
        assert_eq!(log[1], "write 755 /var/tmp/x y.sh\n#!/bin/sh\necho a\necho b\n");
        let path = "'/var/tmp/x y.sh'";
        let run = format!("run chmod +x {path}; . {file} && {path}; status=$?; rm -f {path}");
        assert_eq!(log[2], format!("{run}; exit $status"));
        assert_eq!(log[4], format!("{run} {file}; exit $status"));
    }

    #[tokio::test]
    async fn a_binary_is_sent_as_it_is() {
        let (_dir, file) = fake::local_file("program", b"\x7fELF\r\n");
        let options = json!({"script": file, "binary": true, "remote_path": "/p"});
        let (_, log) = fake::run::<Shell>(options, Machine::answering([])).await;
        assert_eq!(log[0], format!("upload {} /p", file.display()));
        assert_eq!(log[1], "run chmod 0755 /p");
    }

    #[tokio::test]
    async fn the_templates_own_command_sees_the_paths_as_they_are() {
        let options = json!({
            "inline": ["#!/bin/bash", "x"], "remote_path": "/tmp/a b",
            "execute_command": "sudo env {{.Vars}} sh '{{.Path}}'", "env_var_format": "%s=%s ",
            "skip_clean": true
        });
        let (_, log) = fake::run::<Shell>(options, Machine::answering([])).await;
        assert_eq!(log[0], "write 755 /tmp/a b\n#!/bin/bash\nx\n");
        let vars = "PACKER_BUILDER_TYPE=null PACKER_BUILD_NAME=web ";
        assert_eq!(log[1..], [format!("login sudo env {vars} sh '/tmp/a b'")]);
    }

    #[tokio::test]
    async fn a_failed_script_is_removed_and_its_status_reported() {
        let options = json!({"inline": ["x"], "remote_path": "/s", "valid_exit_codes": [0, 3]});
        let (ended, log) =
            fake::run::<Shell>(options.clone(), Machine::answering([Answer::Exit(2)])).await;
        assert!(ended.contains("exit status: 2. Allowed exit codes are: [0, 3]"), "{ended}");
        assert_eq!(log.last().unwrap(), "run rm -f /s");
        let (ended, _) = fake::run::<Shell>(options, Machine::answering([Answer::Exit(3)])).await;
        assert_eq!(ended, "ok");
    }

    #[tokio::test]
    async fn a_lost_connection_is_an_error_unless_expected() {
        let lost = || Machine::answering([Answer::Disconnect]);
        let (ended, _) = fake::run::<Shell>(json!({"inline": ["reboot"]}), lost()).await;
        assert!(ended.contains("expect_disconnect"), "{ended}");
        for expecting in
            [json!({"expect_disconnect": true}), json!({"valid_exit_codes": [2300218]})]
        {
            let mut options = json!({"inline": ["reboot"]});
            options.as_object_mut().unwrap().extend(expecting.as_object().unwrap().clone());
            assert_eq!(fake::run::<Shell>(options, lost()).await.0, "ok");
        }
    }

    #[tokio::test]
    async fn a_machine_that_is_not_there_yet_is_tried_again_for_the_given_time() {
        let options = json!({"inline": ["x"], "remote_path": "/s"});
        let (ended, log) = fake::run::<Shell>(options.clone(), Machine::refusing_uploads(2)).await;
        assert_eq!(ended, "ok");
        assert_eq!(log.iter().filter(|line| line.starts_with("refuse")).count(), 2);
        let (ended, log) = fake::run::<Shell>(options, Machine::answering([Answer::Refuse])).await;
        assert_eq!((ended.as_str(), log.len()), ("ok", 3));
        let options = json!({
            "inline": ["x"], "remote_path": "/tmp/script.sh", "start_retry_timeout": "100ms"
        });
        let (ended, _) = fake::run::<Shell>(options, Machine::refusing_uploads(usize::MAX)).await;
        let why = "cannot upload it to /tmp/script.sh (tried for 100ms): no route to host";
        assert!(ended.contains(why), "{ended}");
    }

    #[tokio::test]
    async fn what_the_machine_refuses_for_good_is_not_tried_again() {
        let options = json!({"inline": ["x"], "remote_path": "/s", "start_retry_timeout": "1m"});
        let started = Instant::now();
        let (ended, log) = fake::run::<Shell>(options, Machine::denying_uploads()).await;
        assert_eq!(
            ended,
            "the inline script: cannot upload it to /s: the machine says: permission denied"
        );
        assert_eq!(log.iter().filter(|line| line.starts_with("refuse")).count(), 1);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn an_interrupted_script_is_left_and_removed() {
        let machine = Machine::answering([Answer::Hang]);
        let (cx, _said) = fake::context(machine.clone());
        let interrupted = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cx.cancel.cancel();
        };
        let shell = shell(json!({"inline": ["x"], "remote_path": "/s"}));
        let (ended, ()) = tokio::join!(shell.provision(&cx), interrupted);
        assert!(ended.unwrap_err().is::<retry::Cancelled>());
        assert_eq!(machine.log().last().unwrap(), "run rm -f /s");
    }

    #[tokio::test]
    async fn pause_after_is_said_and_waited_for() {
        let (cx, mut said) = fake::context(Machine::answering([]));
        let before = Instant::now();
        shell(json!({"inline": ["x"], "pause_after": "30ms"})).provision(&cx).await.unwrap();
        assert!(before.elapsed() >= Duration::from_millis(30));
        assert_eq!(fake::said(&mut said)[1], "Pausing 30ms after this provisioner...");
    }

    #[tokio::test]
    async fn a_script_that_cannot_be_run_is_explained() {
        let options = json!({"inline": ["x"], "remote_path": "/tmp/s"});
        let (ended, _) = fake::run::<Shell>(options, Machine::answering([Answer::Exit(126)])).await;
        for part in ["/tmp/s cannot be run", "noexec", "`remote_folder`", "{{.Vars}} sh {{.Path}}"]
        {
            assert!(ended.contains(part), "{ended}");
        }
    }

    #[test]
    fn variables_that_end_the_quotes_around_them_are_refused() {
        let command = "sudo -S sh -c '{{ .Vars }} {{ .Path }}'";
        let with = |packages: &str| json!({"inline": ["x"], "execute_command": command, "env": {"PACKAGES": packages}});
        assert!(fake::prepare::<Shell>(with("curl")).is_ok());
        assert_eq!(
            fake::prepare::<Shell>(with("curl git")).unwrap_err(),
            [
                "the value of `execute_command` cannot be used: `{{.Vars}}` stands in quotes, and the \
              value of `PACKAGES` ends them: the script would not run"
            ]
        );
        // What is not known yet may be harmless.
        assert!(fake::prepare::<Shell>(with(crate::config::UNKNOWN)).is_ok());
        let mut with_file = with("curl git");
        with_file["use_env_var_file"] = true.into();
        assert!(fake::prepare::<Shell>(with_file).is_ok());
    }

    #[test]
    fn all_that_is_wrong_with_the_options_is_said_at_once() {
        let wrong = json!({
            "inline": ["x"], "script": "/no/such/file", "environment_vars": ["=x", "y"],
            "env_var_format": "%s"
        });
        insta::assert_snapshot!(fake::prepare::<Shell>(wrong).unwrap_err().join("\n"), @r"
        the value of `environment_vars` cannot be used: `=x` is not of the form NAME=value
        the value of `environment_vars` cannot be used: `y` is not of the form NAME=value
        the value of `inline` cannot be used: `script` is given too
        the value of `env_var_format` cannot be used: nothing stands for the value: `%s` is missing
        ");
        let none = fake::prepare::<Shell>(json!({"inline": []})).unwrap_err();
        assert_eq!(none, ["`shell` needs `inline`: required here"]);
    }

    #[test]
    fn lines_end_in_lf_and_nothing_else_changes() {
        assert_eq!(unix_lines(b"a\r\nb\rc\r\n"), &b"a\nb\rc\n"[..]);
        assert_eq!(unix_lines(b"a"), &b"a\n"[..]);
        assert_eq!(unix_lines(b""), &b""[..]);
        assert!(matches!(unix_lines(b"a\n"), Cow::Borrowed(_)));
    }
}
