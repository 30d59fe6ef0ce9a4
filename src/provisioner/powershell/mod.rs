//! `powershell`: runs PowerShell scripts on the machine, as its user or elevated.

use std::path::PathBuf;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;
use uuid::Uuid;

use crate::component::{Check, Command, Component, ProvisionContext, Provisioner, Upload};
use crate::config::{GoDuration, Late, late_fields};
use crate::guest::shell::{Cmd, Shell as _, escape_powershell, quote_powershell};
use crate::interpolate::Dot;
use crate::peer;
use crate::provisioner::base_name;
use crate::provisioner::elevated::Elevation;
use crate::provisioner::fields::rendered_with;
use crate::provisioner::remote::Remote;
use crate::script::{self, LARGEST_SCRIPT, VariableFormat, Work};

late_fields! {
    /// The fields of `execute_command` and `elevated_execute_command`.
    pub PowerShellFields = ["Path", "Vars"] and the build;
}

/// What Windows may let PowerShell run; with `none`, nothing is said of it on the command line.
const POLICIES: [&str; 8] = [
    "bypass",
    "allsigned",
    "default",
    "remotesigned",
    "restricted",
    "undefined",
    "unrestricted",
    "none",
];

/// The options of `powershell`, beside those of every shell.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PowerShellOptions {
    /// Changes nothing: scripts are always uploaded as they are.
    pub binary: bool,
    /// How one variable is written: two `%s`, for the name and the value, whose `` ` ``, `$`, `"`
    /// and `'` are already escaped.
    #[default(FORMAT.to_owned())]
    pub env_var_format: String,
    /// The same for elevated runs.
    #[default(FORMAT.to_owned())]
    pub elevated_env_var_format: String,
    /// What Windows lets PowerShell run: `bypass`, `allsigned`, `default`, `remotesigned`,
    /// `restricted`, `undefined`, `unrestricted`; with `none` nothing is said of it.
    #[default(POLICIES[0].to_owned())]
    pub execution_policy: String,
    /// Runs `pwsh` (PowerShell 7) instead of `powershell`.
    pub use_pwsh: bool,
    /// 1 or 2: prints each line before it runs (`Set-PsDebug -Trace`).
    pub debug_mode: u8,
    /// The command that runs a script, for `cmd`: `{{.Path}}` is where it is on the machine,
    /// `{{.Vars}}` is the file that sets its variables. Default: one that reads that file, runs the
    /// script and ends with its status.
    pub execute_command: Option<Late<PowerShellFields>>,
    /// The same for elevated runs. Default: that of `execute_command`.
    pub elevated_execute_command: Option<Late<PowerShellFields>>,
    /// Where scripts are uploaded to; a directory if it ends in a slash. Default: a new file in
    /// `c:/Windows/Temp`.
    pub remote_path: Option<String>,
    /// Where the file that sets the variables is uploaded to. Default: a new file in
    /// `c:/Windows/Temp`.
    pub remote_env_var_path: Option<String>,
    /// For how long starting a script is tried again: a machine may be rebooting.
    #[default(GoDuration::from_secs(300))]
    pub start_retry_timeout: GoDuration,
    /// Leaves the scripts on the machine, and does not pause.
    pub skip_clean: bool,
    /// How long to wait after the last script.
    pub pause_after: GoDuration,
}

const FORMAT: &str = r#"$env:%s="%s"; "#;

/// Keeps PowerShell from writing progress to the error stream.
const QUIET: &str = "if (Test-Path variable:global:ProgressPreference){set-variable -name variable:global:ProgressPreference -value 'SilentlyContinue'}";
/// Tells Windows PowerShell that a file is UTF-8.
const MARK: &str = "\u{feff}";

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct PowerShell {
    work: Work,
    scripts: script::Options,
    own: PowerShellOptions,
    elevation: Elevation,
    format: VariableFormat,
    remote_path: String,
    variable_file: String,
}

impl Component for PowerShell {
    const TYPE: &'static str = "powershell";
    const ABOUT: &'static str = "Runs PowerShell scripts or commands on a Windows machine.";
    type Options = (script::Options, PowerShellOptions, Elevation);

    fn lint((scripts, ..): &Self::Options, check: &mut Check<'_>) {
        scripts.lint(check);
    }

    fn prepare((scripts, own, elevation): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let work = scripts.check(check);
        let format = match elevation.is_wanted() {
            true => VariableFormat::check_as(
                "elevated_env_var_format",
                &own.elevated_env_var_format,
                check,
            ),
            false => VariableFormat::check(&own.env_var_format, check),
        };
        elevation.check(check);
        if !POLICIES.contains(&own.execution_policy.to_lowercase().as_str()) {
            let help = Some(format!("use one of {}", POLICIES.join(", ")));
            check.error("execution_policy", "there is no such policy").help = help;
        }
        if own.debug_mode > 2 {
            check.error("debug_mode", "it is 0, 1 or 2");
        }
        Some(Self::new((scripts, work?), own, elevation, format?))
    }
}

impl PowerShell {
    /// One that runs `scripts`, which are checked, as it usually does.
    pub(crate) fn usual(
        scripts: script::Options,
        work: Work,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        let own = PowerShellOptions::default();
        let format = VariableFormat::check(&own.env_var_format, check)?;
        Some(Self::new((scripts, work), own, Elevation::default(), format))
    }

    fn new(
        (scripts, work): (script::Options, Work),
        own: PowerShellOptions,
        elevation: Elevation,
        format: VariableFormat,
    ) -> Self {
        let new =
            |kind: &str| format!("{}/{kind}-{}.ps1", Cmd.temporary_directory(), Uuid::new_v4());
        let remote_path = match own.remote_path.clone() {
            None => new("script"),
            Some(path) if Cmd.ends_as_directory(&path) => match &work {
                Work::Inline(_) => format!("{path}script.ps1"),
                Work::Files(files) => {
                    let first = files.first().map(|file| file.display().to_string());
                    format!("{path}{}", base_name(&first.unwrap_or_default()))
                }
            },
            Some(path) => path,
        };
        let variable_file =
            own.remote_env_var_path.clone().unwrap_or_else(|| new("packer-ps-env-vars"));
        Self { work, scripts, own, elevation, format, remote_path, variable_file }
    }
}

#[async_trait]
impl Provisioner for PowerShell {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        self.work.reads()
    }

    fn waits_first(&self) -> Option<&'static str> {
        self.scripts.wait_first(&["Start-Sleep", "sleep"])
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let remote = Remote::patient(cx, self.own.start_retry_timeout);
        let run = self.run_scripts(cx, &remote).await;
        if self.own.skip_clean {
            return run;
        }
        remote.clean_up(&run, &Cmd.remove_files(&[&self.remote_path, &self.variable_file])).await;
        run?;
        remote.pause_after(self.own.pause_after).await
    }
}

impl PowerShell {
    async fn run_scripts(&self, cx: &ProvisionContext, remote: &Remote<'_>) -> anyhow::Result<()> {
        let variables = self.scripts.variables(&cx.facts);
        let variables = self.format.write_with(&variables, escape_powershell);
        cx.ui.say("Provisioning with Powershell...");
        match &self.work {
            Work::Inline(lines) => {
                cx.ui.say("Provisioning with powershell script: inline");
                // Ours has the variables in the script.
                if self.given_command().1.is_some() {
                    self.upload_variables(remote, &variables).await?;
                }
                let text = self.inline_script(lines, &variables);
                self.run_text(cx, remote, text.as_bytes()).await.context("the inline script")
            }
            Work::Files(files) => {
                for file in files {
                    cx.ui.say(format!("Provisioning with powershell script: {}", file.display()));
                    let run = async {
                        let text = peer::read_regular(file, LARGEST_SCRIPT);
                        let text = text.context("cannot be read")?;
                        self.upload_variables(remote, &variables).await?;
                        self.run_text(cx, remote, &text).await
                    };
                    run.await.with_context(|| format!("the script {}", file.display()))?;
                }
                Ok(())
            }
        }
    }

    async fn upload_variables(&self, remote: &Remote<'_>, variables: &str) -> anyhow::Result<()> {
        let file = format!("{MARK}{variables}\r\n{}", self.removal_of_variables());
        let from = Upload::Text { content: file.as_bytes(), mode: 0o600 };
        remote.upload("upload the variables", from, &self.variable_file).await
    }

    /// What has the file with the variables remove itself once it is read: it may have secrets in it, and
    /// nobody may be there at the end. A command of the template may want to read it twice.
    fn removal_of_variables(&self) -> String {
        match self.own.skip_clean || self.given_command().1.is_some() {
            true => String::new(),
            false => {
                let path = quote_powershell(&self.variable_file);
                format!("Remove-Item -LiteralPath {path} -Force -ErrorAction SilentlyContinue\r\n")
            }
        }
    }

    /// The option that says how a script is run, and what the template has for it.
    fn given_command(&self) -> (&'static str, Option<&Late<PowerShellFields>>) {
        match self.elevation.is_wanted() {
            true => ("elevated_execute_command", self.own.elevated_execute_command.as_ref()),
            false => ("execute_command", self.own.execute_command.as_ref()),
        }
    }

    /// The commands with all that they need: an error in one of them ends the script.
    fn inline_script(&self, lines: &[String], variables: &str) -> String {
        let trace = self.trace();
        let lines = lines.join("\r\n");
        format!(
            "{MARK}{QUIET}\r\n{trace}\r\n$imgbakeStatus = 0\r\ntry {{\r\n{variables}\r\n{lines}\r\n}} catch {{\r\n\
             [Console]::Error.WriteLine(($_ | Out-String))\r\n$imgbakeStatus = 1\r\n}}\r\n\
             if ($LASTEXITCODE) {{ $imgbakeStatus = $LASTEXITCODE }}\r\nexit $imgbakeStatus\r\n"
        )
    }

    fn trace(&self) -> String {
        match self.own.debug_mode {
            0 => String::new(),
            mode => format!("Set-PsDebug -Trace {mode};"),
        }
    }

    async fn run_text(
        &self,
        cx: &ProvisionContext,
        remote: &Remote<'_>,
        text: &[u8],
    ) -> anyhow::Result<()> {
        let from = Upload::Text { content: text, mode: 0o600 };
        remote.upload("upload it", from, &self.remote_path).await?;
        let (option, given) = self.given_command();
        let mut dot: Dot = cx.facts.scope.build_data.clone().unwrap_or_default();
        dot.insert("Vars".into(), self.variable_file.as_str().into());
        dot.insert("Path".into(), self.remote_path.as_str().into());
        let own = Late::new(self.standard());
        let template = given.unwrap_or(&own);
        let command = rendered_with(cx, option, template, &dot)?;
        let command = match given {
            Some(_) => Command::Template(&command),
            None => Command::Ours(&command),
        };
        let exit = self.elevation.run(cx, remote, command).await?;
        self.scripts.accept(exit.status()).map_err(anyhow::Error::msg)
    }

    /// `execute_command` where the template has none.
    fn standard(&self) -> String {
        let program = if self.own.use_pwsh { "pwsh" } else { "powershell" };
        let policy = match self.own.execution_policy.to_lowercase() {
            none if none == "none" => String::new(),
            policy => format!("-executionpolicy {policy} "),
        };
        if matches!(self.work, Work::Inline(_)) {
            return format!("{program} {policy}-file {{{{.Path}}}}");
        }
        let trace = self.trace();
        let command = if self.own.use_pwsh { "-command " } else { "" };
        format!(
            r#"{program} {policy}{command}"& {{ {QUIET};{trace}. {{{{.Vars}}}}; &'{{{{.Path}}}}'; exit $LastExitCode }}""#
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Machine};

    async fn run(options: serde_json::Value) -> Vec<String> {
        let machine = Machine::windows();
        let (cx, _said) = fake::context(machine.clone());
        fake::prepare::<PowerShell>(options).unwrap().provision(&cx).await.unwrap();
        machine.log()
    }

    #[tokio::test]
    async fn inline_commands_are_one_script_with_their_variables() {
        let log = run(json!({
            "inline": ["Get-Date"], "env": {"A": "`$\"' %\n€"}, "remote_path": "c:/s.ps1"
        }))
        .await;
        assert!(log[0].starts_with("write 600 c:/s.ps1\n\u{feff}if (Test-Path"), "{}", log[0]);
        assert!(log[0].contains("$env:A=\"```$`\"`' %\n€\"; $env:PACKER_BUILDER_TYPE=\"null\"; "));
        assert_eq!(log[1], "run powershell -executionpolicy bypass -file c:/s.ps1");
        assert!(log[2].starts_with(r#"run del /f /q "c:\s.ps1" "#), "{}", log[2]);
    }

    #[tokio::test]
    async fn a_command_of_the_template_finds_its_variables_for_inline_commands_too() {
        let log = run(json!({
            "inline": ["x"], "remote_path": "c:/s.ps1", "remote_env_var_path": "c:/v.ps1",
            "execute_command": "powershell \". {{.Vars}}; &'{{.Path}}'\""
        }))
        .await;
        assert!(log[0].starts_with("write 600 c:/v.ps1\n\u{feff}$env:PACKER_BUILDER_TYPE="));
        assert!(!log[0].contains("Remove-Item"), "the command may read it twice: {}", log[0]);
        assert!(log[1].starts_with("write 600 c:/s.ps1\n"), "{}", log[1]);
        assert_eq!(log[2], "login powershell \". c:/v.ps1; &'c:/s.ps1'\"");
    }

    #[tokio::test]
    async fn scripts_are_run_with_the_file_that_sets_their_variables() {
        let (_dir, file) = fake::local_file("x.ps1", b"exit 0\r\n");
        let log = run(json!({
            "scripts": [file], "remote_path": "c:/t/", "remote_env_var_path": "c:/v.ps1",
            "use_pwsh": true, "execution_policy": "none", "debug_mode": 1
        }))
        .await;
        assert!(log[0].starts_with("write 600 c:/v.ps1\n\u{feff}$env:PACKER_BUILDER_TYPE="));
        let removal =
            "\r\nRemove-Item -LiteralPath 'c:/v.ps1' -Force -ErrorAction SilentlyContinue\r\n";
        assert!(log[0].ends_with(removal), "{}", log[0]);
        assert_eq!(log[1], "write 600 c:/t/x.ps1\nexit 0\r\n");
        assert_eq!(
            log[2],
            format!(
                "run pwsh -command \"& {{ {QUIET};Set-PsDebug -Trace 1;. c:/v.ps1; \
                 &'c:/t/x.ps1'; exit $LastExitCode }}\""
            )
        );
    }

    #[tokio::test]
    async fn an_elevated_run_tells_the_password_to_a_file_only() {
        let log = run(json!({
            "inline": ["Get-Date"], "elevated_user": "vagrant", "elevated_password": "it's `$",
            "remote_path": "c:/s.ps1"
        }))
        .await;
        let (path, text) = log[1].strip_prefix("write 600 ").unwrap().split_once('\n').unwrap();
        assert!(text.contains("$password = 'it''s `$'\n"), "{text}");
        assert!(text.contains("$command = 'powershell -executionpolicy bypass -file c:/s.ps1'\n"));
        assert_eq!(log[2], format!("run powershell -executionpolicy bypass -file \"{path}\""));
        assert!(log[3].starts_with("run del ") && !log[2..].concat().contains("it's"));
    }

    #[test]
    fn a_password_needs_its_user() {
        let wrong = json!({"inline": ["x"], "elevated_password": "p", "debug_mode": 3});
        let found = fake::prepare::<PowerShell>(wrong).unwrap_err();
        assert_eq!(
            found,
            [
                "`powershell` needs `elevated_user`: required here",
                "the value of `debug_mode` cannot be used: it is 0, 1 or 2"
            ]
        );
    }
}
