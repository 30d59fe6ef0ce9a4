//! `boot-test`: the image must hold what it promises, before anybody else sees it.
//!
//! The builder starts a machine from what it has just made, as it started the one that it provisioned,
//! and connects to it; here is what is looked at then. Only an image that has passed is copied, shared
//! and given to the post-processors. As a post-processor it has nothing left to do.

mod goss;
mod question;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{anyhow, bail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::component::{
    Artifact, Check, Component, Exit, ImageTest, PostProcessContext, PostProcessor, Processed,
    ProvisionContext, Provisioner,
};
use crate::config::GoDuration;
use crate::guest::harmless;
use crate::provisioner::check_file;
use crate::provisioner::powershell::PowerShell;
use crate::provisioner::shell::{self, Shell};
use crate::retry::{self, Backoff};
use crate::script;

use self::goss::Goss;
use self::question::Question;

/// The options of `boot-test`, beside those that say which scripts are run.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// TCP ports on which some program of the machine must listen.
    pub listening: Vec<u16>,
    /// URLs that the machine itself must get with success, e.g. `http://localhost:8080/health`; it does so
    /// with its `curl` or `wget`, or with PowerShell.
    pub http: Vec<String>,
    /// How long ports and URLs may take to be there: a machine that has just started is starting its
    /// services still.
    #[default(GoDuration::from_secs(60))]
    pub patience: GoDuration,
    /// A file of `goss`, which says what must hold of the machine.
    pub goss_file: Option<PathBuf>,
    /// The program `goss` for the machine, which is uploaded; if not given, the machine has its own. For
    /// Windows it is that of Windows (`goss-windows-amd64.exe`).
    pub goss_program: Option<PathBuf>,
    /// Whether an image that fails stays, to be looked at. It is not copied, shared or published. An AMI does
    /// not stay where `force_deregister` would have it replace another.
    pub keep_failed: bool,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct BootTest {
    keep_failed: bool,
    checks: Checks,
}

/// All that is looked at.
#[derive(Debug)]
struct Checks {
    own: Options,
    scripts: Option<Scripts>,
}

/// The scripts, for whatever shell the machine has.
#[derive(Debug)]
struct Scripts {
    posix: Shell,
    windows: PowerShell,
}

impl Scripts {
    fn prepare(scripts: script::Options, check: &mut Check<'_>) -> Option<Self> {
        let posix = Shell::prepare((scripts.clone(), shell::Options::default()), check)?;
        let windows = PowerShell::usual(scripts, posix.work().clone(), check)?;
        Some(Self { posix, windows })
    }

    /// Those that the machine understands.
    fn of(&self, cx: &ProvisionContext) -> &dyn Provisioner {
        match cx.communicator.shell().is_posix() {
            true => &self.posix,
            false => &self.windows,
        }
    }
}

impl Component for BootTest {
    const TYPE: &'static str = "boot-test";
    const ABOUT: &'static str =
        "Starts a machine from the image and tests it, before the image is copied or published.";
    type Options = (script::Options, Options);

    fn lint((scripts, _): &Self::Options, check: &mut Check<'_>) {
        scripts.lint(check);
    }

    fn prepare((scripts, own): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let runs =
            !scripts.inline.is_empty() || scripts.script.is_some() || !scripts.scripts.is_empty();
        for (option, path) in [("goss_file", &own.goss_file), ("goss_program", &own.goss_program)] {
            check_file(check, option, path.as_deref().and_then(Path::to_str));
        }
        if own.goss_program.is_some() && own.goss_file.is_none() {
            check.missing("goss_file", "say what `goss` is to test");
        }
        if own.patience.is_negative() {
            check.error("patience", "it is below zero: `0s` looks once");
        }
        if own.listening.contains(&0) {
            check.error("listening", "no program listens on port 0: ports are 1 to 65535");
        }
        let is_http = |url: &&String| !url.starts_with("http://") && !url.starts_with("https://");
        for url in own.http.iter().filter(is_http) {
            check.error("http", format!("`{url}` is no URL of HTTP"));
        }
        let scripts = match runs {
            true => Some(Scripts::prepare(scripts, check)?),
            false => {
                check.idle(&["environment_vars", "env", "valid_exit_codes"], "without a script");
                None
            }
        };
        Some(Self { keep_failed: own.keep_failed, checks: Checks { own, scripts } })
    }
}

#[async_trait]
impl PostProcessor for BootTest {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        // The builder had it tested before there was an artifact, and tests are part of what an image is
        // made from.
        if input.was_there() {
            cx.ui.say(
                "The image is one of an earlier run, which has passed: it is not tested again",
            );
        }
        Ok(Processed { artifact: Some(input), keep_input: true, keep_forced: true })
    }

    fn makes(&self, input: Option<&'static str>) -> Option<&'static str> {
        input
    }

    fn image_test(&self) -> Option<ImageTest<'_>> {
        Some(ImageTest { checks: &self.checks, keep_failed: self.keep_failed })
    }
}

/// Waits between looks at what a machine is starting.
const LOOKS: Backoff = Backoff {
    first: std::time::Duration::from_millis(500),
    factor: 1.5,
    longest: std::time::Duration::from_secs(5),
};

#[async_trait]
impl Provisioner for Checks {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        let mut files = match &self.scripts {
            Some(scripts) => scripts.posix.reads()?,
            None => Vec::new(),
        };
        files.extend(self.own.goss_file.iter().chain(&self.own.goss_program).cloned());
        Some(files)
    }

    /// All checks, so that all that is wrong is said at once.
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        let mut count = 0;
        let mut note = |what: String, result: anyhow::Result<()>| {
            count += 1;
            match result {
                Ok(()) => cx.ui.say(format!("✓ {what}")),
                Err(error) => {
                    cx.ui.error(format!("✗ {what}: {error:#}"));
                    failed.push(format!("{what}: {error:#}"));
                }
            }
        };
        for port in &self.own.listening {
            note(format!("port {port}"), self.until(cx, Question::Listens(*port)).await);
        }
        for url in &self.own.http {
            note(url.clone(), self.until(cx, Question::Gets(url)).await);
        }
        if let Some(scripts) = &self.scripts {
            note("scripts".to_owned(), scripts.of(cx).provision(cx).await);
        }
        if let Some(file) = &self.own.goss_file {
            let goss = Goss { file, program: self.own.goss_program.as_deref() };
            note(file.display().to_string(), goss.test(cx).await);
        }
        retry::or_cancelled(&cx.cancel, std::future::ready(())).await?;
        match failed.as_slice() {
            [] => Ok(()),
            [one] if count == 1 => Err(anyhow!("{one}")),
            several => bail!("{} of {count} checks failed: {}", several.len(), several.join("; ")),
        }
    }
}

impl Checks {
    /// Asks until the machine says yes, or the time is over.
    async fn until(&self, cx: &ProvisionContext, question: Question<'_>) -> anyhow::Result<()> {
        let question = question.command(cx.communicator.shell());
        let begun = Instant::now();
        let mut waits = LOOKS.waits();
        loop {
            let ask = cx.communicator.run_captured(&question);
            let (exit, said) = retry::or_cancelled(&cx.cancel, ask).await??;
            if exit == Exit::Status(0) {
                return Ok(());
            }
            let wait = waits.next().unwrap_or(LOOKS.longest);
            if begun.elapsed() + wait >= self.own.patience.get() {
                let said = harmless(&said.stderr);
                let last = said.lines().next_back().unwrap_or("no").to_owned();
                bail!("not within {}: {last}", self.own.patience);
            }
            retry::sleep(&cx.cancel, wait).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Machine};

    #[tokio::test]
    async fn a_machine_of_windows_is_asked_in_its_own_language() {
        let options = json!({
            "listening": [5985],
            "http": ["http://localhost/it's"],
            "inline": ["Get-Service W32Time"],
        });
        let test = fake::prepare::<BootTest>(options).unwrap();
        let machine = Machine::windows();
        let (cx, _said) = fake::context(machine.clone());
        test.checks.provision(&cx).await.unwrap();
        let log = machine.log();
        let asked: Vec<String> = log.iter().filter_map(|line| decoded(line)).collect();
        assert!(
            asked[0].contains("GetActiveTcpListeners()") && asked[0].contains("5985"),
            "{log:?}"
        );
        assert!(asked[1].contains("-Uri 'http://localhost/it''s'"), "{log:?}");
        let script = log.iter().find(|line| line.contains("Get-Service W32Time")).unwrap();
        assert!(script.contains(".ps1") && !script.contains("#!/bin/sh"), "{script}");
    }

    #[tokio::test]
    async fn goss_tests_a_machine_of_windows_and_nothing_of_it_stays() {
        let (dir, file) = fake::local_file("web.yml", b"port: {}");
        let program = dir.path().join("goss-windows-amd64.exe");
        std::fs::write(&program, "MZ").unwrap();
        for (program, status, said) in [
            (Some(&program), 0, ""),
            (None, 127, "the machine has no `goss`: give `goss_program`"),
            (None, 1, "goss ended with status 1"),
        ] {
            let mut options = json!({ "goss_file": file });
            if let Some(program) = program {
                options["goss_program"] = json!(program);
            }
            let test = fake::prepare::<BootTest>(options).unwrap();
            let machine = Machine::windows_answering(fake::Answer::Exit(status));
            let (cx, _) = fake::context(machine.clone());
            let tested = test.checks.provision(&cx).await;
            let tested = tested.err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(tested.contains(said) && tested.is_empty() == said.is_empty(), "{tested}");
            let log = machine.log();
            assert!(log[0].starts_with(&format!("upload {} c:/Windows/Temp", file.display())));
            assert_eq!(log.len(), 2 + usize::from(program.is_some()), "{log:?}");
            let asked = decoded(log.last().unwrap()).unwrap();
            let uploaded = log[0].rsplit(' ').next().unwrap();
            assert_eq!(asked.matches(uploaded).count(), 2, "{asked}");
            assert_eq!(asked.contains("-goss.exe' -g '"), program.is_some(), "{asked}");
            assert!(asked.contains("$env:GOSS_USE_ALPHA = '1'"), "{asked}");
        }
    }

    /// What an encoded command of PowerShell says.
    fn decoded(line: &str) -> Option<String> {
        use base64::Engine as _;
        let (_, text) = line.split_once("-EncodedCommand ")?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        let words = bytes.chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
        String::from_utf16(&words.collect::<Vec<_>>()).ok()
    }
}
