//! `windows-shell`: runs batch files on the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::component::{Check, Command, Component, Exit, ProvisionContext, Provisioner, Upload};
use crate::config::{GoDuration, Late, late_fields};
use crate::guest::shell::{Cmd, Shell as _};
use crate::interpolate::Dot;
use crate::peer;
use crate::provisioner::environment::{self, cmd_can_say};
use crate::provisioner::fields::rendered_with;
use crate::provisioner::remote::Remote;
use crate::script::{self, LARGEST_SCRIPT, VariableFormat, Work};

late_fields! {
    /// The fields of `execute_command`.
    pub BatchFields = ["Path", "Vars"] and the build;
}

/// The options of `windows-shell`, beside those of every shell.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BatchOptions {
    /// How `{{.Vars}}` writes one variable: two `%s`, for the name and the value, which is not
    /// changed. With the default, a value that `cmd` cannot say in its command line (one with `%`,
    /// quotes, or several lines) and a secret are set by PowerShell before.
    #[default(r#"set "%s=%s" && "#.to_owned())]
    pub env_var_format: String,
    /// The command that runs a script, for `cmd`: `{{.Path}}` is where it is on the machine,
    /// `{{.Vars}}` are its variables.
    #[default(Late::new(r#"{{.Vars}}"{{.Path}}""#))]
    pub execute_command: Late<BatchFields>,
    /// Where scripts are uploaded to.
    #[default(format!("{}/script.bat", Cmd.temporary_directory()))]
    pub remote_path: String,
    /// For how long starting a script is tried again: a machine may be rebooting.
    #[default(GoDuration::from_secs(300))]
    pub start_retry_timeout: GoDuration,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct WindowsShell {
    work: Work,
    scripts: script::Options,
    own: BatchOptions,
    format: VariableFormat,
}

impl Component for WindowsShell {
    const TYPE: &'static str = "windows-shell";
    const ABOUT: &'static str = "Runs batch files or commands of `cmd` on a Windows machine.";
    type Options = (script::Options, BatchOptions);

    fn lint((scripts, _): &Self::Options, check: &mut Check<'_>) {
        scripts.lint(check);
    }

    fn prepare((scripts, own): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let work = scripts.check(check);
        let format = VariableFormat::check(&own.env_var_format, check)?;
        Some(Self { work: work?, scripts, own, format })
    }
}

#[async_trait]
impl Provisioner for WindowsShell {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        self.work.reads()
    }

    fn waits_first(&self) -> Option<&'static str> {
        self.scripts.wait_first(&["timeout"])
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let remote = Remote::patient(cx, self.own.start_retry_timeout);
        let run = self.run_scripts(cx, &remote).await;
        remote.clean_up(&run, &Cmd.remove_files(&[&self.own.remote_path])).await;
        run
    }
}

impl WindowsShell {
    async fn run_scripts(&self, cx: &ProvisionContext, remote: &Remote<'_>) -> anyhow::Result<()> {
        match &self.work {
            Work::Inline(lines) => {
                cx.ui.say("Provisioning with windows-shell: inline");
                let text = format!("{}\r\n", lines.join("\r\n"));
                self.run_text(cx, remote, text.as_bytes()).await.context("the inline script")
            }
            Work::Files(files) => {
                for file in files {
                    cx.ui.say(format!("Provisioning with windows-shell: {}", file.display()));
                    let run = self.run_file(cx, remote, file).await;
                    run.with_context(|| format!("the script {}", file.display()))?;
                }
                Ok(())
            }
        }
    }

    async fn run_file(
        &self,
        cx: &ProvisionContext,
        remote: &Remote<'_>,
        file: &Path,
    ) -> anyhow::Result<()> {
        let text = peer::read_regular(file, LARGEST_SCRIPT).context("cannot be read")?;
        self.run_text(cx, remote, &text).await
    }

    async fn run_text(
        &self,
        cx: &ProvisionContext,
        remote: &Remote<'_>,
        text: &[u8],
    ) -> anyhow::Result<()> {
        let from = Upload::Text { content: text, mode: 0o644 };
        remote.upload("upload it", from, &self.own.remote_path).await?;
        let variables = self.scripts.variables(&cx.facts);
        // All users of a machine see the command lines of its processes.
        let is_open = |value: &String| cmd_can_say(value) && !cx.redactor.holds(value);
        let exit = match self.is_standard() && !variables.values().all(is_open) {
            true => self.run_in_environment(remote, &variables).await?,
            false => {
                let mut dot: Dot = cx.facts.scope.build_data.clone().unwrap_or_default();
                dot.insert("Vars".into(), self.format.write_as_is(&variables).into());
                dot.insert("Path".into(), self.own.remote_path.as_str().into());
                let template = &self.own.execute_command;
                let command = rendered_with(cx, "execute_command", template, &dot)?;
                if cx.redactor.holds(&command) {
                    cx.ui.say(
                        "`execute_command` puts a secret on a command line, which all users of the \
                         machine see while it runs.",
                    );
                }
                let command = match *template == BatchOptions::default().execute_command {
                    true => Command::Ours(&command),
                    false => Command::Template(&command),
                };
                remote.run("start it", command).await?
            }
        };
        self.scripts.accept(exit.status()).map_err(anyhow::Error::msg)
    }

    /// Whether neither the command nor the variables are written as the template says.
    fn is_standard(&self) -> bool {
        let standard = BatchOptions::default();
        self.own.env_var_format == standard.env_var_format
            && self.own.execute_command == standard.execute_command
    }

    /// Runs the uploaded script with variables that a command line of `cmd` cannot say.
    async fn run_in_environment(
        &self,
        remote: &Remote<'_>,
        variables: &BTreeMap<String, String>,
    ) -> anyhow::Result<Exit> {
        let id = uuid::Uuid::new_v4();
        let path = format!("{}/packer-environment-{id}.ps1", Cmd.temporary_directory());
        let command = Cmd.path(&self.own.remote_path).into_owned();
        let (text, line) = environment::windows(&path, &command, variables);
        let from = Upload::Text { content: text.as_bytes(), mode: 0o600 };
        remote.upload("upload its variables", from, &path).await?;
        let exit = remote.run("start it", Command::Ours(&line)).await;
        // It has removed itself where it was started.
        if exit.is_err() {
            remote.clean_up_once(&Cmd.remove_files(&[&path])).await;
        }
        exit
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Answer, Machine};

    #[tokio::test]
    async fn a_script_is_uploaded_run_with_its_variables_and_removed() {
        let machine = Machine::answering([Answer::Exit(3)]);
        let (cx, _said) = fake::context(machine.clone());
        let options = json!({"inline": ["a", "b"], "env": {"A": "it's"}});
        let shell = fake::prepare::<WindowsShell>(options).unwrap();
        let error = shell.provision(&cx).await.unwrap_err();
        assert!(format!("{error:#}").contains("non-zero exit status: 3"), "{error:#}");
        assert_eq!(
            machine.log(),
            [
                "write 644 c:/Windows/Temp/script.bat\na\r\nb\r\n",
                r#"run set "A=it's" && set "PACKER_BUILDER_TYPE=null" && set "PACKER_BUILD_NAME=web" && "c:/Windows/Temp/script.bat""#,
                r#"run del /f /q "c:\Windows\Temp\script.bat" 2>nul"#,
            ]
        );
    }

    #[tokio::test]
    async fn the_script_is_removed_once_the_machine_that_it_restarts_is_back() {
        let answers = [Answer::Exit(0), Answer::Disconnect, Answer::Refuse, Answer::Exit(0)];
        let machine = Machine::answering(answers);
        let (cx, _said) = fake::context(machine.clone());
        let shell = fake::prepare::<WindowsShell>(json!({"inline": ["a"]})).unwrap();
        shell.provision(&cx).await.unwrap();
        let removals = machine.log().iter().filter(|line| line.starts_with("run del ")).count();
        assert_eq!(removals, 3);
    }

    #[tokio::test]
    async fn a_secret_is_on_no_command_line_of_the_machine() {
        let secret = "hunter22-and-more";
        let run = async |options: serde_json::Value| {
            let machine = Machine::answering([]);
            let (cx, mut said) = fake::context(machine.clone());
            cx.redactor.register(secret);
            fake::prepare::<WindowsShell>(options).unwrap().provision(&cx).await.unwrap();
            (machine.log(), fake::said(&mut said).join("\n"))
        };
        let (log, said) = run(json!({"inline": ["a"], "env": {"PW": secret}})).await;
        let open = log.iter().filter(|line| !line.starts_with("write ") && line.contains(secret));
        assert_eq!(open.count(), 0, "{log:?}");
        assert!(log.iter().any(|line| line.starts_with("write 600 ") && line.contains(secret)));
        assert!(!said.contains("command line"), "{said}");
        let own = json!({
            "inline": ["a"], "env": {"PW": secret}, "execute_command": "{{.Vars}}call {{.Path}}"
        });
        let (_, said) = run(own).await;
        assert!(said.contains("`execute_command` puts a secret on a command line"), "{said}");
    }
}
