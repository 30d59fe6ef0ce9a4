//! `boot-test`: the image must hold what it promises, before anybody else sees it.
//!
//! The builder starts a machine from what it has just made, as it started the one that it provisioned,
//! and connects to it; here is what is looked at then. Only an image that has passed is copied, shared
//! and given to the post-processors. As a post-processor it has nothing left to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{anyhow, bail, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::component::{
    Artifact, Check, Command, Component, Exit, ImageTest, PostProcessContext, PostProcessor,
    Processed, ProvisionContext, Provisioner, Upload,
};
use crate::config::GoDuration;
use crate::guest::harmless;
use crate::guest::shell::{Posix, Shell as _};
use crate::provisioner::check_file;
use crate::provisioner::shell::{self, Shell};
use crate::retry::{self, Backoff};
use crate::script;

/// The options of `boot-test`, beside those that say which scripts are run.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// TCP ports on which some program of the machine must listen.
    pub listening: Vec<u16>,
    /// URLs that the machine itself must get with success, e.g. `http://localhost:8080/health`; it does so
    /// with its `curl` or `wget`.
    pub http: Vec<String>,
    /// How long ports and URLs may take to be there: a machine that has just started is starting its
    /// services still.
    #[default(GoDuration::from_secs(60))]
    pub patience: GoDuration,
    /// A file of `goss`, which says what must hold of the machine.
    pub goss_file: Option<PathBuf>,
    /// The program `goss` for the machine, which is uploaded; if not given, the machine has its own.
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
    scripts: Option<Shell>,
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
            true => Some(Shell::prepare((scripts, shell::Options::default()), check)?),
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
        // The builder had it tested before there was an artifact.
        if input.was_there() {
            cx.ui.say("The image is one of an earlier run: it is not tested again");
        }
        Ok(Processed { artifact: Some(input), keep_input: true, keep_forced: true })
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
            note(format!("port {port}"), self.until(cx, &listens(*port)).await);
        }
        for url in &self.own.http {
            note(url.clone(), self.until(cx, &gets(url)).await);
        }
        if let Some(scripts) = &self.scripts {
            note("scripts".to_owned(), scripts.provision(cx).await);
        }
        if let Some(file) = &self.own.goss_file {
            note(file.display().to_string(), self.goss(cx, file).await);
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
    async fn until(&self, cx: &ProvisionContext, question: &str) -> anyhow::Result<()> {
        ensure!(cx.communicator.shell().is_posix(), "the machine has no POSIX shell: use a script");
        let begun = Instant::now();
        let mut waits = LOOKS.waits();
        loop {
            let ask = cx.communicator.run_captured(question);
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

    /// Has `goss` test what `file` says.
    async fn goss(&self, cx: &ProvisionContext, file: &Path) -> anyhow::Result<()> {
        let machine = &cx.communicator;
        ensure!(
            machine.shell().is_posix(),
            "the machine has no POSIX shell, which `goss` needs here"
        );
        let number = uuid::Uuid::new_v4().simple().to_string();
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or("yaml");
        let tests = format!("/tmp/imgbake-{number}.{ending}");
        let mut files = vec![tests.as_str()];
        machine.upload(Upload::File(file), &tests, &cx.ui).await?;
        let uploaded = format!("/tmp/imgbake-{number}-goss");
        let program = match &self.own.goss_program {
            Some(program) => {
                machine.upload(Upload::File(program), &uploaded, &cx.ui).await?;
                files.push(&uploaded);
                format!("{} && {}", Posix.make_executable(&uploaded), Posix.path(&uploaded))
            }
            None => "goss".to_owned(),
        };
        let test = format!("({program} -g {} validate --no-color)", Posix.path(&tests));
        let command = Posix.and_after(&test, &Posix.remove_files(&files));
        let run = machine.run_shown(Command::Ours(&command), &cx.ui);
        match retry::or_cancelled(&cx.cancel, run).await?? {
            Exit::Status(0) => Ok(()),
            Exit::Status(127) => bail!("the machine has no `goss`: give `goss_program`"),
            exit => bail!("goss ended with status {}: its lines above say why", exit.status()),
        }
    }
}

/// Succeeds where some program listens on `port`: as the kernel tells, whatever is installed.
fn listens(port: u16) -> String {
    let listens = format!(":{port:04X} [0-9A-F]+:0000 0A ");
    format!(
        "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -Eq {} || {{ echo nobody listens there >&2; exit 1; }}",
        Posix.word(&listens)
    )
}

/// Succeeds where `url` answers with success.
fn gets(url: &str) -> String {
    let url = Posix.word(url);
    format!(
        "if command -v curl >/dev/null; then curl -fsS -o /dev/null --max-time 10 {url}; \
         elif command -v wget >/dev/null; then wget -q -O /dev/null -T 10 {url}; \
         else echo it has neither curl nor wget >&2; exit 1; fi"
    )
}
