//! The inputs of the action: what `with:` says in a workflow, as the runner hands it on.
//!
//! The runner sets `INPUT_NAME` for every input that `action.yml` declares, empty where the workflow
//! says nothing, and for those that nobody knows, too. All are read as text first: a value may be a
//! secret, and no error shows one.

mod channel;
mod mapping;
mod role;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

pub use self::channel::ChannelInputs;
use self::mapping::{Given, Mapping};
use crate::component::{KeepFailed, OnError, SkipUnchanged};
use crate::config::GoDuration;
use crate::diagnostic::did_you_mean;
use crate::env::Environment;
use crate::github::artifacts::ArtifactName;
use crate::lint::Wish;
use crate::secret::Secret;

/// What the action is asked for.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// What to do.
    pub command: Command,
    /// Templates: files, directories, patterns.
    pub templates: Vec<PathBuf>,
    /// Only these builds.
    pub only: Vec<String>,
    /// Without these builds and post-processors.
    pub except: Vec<String>,
    /// Values of variables, as `-var` takes them.
    pub variables: Vec<(String, String)>,
    /// Files with values of variables.
    pub variable_files: Vec<PathBuf>,
    /// Values of variables that nobody may see.
    pub secrets: Vec<(String, Secret)>,
    /// The texts that those values consist of.
    pub secret_texts: Vec<Secret>,
    /// What somebody may have meant otherwise.
    pub remarks: Vec<String>,
    /// As whom it works in AWS.
    pub account: Account,
    /// What happens to a build's machine when a step fails.
    pub on_error: OnError,
    /// How many builds run at a time.
    pub parallel: Option<usize>,
    /// When a pull request gets a comment.
    pub comment: Comment,
    /// Who comments.
    pub github_token: Option<Secret>,
    /// Whether a warning fails the step.
    pub fail_on_warnings: bool,
    /// When builds are cancelled.
    pub timeout: Option<Duration>,
    /// Whether an image that was made from the same is enough.
    pub skip_unchanged: Option<SkipUnchanged>,
    /// Where it is written what is inside the images.
    pub sbom: Option<PathBuf>,
    /// Where the page of the run is written.
    pub report: Option<PathBuf>,
    /// The artifact of the run that page, pictures and packages become.
    pub upload: Option<ArtifactName>,
    /// Whether a machine on which a provisioner has failed stays.
    pub keep_failed: Option<KeepFailed>,
    /// Whether images that are there are replaced.
    pub force: bool,
    /// Which lints count, and how much.
    pub lint: Vec<Wish>,
    /// Whether machines go, too, that wait for a next run.
    pub delete_kept: bool,
    /// Whether nothing is made, written or removed.
    pub dry_run: bool,
    /// The manifests to merge, or to look into: files, directories, patterns.
    pub manifests: Vec<PathBuf>,
    /// What the plan has said of their builds.
    pub matrix: Option<String>,
    /// Which image and channel are meant, and what goes.
    pub channel: Option<ChannelInputs>,
    /// What templates may have read beside the workspace: files and directories.
    pub allow_files: Vec<PathBuf>,
}

/// As whom the action works in AWS: all that the end of a job needs to know.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The region, where the template does not say one.
    pub region: Option<String>,
    /// The role to take on.
    pub role: Option<RoleInputs>,
}

/// The inputs about the role.
#[derive(Clone, Debug)]
pub struct RoleInputs {
    /// Its ARN.
    pub arn: String,
    /// The name of the session; made of the run if not given.
    pub session_name: Option<String>,
    /// How long credentials last.
    pub duration: Option<Duration>,
    /// For whom the identity token is.
    pub audience: Option<String>,
    /// Whether the role is taken on with the credentials that are there.
    pub chaining: bool,
}

/// The words of the input `command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Bakes.
    Build,
    /// Says what is wrong.
    Validate,
    /// Brings files into canonical style.
    Fmt,
    /// Shows what templates consist of.
    Inspect,
    /// Removes what dead runs have left.
    Cleanup,
    /// Lists the builds, for a job each.
    Plan,
    /// Joins what those jobs have made.
    Merge,
    /// Writes AMIs to a channel.
    Publish,
    /// Writes the AMIs of one channel to another.
    Promote,
    /// Writes to a channel what it said before.
    Rollback,
    /// Deregisters old AMIs.
    Retire,
    /// Says what is in the channels of an image.
    Channels,
    /// Tests an image that is there.
    Test,
    /// Removes what runs have left anywhere in an account.
    Reap,
    /// Lists what was baked before.
    History,
}

const COMMANDS: &[(&str, Command)] = &[
    ("build", Command::Build),
    ("validate", Command::Validate),
    ("fmt", Command::Fmt),
    ("inspect", Command::Inspect),
    ("cleanup", Command::Cleanup),
    ("plan", Command::Plan),
    ("merge", Command::Merge),
    ("publish", Command::Publish),
    ("promote", Command::Promote),
    ("rollback", Command::Rollback),
    ("retire", Command::Retire),
    ("channels", Command::Channels),
    ("test", Command::Test),
    ("reap", Command::Reap),
    ("history", Command::History),
];

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = COMMANDS.iter().find(|(_, command)| command == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

/// The words of the input `on-error`. There is nobody to ask.
const ON_ERROR: &[(&str, OnError)] = &[
    ("cleanup", OnError::Cleanup),
    ("abort", OnError::Abort),
    ("run-cleanup-provisioner", OnError::RunCleanupProvisioner),
];

/// The words of the input `comment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comment {
    /// No comment.
    Never,
    /// Where there is something to say that was not said before.
    OnChange,
    /// After each run.
    Always,
}

const COMMENT: &[(&str, Comment)] =
    &[("never", Comment::Never), ("on-change", Comment::OnChange), ("always", Comment::Always)];

/// The values of YAML that are true, and those that are false.
const BOOLEANS: &[(&str, bool)] = &[
    ("true", true),
    ("True", true),
    ("TRUE", true),
    ("false", false),
    ("False", false),
    ("FALSE", false),
];

/// Inputs as they come.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Texts {
    command: Option<String>,
    templates: Option<String>,
    only: Option<String>,
    except: Option<String>,
    variables: Option<String>,
    variable_files: Option<String>,
    secrets: Option<String>,
    aws_region: Option<String>,
    role_to_assume: Option<String>,
    role_session_name: Option<String>,
    role_duration: Option<String>,
    audience: Option<String>,
    role_chaining: Option<String>,
    on_error: Option<String>,
    parallel: Option<String>,
    comment: Option<String>,
    github_token: Option<String>,
    fail_on_warnings: Option<String>,
    timeout: Option<String>,
    skip_unchanged: Option<String>,
    max_age: Option<String>,
    sbom: Option<String>,
    report: Option<String>,
    upload: Option<String>,
    keep_failed: Option<String>,
    checkpoints: Option<String>,
    dry_run: Option<String>,
    manifests: Option<String>,
    matrix: Option<String>,
    allow_files: Option<String>,
    image: Option<String>,
    channel: Option<String>,
    from_channel: Option<String>,
    artifact: Option<String>,
    keep: Option<String>,
    older_than: Option<String>,
    grace: Option<String>,
    regions: Option<String>,
    prefix: Option<String>,
    release: Option<String>,
    untested: Option<String>,
    shared: Option<String>,
    explain_changes: Option<String>,
    force: Option<String>,
    lint: Option<String>,
    delete_kept: Option<String>,
}

/// The names of all inputs, as `action.yml` declares them.
pub const NAMES: [&str; 47] = [
    "command",
    "templates",
    "only",
    "except",
    "variables",
    "variable-files",
    "secrets",
    "aws-region",
    "role-to-assume",
    "role-session-name",
    "role-duration",
    "audience",
    "role-chaining",
    "on-error",
    "parallel",
    "comment",
    "github-token",
    "working-directory",
    "fail-on-warnings",
    "timeout",
    "skip-unchanged",
    "max-age",
    "sbom",
    "report",
    "upload",
    "keep-failed",
    "checkpoints",
    "dry-run",
    "manifests",
    "matrix",
    "allow-files",
    "image",
    "channel",
    "from-channel",
    "artifact",
    "keep",
    "older-than",
    "grace",
    "regions",
    "prefix",
    "release",
    "untested",
    "shared",
    "explain-changes",
    "force",
    "lint",
    "delete-kept",
];

const PREFIX: &str = "INPUT_";

/// `INPUT_AWS-REGION` and `INPUT_AWS_REGION` → `aws-region`: some shells drop variables with a
/// hyphen in their name, so whoever starts us through one writes the other.
fn given(environment: &Environment) -> BTreeMap<String, String> {
    let inputs = environment.vars().filter_map(|(name, value)| {
        let name = name.strip_prefix(PREFIX)?.to_lowercase().replace('_', "-");
        (!value.trim().is_empty()).then(|| (name, value.to_owned()))
    });
    inputs.collect()
}

/// The directory that the action works in, as far as the inputs say: known before all else.
pub fn working_directory(environment: &Environment) -> Option<PathBuf> {
    given(environment).remove("working-directory").map(|dir| PathBuf::from(dir.trim()))
}

/// The command that is asked for, if it is one: known before all else.
pub fn command(environment: &Environment) -> Option<Command> {
    let text = given(environment).remove("command")?;
    COMMANDS.iter().find(|(word, _)| *word == text.trim()).map(|(_, command)| *command)
}

/// Whether a page of the run is asked for: known before the first thing is said.
pub fn has_report(environment: &Environment) -> bool {
    given(environment).contains_key("report")
}

/// The inputs as texts; none is one that nobody knows.
fn texts(given: BTreeMap<String, String>) -> Result<Texts, Vec<String>> {
    let prefixed = given.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value));
    let texts = envy::prefixed(PREFIX).from_iter(prefixed);
    // The message of the library may quote a value.
    texts.map_err(|_| vec!["the inputs cannot be read".to_owned()])
}

impl Account {
    /// What the inputs say of it, whatever is wrong with others.
    ///
    /// # Errors
    /// A sentence for each input about it that is malformed.
    pub fn read(environment: &Environment) -> Result<Self, Vec<String>> {
        let mut given = given(environment);
        given.retain(|name, _| name == "audience" || name.starts_with("role-"));
        let region = self::given(environment).remove("aws-region");
        let mut reader = Reader::default();
        let role = reader.role(&texts(given)?);
        let region = region.map(|region| region.trim().to_owned());
        if reader.wrong.is_empty() { Ok(Self { region, role }) } else { Err(reader.wrong) }
    }
}

impl Inputs {
    /// Reads them from `environment`.
    ///
    /// # Errors
    /// A sentence for each that is unknown or malformed.
    pub fn read(environment: &Environment) -> Result<Self, Vec<String>> {
        let mut given = given(environment);
        // We are there already.
        given.remove("working-directory");
        let mut reader = Reader::default();
        given.retain(|name, _| {
            let known = NAMES.contains(&name.as_str());
            if !known {
                let meant = did_you_mean(name, NAMES);
                let hint = meant.map(|meant| format!("; did you mean `{meant}`?"));
                let hint = hint.unwrap_or_default();
                reader.wrong.push(format!("there is no input `{name}`{hint}"));
            }
            known
        });
        let said = given.iter().filter(|(_, text)| channel::said(text).is_some());
        reader.given = said.map(|(name, _)| name.clone()).collect();
        let inputs = reader.inputs(texts(given)?);
        match inputs {
            Some(inputs) if reader.wrong.is_empty() => Ok(inputs),
            _ => Err(reader.wrong),
        }
    }
}

/// Texts → values. What is wrong is collected, and what may be.
#[derive(Default)]
struct Reader {
    /// The names of those that say anything.
    given: BTreeSet<String>,
    wrong: Vec<String>,
    remarks: Vec<String>,
}

impl Reader {
    fn inputs(&mut self, texts: Texts) -> Option<Inputs> {
        let text = |text: &Option<String>| text.as_deref().map(str::trim).map(str::to_owned);
        let command = self.command(texts.command.as_deref());
        let role = self.role(&texts);
        let variables = self.mapping("variables", texts.variables.as_deref());
        let secrets = self.mapping("secrets", texts.secrets.as_deref());
        let secret_texts = secrets.iter().flat_map(|given| &given.parts).map(Secret::new).collect();
        let on_error = self.word("on-error", texts.on_error.as_deref(), ON_ERROR);
        let parallel = self.number("parallel", texts.parallel.as_deref());
        let comment = self.word("comment", texts.comment.as_deref(), COMMENT);
        let fail_on_warnings = self.boolean("fail-on-warnings", texts.fail_on_warnings.as_deref());
        let timeout = self.duration("timeout", texts.timeout.as_deref());
        let skip_unchanged = self.skip_unchanged(&texts);
        let dry_run = self.dry_run(command, &texts);
        let keep_failed = self.keep_failed(&texts);
        let force = self.boolean("force", texts.force.as_deref());
        let delete_kept = self.boolean("delete-kept", texts.delete_kept.as_deref());
        let upload = self.parsed("upload", texts.upload.as_deref().and_then(channel::said));
        let lint = list(texts.lint.as_deref().and_then(channel::said));
        let lint = lint.iter().filter_map(|wish| self.parsed("lint", Some(wish))).collect();
        let sbom = self.path("sbom", "a directory", texts.sbom.as_deref());
        let report = self.path("report", "a file", texts.report.as_deref());
        let only = list(texts.only.as_deref());
        if command == Some(Command::Publish) && only.len() > 1 {
            self.refuse("only", "one build is published");
        }
        let templates = paths(texts.templates.as_deref());
        let channel = self.channel(command, &texts);
        Some(Inputs {
            command: command?,
            templates: if templates.is_empty() { vec![PathBuf::from(".")] } else { templates },
            only,
            except: list(texts.except.as_deref()),
            variables: variables.into_iter().map(|given| (given.name, given.text)).collect(),
            variable_files: paths(texts.variable_files.as_deref()),
            secrets: secrets.into_iter().map(|one| (one.name, Secret::new(one.text))).collect(),
            secret_texts,
            remarks: std::mem::take(&mut self.remarks),
            account: Account { region: text(&texts.aws_region), role },
            on_error: on_error.unwrap_or_default(),
            parallel,
            comment: comment.unwrap_or(Comment::OnChange),
            github_token: text(&texts.github_token).map(Secret::new),
            fail_on_warnings,
            timeout,
            skip_unchanged,
            sbom,
            report,
            keep_failed,
            upload,
            force,
            lint,
            delete_kept,
            dry_run,
            manifests: paths(texts.manifests.as_deref()),
            matrix: text(&texts.matrix),
            channel,
            allow_files: paths(texts.allow_files.as_deref()),
        })
    }

    /// A path; who says yes or no there means something else than a file of that name.
    fn path(&mut self, name: &str, what: &str, text: Option<&str>) -> Option<PathBuf> {
        let text = text?.trim();
        if ["true", "false", "yes", "no"].contains(&text.to_lowercase().as_str()) {
            self.refuse(name, format!("it names {what}; leave it out where none is wanted"));
        }
        Some(text.into())
    }

    fn dry_run(&mut self, command: Option<Command>, texts: &Texts) -> bool {
        // What goes is gone: it is shown first.
        let retires = texts.dry_run.is_none() && command == Some(Command::Retire);
        let dry_run = retires || self.boolean("dry-run", texts.dry_run.as_deref());
        // What changes nothing takes it, too.
        const ACTS: [Command; 4] =
            [Command::Publish, Command::Promote, Command::Rollback, Command::Test];
        if dry_run && command.is_some_and(|command| ACTS.contains(&command)) {
            self.refuse("dry-run", "it is for `build`, `fmt`, `cleanup`, `retire` and `reap`");
        }
        dry_run
    }

    fn skip_unchanged(&mut self, texts: &Texts) -> Option<SkipUnchanged> {
        let is_wanted = self.boolean("skip-unchanged", texts.skip_unchanged.as_deref());
        let max_age = self.age("max-age", texts.max_age.as_deref());
        let explains = self.boolean("explain-changes", texts.explain_changes.as_deref());
        if max_age.is_some() && !is_wanted && !explains {
            self.refuse("max-age", "it is for `skip-unchanged: true`");
        }
        let max_age = max_age.map(GoDuration::get);
        (is_wanted || explains).then_some(SkipUnchanged { max_age, only_explains: explains })
    }

    fn keep_failed(&mut self, texts: &Texts) -> Option<KeepFailed> {
        let checkpoints = self.boolean("checkpoints", texts.checkpoints.as_deref());
        let Some(time) = &texts.keep_failed else {
            if checkpoints {
                self.refuse("checkpoints", "say with `keep-failed` how long they stay");
            }
            return None;
        };
        let time = GoDuration::parse_time_to_live(time.trim());
        if time.is_err() {
            self.refuse("keep-failed", "it must be a time such as `2h` or `1d`");
        }
        Some(KeepFailed { time: time.ok()?.get(), checkpoints })
    }

    fn refuse(&mut self, name: &str, why: impl fmt::Display) {
        self.wrong.push(format!("the input `{name}`: {why}"));
    }

    fn command(&mut self, text: Option<&str>) -> Option<Command> {
        let text = text.map(str::trim);
        if text.is_none() {
            self.refuse("command", format!("say one of {}", words(COMMANDS)));
        }
        self.word("command", text, COMMANDS)
    }

    fn word<T: Copy>(&mut self, name: &str, text: Option<&str>, known: &[(&str, T)]) -> Option<T> {
        let text = text?.trim();
        let found = known.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            // Who mixes up inputs may have put a secret here: only what is near a word is shown.
            let meant = did_you_mean(text, known.iter().map(|(word, _)| *word));
            let hint = meant.map(|meant| format!("; did you mean `{meant}`?"));
            let hint = hint.unwrap_or_default();
            self.refuse(name, format!("it must be one of {}{hint}", words(known)));
        }
        found.map(|(_, value)| *value)
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &str,
        text: Option<&str>,
    ) -> Option<T> {
        text?.trim().parse().map_err(|why| self.refuse(name, why)).ok()
    }

    fn boolean(&mut self, name: &str, text: Option<&str>) -> bool {
        let found = text.map(|text| BOOLEANS.iter().find(|(word, _)| *word == text.trim()));
        match found {
            None => false,
            Some(Some((_, value))) => *value,
            Some(None) => {
                self.refuse(name, "it must be `true` or `false`");
                false
            }
        }
    }

    fn number(&mut self, name: &str, text: Option<&str>) -> Option<usize> {
        let number = usize::from_str(text?.trim()).ok().filter(|number| *number > 0);
        if number.is_none() {
            self.refuse(name, "it must be a number above 0");
        }
        number
    }

    fn age(&mut self, name: &str, text: Option<&str>) -> Option<GoDuration> {
        let age = GoDuration::parse_age(text?.trim()).ok();
        if age.is_none() {
            self.refuse(name, "it must be an age such as `36h` or `7d`");
        }
        age
    }

    fn duration(&mut self, name: &str, text: Option<&str>) -> Option<Duration> {
        let duration = GoDuration::parse(text?.trim()).ok().map(GoDuration::get);
        let duration = duration.filter(|duration| !duration.is_zero());
        if duration.is_none() {
            self.refuse(name, "it must be a length of time such as `90m` or `1h30m`");
        }
        duration
    }

    fn mapping(&mut self, name: &str, text: Option<&str>) -> Vec<Given> {
        let Mapping { given, wrong, mut remarks, with_hash } =
            Mapping::read(text.unwrap_or_default());
        wrong.iter().for_each(|why| self.refuse(name, why));
        // What is in a secret is not told.
        for value in with_hash.iter().filter(|_| name != "secrets") {
            remarks.push(format!(
                "`#` and what follows is part of the value of `{value}`; a comment has a line of its own"
            ));
        }
        let remark = |text| format!("the input `{name}`: {text}");
        self.remarks.extend(remarks.into_iter().map(remark));
        given
    }
}

fn words<T>(known: &[(&str, T)]) -> String {
    known.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The lines that say something.
fn lines(text: Option<&str>) -> Vec<String> {
    let lines = text.unwrap_or_default().lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn paths(text: Option<&str>) -> Vec<PathBuf> {
    lines(text).into_iter().map(PathBuf::from).collect()
}

/// The same, also parted by commas.
fn list(text: Option<&str>) -> Vec<String> {
    let lines = lines(text);
    let items = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
