//! `shell-local`: scripts on this machine, the same as provisioner and as post-processor.
//!
//! A script gets the environment of imgbake itself plus the `PACKER_*` variables of the build.
//! `environment_vars` and `env` reach it only through `{{.Vars}}` of `execute_command`, so that
//! templates decide who sees them.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use smart_default::SmartDefault;
use tempfile::TempPath;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::component::{Check, Facts};
use crate::config::{Late, late_fields};
use crate::event::Ui;
use crate::fault::{Fault, Kind};
use crate::guest::shell::quote;
use crate::script::{self, VariableFormat, Work, child};

late_fields! {
    /// The fields of `execute_command`.
    pub CommandFields = ["Vars", "Script", "Command"] and the build;
}

/// A word of `execute_command`.
type Word = Late<CommandFields>;

/// The options of `shell-local`, beside those of every shell.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// One command: the old way to write an `inline` of one line.
    pub command: Option<String>,
    /// The program that runs each script, and its arguments. `{{.Vars}}` are the variables,
    /// `{{.Script}}` is the script's path, `{{.Command}}` is `command`. A single text is given to
    /// `sh -c`. Default: `["/bin/sh", "-c", "{{.Vars}} {{.Script}}"]`.
    #[serde(deserialize_with = "words_or_line")]
    #[schemars(with = "Vec<Word>")]
    pub execute_command: Vec<Word>,
    /// The interpreter of `inline` scripts, always written as their first line.
    #[default("/bin/sh -e".to_owned())]
    pub inline_shebang: String,
    /// How `{{.Vars}}` writes one variable: two `%s`, for the name and the value, whose `'` are
    /// already escaped.
    #[default("%s='%s' ".to_owned())]
    pub env_var_format: String,
    /// Operating systems to run on: `darwin`, `freebsd`, `linux`, `openbsd`, `solaris`, `windows`.
    /// On any other the scripts are skipped. Empty: all.
    pub only_on: Vec<String>,
    /// What the name of a temporary `inline` script ends in, e.g. `.sh`.
    pub tempfile_extension: String,
    /// For scripts that run in WSL on Windows: changes nothing where paths are Unix paths already.
    pub use_linux_pathing: bool,
    /// Accepted for templates that have it: local scripts are run as they are.
    pub binary: bool,
}

/// Systems that `only_on` may name.
const SYSTEMS: [&str; 6] = ["darwin", "freebsd", "linux", "openbsd", "solaris", "windows"];

/// This system's name among them.
fn this_system() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "illumos" => "solaris",
        other => other,
    }
}

/// `shell-local`, ready to run.
#[derive(Clone, Debug)]
pub struct LocalShell {
    work: Work,
    scripts: script::Options,
    own: Options,
    format: VariableFormat,
}

impl LocalShell {
    /// Checks the options.
    pub fn prepare(
        (mut scripts, own): (script::Options, Options),
        check: &mut Check<'_>,
    ) -> Option<Self> {
        if let Some(command) = &own.command {
            if !scripts.inline.is_empty() || scripts.script.is_some() || !scripts.scripts.is_empty()
            {
                check.error("command", "another of `inline`, `script` and `scripts` is given too");
            } else {
                scripts.inline = vec![command.clone()];
            }
        }
        let work = scripts.check(check);
        for name in own.only_on.iter().filter(|name| !SYSTEMS.contains(&name.as_str())) {
            check.error("only_on", format!("`{name}` is none of {}", SYSTEMS.join(", ")));
        }
        if own.use_linux_pathing && matches!(work, Some(Work::Inline(_))) {
            check.error("use_linux_pathing", "it is about script files, not about `inline`");
        }
        let format = VariableFormat::check(&own.env_var_format, check)?;
        for word in &own.execute_command {
            let help = "put `{{.Vars}}` outside of the quotes, as a word before `{{.Script}}`";
            scripts.check_quotes(word.raw(), &format, help, check);
        }
        Some(Self { work: work?, scripts, own, format })
    }

    /// Runs all scripts; the first that fails ends it.
    pub async fn run(
        &self,
        facts: &Facts,
        ui: &Ui,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        let only_on = &self.own.only_on;
        if !only_on.is_empty() && !only_on.iter().any(|name| name == this_system()) {
            ui.say(format!(
                "Skipping shell-local due to runtime OS: it runs on {}, this is {}",
                only_on.join(", "),
                this_system()
            ));
            return Ok(());
        }
        match &self.work {
            Work::Inline(lines) => {
                let file = self.inline_script(lines).context("cannot write the inline script")?;
                self.run_one(&file, facts, ui, cancel).await
            }
            Work::Files(files) => {
                for file in files {
                    let file = facts.scope.environment.cwd.join(file);
                    self.run_one(&file, facts, ui, cancel).await?;
                }
                Ok(())
            }
        }
    }

    fn inline_script(&self, lines: &[String]) -> std::io::Result<TempPath> {
        let content = format!("#!{}\n{}\n", self.own.inline_shebang, lines.join("\n"));
        child::temporary_script(&content, &self.own.tempfile_extension)
    }

    async fn run_one(
        &self,
        file: &Path,
        facts: &Facts,
        ui: &Ui,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        ui.say(format!("Running local shell script: {}", file.display()));
        let words = self.words(file, facts)?;
        let [program, arguments @ ..] = words.as_slice() else {
            anyhow::bail!("`execute_command` names no program");
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command.env_clear().envs(facts.scope.environment.vars());
        command.envs(script::build_variables(facts));
        let ended = child::run(command, ui, cancel).await;
        let status =
            ended.with_context(|| format!("cannot run {program} for {}", file.display()))?;
        let outcome = match status.code() {
            Some(code) => self.scripts.accept(u32::try_from(code).unwrap_or(u32::MAX)),
            None => Err(format!("Script was ended by a signal ({status})")),
        };
        outcome.map_err(|cause| {
            let error = anyhow::anyhow!("{cause} (script: {})", file.display());
            // It was started here, and what it did then is up to whoever wrote it.
            Fault::lasting(Kind::Template).mark(error)
        })
    }

    /// `execute_command` for `file`.
    fn words(&self, file: &Path, facts: &Facts) -> anyhow::Result<Vec<String>> {
        let path = file.display().to_string();
        let standard = ["/bin/sh", "-c", "{{.Vars}} {{.Script}}"].map(Word::new).to_vec();
        let (script, words) = match self.own.execute_command.as_slice() {
            [] => (quote(&path).into_owned(), standard),
            [line] => (path, vec![Word::new("sh"), Word::new("-c"), line.clone()]),
            words => (path, words.to_vec()),
        };
        let mut dot = facts.scope.build_data.clone().unwrap_or_default();
        let vars = self.format.write(&self.scripts.variables(facts));
        dot.insert("Vars".into(), vars.into());
        dot.insert("Script".into(), script.into());
        dot.insert("Command".into(), self.own.command.clone().unwrap_or_default().into());
        let rendered = words.iter().map(|word| word.render(&facts.scope, &dot));
        rendered.collect::<Result<_, _>>().context("cannot render `execute_command`")
    }
}

/// Several words, or one text that stays whole (it may contain commas).
fn words_or_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Word>, D::Error> {
    struct Written;
    impl<'de> de::Visitor<'de> for Written {
        type Value = Vec<Word>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of words, or one command line")
        }
        fn visit_str<E: de::Error>(self, line: &str) -> Result<Vec<Word>, E> {
            Ok(if line.is_empty() { Vec::new() } else { vec![Word::new(line)] })
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut words: A) -> Result<Vec<Word>, A::Error> {
            let mut all = Vec::new();
            while let Some(word) = words.next_element()? {
                all.push(word);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Written)
}
