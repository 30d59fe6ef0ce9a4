//! The traits that every component implements, and what each is given to work with.
//!
//! A component is made in two moves: its body is decoded into [`Component::Options`], and
//! [`Component::prepare`] checks them and makes the thing itself. Both happen before the first
//! machine starts; whatever can be known to be wrong is said there.

mod access;

use std::fmt;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use crate::config::{
    Decoding, Node, NodeKind, OptionGroups, OptionSchema, decode, decode_by_schema, needs,
};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, code};
use crate::env::Environment;
pub use crate::eval::{Output, OutputType, Outputs};
use crate::event::Ui;
use crate::fault::{self, Fault};
use crate::fingerprint::Fingerprint;
use crate::guest::shell::{Posix, Shell};
use crate::guest::{Capture, GuestOutput, ShowLines};
use crate::interpolate::{BuildData, Scope};
use crate::journal::{Entry, Journal, Thing};
use crate::peer::Allowance;
use crate::permission::Permission;
use crate::secret::Redactor;
use crate::stop::Stop;

pub use access::{Access, Entrance, Sharing, WindowsAccess};

/// A type of builder, provisioner, post-processor or data source, as templates name it.
pub trait Component: Sized {
    /// The name in templates, e.g. `amazon-ebs`.
    const TYPE: &'static str;
    /// What it does, in one sentence for `imgbake explain`.
    const ABOUT: &'static str;
    /// Names that a builder adds to `build.*`, beside those that every builder has.
    const BUILD_DATA: &'static [&'static str] = &[];
    /// What a data source answers, by name.
    const OUTPUTS: &'static [(&'static str, OutputType)] = &[];
    /// The structs that declare the options.
    type Options: OptionGroups;
    /// Warns of what the options may say, but their author rarely wants: with codes of lints, which
    /// `validate` shows as its flags and the template's comments say.
    fn lint(_options: &Self::Options, _check: &mut Check<'_>) {}
    /// Checks the options together and makes the component; `None` after reporting errors.
    fn prepare(options: Self::Options, check: &mut Check<'_>) -> Option<Self>;
}

/// What is known of a build before it runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The build's name, as its components know it (`{{build_name}}`, the manifest): the name of
    /// the source. Messages use the name of the planned build.
    pub build_name: String,
    /// The type of its builder.
    pub builder_type: String,
    /// `-force`.
    pub force: bool,
    /// `-debug`.
    pub debug: bool,
    /// What `{{ … }}` texts may know, and through it the environment.
    pub scope: Scope,
}

impl Facts {
    /// The same, with what a running machine (or the one that an artifact was made from) says.
    pub fn knowing(&self, data: BuildData) -> Self {
        let scope = Scope { build_data: Some(data), ..self.scope.clone() };
        Self { scope, ..self.clone() }
    }

    /// The name of the build's source, which `{{build_name}}` and `PACKER_BUILD_NAME` say: in HCL
    /// it is shorter than [`build_name`](Self::build_name).
    pub fn source_name(&self) -> &str {
        self.scope.build_name.as_deref().unwrap_or(&self.build_name)
    }
}

/// Collects what a component finds wrong with its options.
#[derive(Debug)]
pub struct Check<'a> {
    component: &'a str,
    body: &'a Node,
    /// The build that the component is for.
    pub facts: &'a Facts,
    /// Takes secrets that are no options, such as the content of a file that an option names.
    pub redactor: &'a Redactor,
    schema: Option<Arc<OptionSchema>>,
    found: Diagnostics,
}

impl<'a> Check<'a> {
    /// Checks `body` as the options of a `component`.
    pub fn new(
        component: &'a str,
        body: &'a Node,
        facts: &'a Facts,
        redactor: &'a Redactor,
    ) -> Self {
        Self { component, body, facts, redactor, schema: None, found: Diagnostics::default() }
    }

    /// The same, where findings can only be about options of `schema`: a mistyped name would point at
    /// nothing.
    fn knowing(self, schema: Arc<OptionSchema>) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// The value of `option` cannot be used because of `cause`.
    pub fn error(&mut self, option: &str, cause: impl Into<String>) -> &mut Diagnostic {
        let summary = format!("the value of `{option}` cannot be used");
        self.push(option, Diagnostic::error(code::OPTION_VALUE, summary).because(cause))
    }

    /// `option` must be given.
    pub fn missing(&mut self, option: &str, help: impl Into<String>) {
        let summary = needs(self.component, option);
        let found = Diagnostic::error(code::MISSING_OPTION, summary).because("required here");
        self.push(option, found.help(help));
    }

    /// `option` is used, but there is something to know about it.
    pub fn warn(&mut self, code: Code, option: &str, text: impl Into<String>) -> &mut Diagnostic {
        self.push(option, Diagnostic::warning(code, text))
    }

    /// Whether the template gives `option`, be it with the value that it has anyway.
    pub fn is_given(&self, option: &str) -> bool {
        let (node, is_itself) = self.place(option);
        is_itself && !matches!(node.kind, NodeKind::Null)
    }

    /// Where `option` (`ami_name`, `source_ami_filter.owners.0`) stands; else its nearest written
    /// parent, and that it is not itself.
    fn place(&self, option: &str) -> (&'a Node, bool) {
        let mut place = self.body;
        for key in option.split('.') {
            // Blocks are a list, also where there is only one.
            let in_block = || place.items().iter().find_map(|block| block.get(key));
            place = match (place.get(key).or_else(in_block), key.parse::<usize>()) {
                (Some(entry), _) => &entry.value,
                // A single value stands for a list of one.
                (None, Ok(index)) => place.items().get(index).unwrap_or(place),
                (None, Err(_)) => return (place, false),
            };
        }
        (place, true)
    }

    /// Adds a finding at the [place](Self::place) of `option`; of the whole component if that is empty.
    fn push(&mut self, option: &str, diagnostic: Diagnostic) -> &mut Diagnostic {
        debug_assert!(
            option.is_empty() || self.schema.as_ref().is_none_or(|schema| schema.has(option)),
            "`{}` has no option `{option}`, which a check speaks of",
            self.component
        );
        let span = self.place(option).0.span;
        self.found.push(diagnostic.at(span));
        let last = self.found.0.len() - 1;
        &mut self.found.0[last]
    }

    /// Whether `path`, which is the value of `option`, may be read; reports it if not.
    pub fn may_read(&mut self, option: &str, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        let reach = self.facts.scope.environment.reach.check(path);
        if let Err(error) = &reach {
            self.error(option, format!("cannot read {}: {error}", path.display()));
        }
        reach.is_ok()
    }

    /// Whether an error was found so far.
    pub fn has_errors(&self) -> bool {
        self.found.has_errors()
    }

    /// All that was found.
    pub fn into_found(self) -> Diagnostics {
        self.found
    }

    /// The `component` that was made and the warnings, if nothing stands against it.
    fn into_result<T>(self, component: Option<T>) -> Result<(T, Diagnostics), Diagnostics> {
        match component {
            Some(component) if !self.found.has_errors() => Ok((component, self.found)),
            _ => Err(self.found),
        }
    }
}

/// Decodes and prepares a `C` from its evaluated body. Warnings come back beside it.
pub fn prepare<C: Component>(
    body: &Node,
    facts: &Facts,
    redactor: &Redactor,
) -> Result<(C, Diagnostics), Diagnostics> {
    let with = Decoding { component: C::TYPE, scope: &facts.scope, redactor };
    let options = decode::<C::Options>(body, with)?;
    let mut check = Check::new(C::TYPE, body, facts, redactor).knowing(C::Options::schema());
    C::lint(&options, &mut check);
    let component = C::prepare(options, &mut check);
    check.into_result(component)
}

/// What there is to know of a component, as data.
#[derive(Clone, Debug)]
pub struct Description {
    /// The name in templates.
    pub name: String,
    /// What it does, in one sentence.
    pub about: String,
    /// Its options.
    pub options: Declared,
    /// See [`Component::BUILD_DATA`].
    pub build_data: Arc<[String]>,
    /// See [`Component::OUTPUTS`].
    pub outputs: Arc<[(String, OutputType)]>,
}

/// Who declares the options of a component. A registry names dozens of components, of which a template
/// uses two: the schema of a struct is made when somebody asks for it.
#[derive(Clone, Debug)]
pub enum Declared {
    /// The structs of a built-in component.
    ByStructs(fn() -> Arc<OptionSchema>),
    /// A schema that was read while the program runs.
    BySchema(Arc<OptionSchema>),
}

impl Declared {
    /// The options.
    pub fn schema(&self) -> Arc<OptionSchema> {
        match self {
            Self::ByStructs(schema) => schema(),
            Self::BySchema(schema) => schema.clone(),
        }
    }
}

/// How the registry knows a component that acts as a `T` (`dyn Builder`, `dyn Provisioner`, …).
pub struct Descriptor<T: ?Sized> {
    /// What it is.
    pub description: Description,
    /// How it is made of a body.
    pub prepare: Prepare<T>,
}

/// Checks a body and makes a component of it; see [`prepare`].
pub type Prepare<T> = Arc<
    dyn Fn(&Node, &Facts, &Redactor) -> Result<(Box<T>, Diagnostics), Diagnostics> + Send + Sync,
>;

impl<T: ?Sized + 'static> Descriptor<T> {
    /// A built-in component, which `act` makes a `T` of.
    pub fn of<C: Component + 'static>(act: fn(C) -> Box<T>) -> Self {
        let output = |&(name, ty): &(&str, OutputType)| (name.to_owned(), ty);
        Self {
            description: Description {
                name: C::TYPE.to_owned(),
                about: C::ABOUT.to_owned(),
                options: Declared::ByStructs(C::Options::schema),
                build_data: C::BUILD_DATA.iter().map(|&name| name.to_owned()).collect(),
                outputs: C::OUTPUTS.iter().map(output).collect(),
            },
            prepare: Arc::new(move |body, facts, redactor| {
                let (component, warnings) = prepare::<C>(body, facts, redactor)?;
                Ok((act(component), warnings))
            }),
        }
    }

    /// A component that is known only while the program runs: `schema` is that of an object, whose
    /// properties are the options. `make` gets those that are given, decoded and checked.
    pub fn by_schema<M>(
        name: impl Into<String>,
        about: impl Into<String>,
        schema: &serde_json::Value,
        make: M,
    ) -> Self
    where
        M: Fn(serde_json::Map<String, serde_json::Value>, &mut Check<'_>) -> Option<Box<T>>
            + Send
            + Sync
            + 'static,
    {
        let (name, schema) = (name.into(), Arc::new(OptionSchema::of_json(schema)));
        let description = Description {
            name: name.clone(),
            about: about.into(),
            options: Declared::BySchema(schema.clone()),
            build_data: Arc::default(),
            outputs: Arc::default(),
        };
        let prepare: Prepare<T> = Arc::new(move |body, facts, redactor| {
            let with = Decoding { component: &name, scope: &facts.scope, redactor };
            let options = decode_by_schema(&schema, body, with)?;
            let mut check = Check::new(&name, body, facts, redactor).knowing(schema.clone());
            let component = make(options, &mut check);
            check.into_result(component)
        });
        Self { description, prepare }
    }
}

/// A component, whatever it acts as.
pub trait Described {
    /// What there is to know of it.
    fn description(&self) -> &Description;
    /// What it finds wrong with `body`.
    fn find_faults(&self, body: &Node, facts: &Facts, redactor: &Redactor) -> Diagnostics;
}

impl<T: ?Sized> Described for Descriptor<T> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn find_faults(&self, body: &Node, facts: &Facts, redactor: &Redactor) -> Diagnostics {
        match (self.prepare)(body, facts, redactor) {
            Ok((_, found)) | Err(found) => found,
        }
    }
}

impl<T: ?Sized> fmt::Debug for Descriptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor").field("name", &self.description.name).finish_non_exhaustive()
    }
}

/// `-on-error`: what happens to a build's machine when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Undo every step.
    #[default]
    Cleanup,
    /// Leave everything as it is.
    Abort,
    /// Ask the person at the terminal.
    Ask,
    /// Leave everything, but run the error-cleanup provisioner.
    RunCleanupProvisioner,
}

/// `-skip-unchanged`: what has been made from the same before is not made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkipUnchanged {
    /// How old an image may be: what a build downloads is not in its fingerprint, but changes.
    pub max_age: Option<Duration>,
    /// Whether it is only said what has changed, and nothing is made.
    pub only_says: bool,
}

/// What a builder works with. A clone speaks for the same build.
#[derive(Clone)]
pub struct BuildContext {
    /// The build.
    pub facts: Arc<Facts>,
    /// Its voice.
    pub ui: Ui,
    /// Fires when the run shall stop. Never fires while steps are undone.
    pub cancel: CancellationToken,
    /// Why it shall, and how long undoing may take then.
    pub stop: Stop,
    /// What to do when a step fails.
    pub on_error: OnError,
    /// What exists because of us, and what could not be undone.
    pub journal: Journal,
    /// Takes secrets that turn up on the way (generated passwords and keys).
    pub redactor: Redactor,
    /// Runs the build's provisioners.
    pub provisioning: Arc<dyn Provisioning>,
    /// What the build is made from, where that is known.
    pub fingerprint: Fingerprint,
    /// Whether an image that was made from the same is enough.
    pub skip_unchanged: Option<SkipUnchanged>,
}

/// Runs the provisioners of one build on a connected machine; a builder calls it once for each
/// machine that it starts.
#[async_trait]
pub trait Provisioning: Send + Sync {
    /// `data` is what `build.*` and `{{ build … }}` say from now on.
    async fn provision(
        &self,
        cx: &BuildContext,
        communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> anyhow::Result<()>;

    /// Runs the error-cleanup provisioner if provisioning has failed; else nothing. Called while
    /// the machine is still there: `Steps` does it before it undoes.
    async fn after_failure(&self, _cx: &BuildContext) {}
}

/// Starts a machine, has it provisioned, and makes an image of it.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Runs the whole build and undoes what must not stay. `None`: there is nothing to show for it.
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>>;

    /// Whose fault an error of a build is that does not say so itself.
    fn blame(&self, _error: &anyhow::Error) -> Fault {
        Fault::lasting(fault::Kind::Environment)
    }

    /// The files of this machine that go into the image, if nothing else does but its options and what
    /// provisioners do; `None` if nobody can tell.
    fn reads(&self) -> Option<Vec<PathBuf>> {
        None
    }

    /// Whether it looks for what it has made before, and [skips](SkipUnchanged) what is unchanged.
    fn can_skip(&self) -> bool {
        false
    }

    /// Names that it adds to `build.*`, beside those of its type: what only a checked builder knows.
    fn build_data(&self) -> Vec<String> {
        Vec::new()
    }

    /// What its AWS account must allow, so that it can build and clean up; nothing if it needs none.
    fn permissions(&self, _environment: &Environment) -> Vec<Permission> {
        Vec::new()
    }

    /// Who cleans up after runs of this builder that died, as the user that it builds as; `None`
    /// if nothing of it outlives a run.
    fn cleaner(&self, _cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        None
    }
}

/// What a [`Cleaner`] works with.
#[derive(Clone, Debug)]
pub struct CleanupContext {
    /// Where credentials are looked for.
    pub environment: Arc<Environment>,
    /// Takes the secrets that turn up.
    pub redactor: Redactor,
    /// Who says what is done.
    pub ui: Ui,
    /// Whether nothing is to be removed.
    pub only_looks: bool,
}

/// Removes what dead runs have left.
#[async_trait]
pub trait Cleaner: Send + Sync {
    /// Whether `thing` is on this cleaner's platform. It leaves all others alone.
    fn owns(&self, thing: &Thing) -> bool;

    /// Removes all that `journal` lists, in an order that works. What cannot be removed is stuck in
    /// the journal, with the reason.
    async fn clean(&self, journal: &Journal);

    /// Sees which products of a dead run are still there, and nobody's garbage: what `journal` keeps
    /// afterwards.
    async fn keep(&self, journal: &Journal);

    /// What [`clean`](Self::clean) would remove. What cannot be looked up is stuck in the journal.
    async fn would_remove(&self, journal: &Journal) -> Vec<String>;

    /// What runs have left anywhere, whatever became of their journals.
    async fn search(&self, wanted: &Wanted) -> anyhow::Result<Vec<Entry>>;
}

/// What a [`Cleaner`] searches for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where; the place that the environment says if empty.
    pub places: Vec<String>,
    /// What builds have made that began before this moment.
    pub before: Timestamp,
    /// What runs have written down that are alive: what belongs to them is left alone.
    pub alive: Vec<Arc<Thing>>,
}

/// What a provisioner works with.
#[derive(Clone)]
pub struct ProvisionContext {
    /// The build, with a scope that knows the running machine.
    pub facts: Arc<Facts>,
    /// The build's voice.
    pub ui: Ui,
    /// Fires when the run is interrupted or the provisioner's time is up.
    pub cancel: CancellationToken,
    /// The connection to the machine.
    pub communicator: Arc<dyn Communicator>,
    /// Takes secrets that turn up on the way.
    pub redactor: Redactor,
}

/// Changes a running machine.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// Does the work.
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()>;

    /// The files of this machine that what it does to the other one depends on, beside its options;
    /// `None` if there is more, or if it leaves anything here.
    fn reads(&self) -> Option<Vec<PathBuf>> {
        None
    }
}

/// What a post-processor works with.
#[derive(Clone)]
pub struct PostProcessContext {
    /// The build, with a scope that knows what the artifact was made from.
    pub facts: Arc<Facts>,
    /// The voice of this post-processor in this build.
    pub ui: Ui,
    /// Fires when the run is interrupted.
    pub cancel: CancellationToken,
    /// Takes secrets that turn up on the way.
    pub redactor: Redactor,
    /// Says when and why the run shall stop.
    pub stop: Stop,
    /// What to do when a step fails.
    pub on_error: OnError,
    /// What exists because of us.
    pub journal: Journal,
}

impl PostProcessContext {
    /// What steps work with that a post-processor runs.
    pub fn for_steps(&self) -> BuildContext {
        BuildContext {
            facts: self.facts.clone(),
            ui: self.ui.clone(),
            cancel: self.cancel.clone(),
            stop: self.stop.clone(),
            on_error: self.on_error,
            journal: self.journal.clone(),
            redactor: self.redactor.clone(),
            provisioning: Arc::new(NoProvisioning),
            fingerprint: Fingerprint::default(),
            skip_unchanged: None,
        }
    }
}

/// There is no machine to provision any more.
struct NoProvisioning;

#[async_trait]
impl Provisioning for NoProvisioning {
    async fn provision(
        &self,
        _cx: &BuildContext,
        _communicator: Arc<dyn Communicator>,
        _data: BuildData,
    ) -> anyhow::Result<()> {
        Ok(())
    }
}

/// What a post-processor made of its input.
pub struct Processed {
    /// The artifact for the next one; `None` ends the sequence.
    pub artifact: Option<Arc<dyn Artifact>>,
    /// Whether the input should be kept, if the template does not say.
    pub keep_input: bool,
    /// Whether the template's `keep_input_artifact = false` is ignored.
    pub keep_forced: bool,
}

/// Makes something of a finished artifact.
#[async_trait]
pub trait PostProcessor: Send + Sync {
    /// Does the work.
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed>;

    /// What its AWS account must allow; nothing if it needs none. See [`Builder::permissions`].
    fn permissions(&self, _environment: &Environment) -> Vec<Permission> {
        Vec::new()
    }

    /// Who cleans up after runs of it that died. See [`Builder::cleaner`].
    fn cleaner(&self, _cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        None
    }
}

/// Looks values up for a template, before anything is planned from it.
#[async_trait]
pub trait DataSource: Send + Sync {
    /// Asks.
    async fn look_up(&self) -> anyhow::Result<Outputs>;

    /// Whose fault an error of that is that does not say so itself.
    fn blame(&self, _error: &anyhow::Error) -> Fault {
        Fault::passing(fault::Kind::Environment)
    }
}

/// What a builder or post-processor leaves.
#[async_trait]
pub trait Artifact: Send + Sync {
    /// Which kind of component made it, e.g. `mitchellh.amazonebs`; post-processors go by it.
    fn builder_id(&self) -> &str;
    /// Its identity: `us-east-1:ami-…`, or a fixed word where files say it all.
    fn id(&self) -> String;
    /// The files that it consists of.
    fn files(&self) -> Vec<PathBuf>;
    /// For people, in the list at the end of a run.
    fn describe(&self) -> String;
    /// More facts, by name, for post-processors.
    fn state(&self, _name: &str) -> Option<serde_json::Value> {
        None
    }
    /// What the machine said of itself; see [`BuildData`].
    fn build_data(&self) -> BuildData {
        BuildData::new()
    }
    /// Whether an earlier run has made it: then it stays, whatever becomes of this run.
    fn was_there(&self) -> bool {
        false
    }
    /// Removes it for good.
    async fn destroy(&self) -> anyhow::Result<()>;
}

/// How a command on a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(u32),
    /// The connection was lost before it said how it ended.
    Disconnected,
}

/// The status that templates know a lost connection by (`valid_exit_codes`).
pub const DISCONNECTED_STATUS: u32 = 2_300_218;

impl Exit {
    /// The status, a lost connection as [`DISCONNECTED_STATUS`].
    pub fn status(self) -> u32 {
        match self {
            Self::Status(status) => status,
            Self::Disconnected => DISCONNECTED_STATUS,
        }
    }
}

/// Bytes that come while they are passed on; nobody knows how many.
pub type Input<'a> = &'a mut (dyn AsyncRead + Send + Unpin);

/// What is uploaded to one file.
#[derive(Clone, Copy, Debug)]
pub enum Upload<'a> {
    /// A local file, with its permissions.
    File(&'a Path),
    /// A text made here.
    Text {
        /// The bytes.
        content: &'a [u8],
        /// Permissions on the machine.
        mode: u32,
    },
}

/// A command for a machine, by who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// We did, for the machine's [`shell`](Communicator::shell). Where that is POSIX, `sh` runs it,
    /// whatever shell the user logs in to.
    Ours(&'a str),
    /// The template's author did, for the user's login shell. That runs it if it is a POSIX shell;
    /// else `sh` does: what fish cannot read it leaves out, and says that all is well.
    Template(&'a str),
}

impl<'a> Command<'a> {
    /// What is to be run.
    pub fn text(self) -> &'a str {
        match self {
            Self::Ours(text) | Self::Template(text) => text,
        }
    }
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Command<'a> {
    fn from(text: &'a T) -> Self {
        Self::Ours(text.as_ref())
    }
}

/// What a machine may answer to one of our own commands, none of which has much to do.
const ANSWER: Allowance =
    Allowance::new("the machine's answer", 1024 * 1024, Duration::from_secs(120));

/// A connection to a machine.
#[async_trait]
pub trait Communicator: Send + Sync {
    /// The shell that the machine has for us: the language of [`Command::Ours`].
    fn shell(&self) -> &dyn Shell {
        &Posix
    }
    /// Runs `command`; what it prints goes to `output` as it comes.
    async fn run(&self, command: Command<'_>, output: &mut dyn GuestOutput)
    -> anyhow::Result<Exit>;
    /// The same for a command that reads `input`. A connection that has no way for that runs it, too,
    /// and fails only once something comes.
    async fn run_fed(
        &self,
        command: Command<'_>,
        input: Input<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        tokio::select! {
            exit = self.run(command, output) => exit,
            () = comes(input) => anyhow::bail!("this connection gives no input to a command"),
        }
    }
    /// Uploads to the file `to`.
    async fn upload(&self, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()>;
    /// Uploads all that `from` gives to the file `to`. A connection that must know before how much that
    /// is has it in a file first.
    async fn upload_stream(
        &self,
        from: Input<'_>,
        mode: u32,
        to: &str,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let file = kept(from, mode).await?;
        self.upload(Upload::File(file.path()), to, ui).await
    }
    /// Uploads a directory: its contents into `to` if `from` ends in a slash, or if `to` is not there
    /// yet and so becomes that directory; else itself into `to`.
    async fn upload_dir(&self, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()>;
    /// Downloads the file `from`.
    async fn download(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()>;
    /// Downloads the contents of the directory `from` into `to`; or what matches `from`, if it is a
    /// pattern with `*`, `?` or `[`.
    async fn download_dir(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()>;
    /// How another program of this machine gets to the other one, `by` its own connection or by ours;
    /// `None` if it cannot.
    async fn access(&self, _by: Entrance<'_>) -> anyhow::Result<Option<Access>> {
        Ok(None)
    }
    /// How another program of this machine gets to the other one by WinRM; `None` if it cannot.
    fn windows_access(&self) -> Option<WindowsAccess> {
        None
    }
    /// Ends the connection; all later calls fail.
    async fn close(&self);
}

/// Waits until something of `input` comes; for ever if nothing does.
async fn comes(input: Input<'_>) {
    match input.read(&mut [0; 1]).await {
        Ok(read) if read > 0 => {}
        _ => std::future::pending().await,
    }
}

/// All of `input` in a file with the permissions `mode`.
pub async fn kept(input: Input<'_>, mode: u32) -> anyhow::Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    let mut input = BufReader::with_capacity(256 * 1024, input);
    let mut to = tokio::fs::File::from_std(file.as_file().try_clone()?);
    tokio::io::copy_buf(&mut input, &mut to).await?;
    to.flush().await?;
    // We must be able to read it, whoever else may.
    to.set_permissions(Permissions::from_mode(mode | 0o400)).await?;
    Ok(file)
}

impl dyn Communicator + '_ {
    /// Runs `command` and shows what it prints.
    pub async fn run_shown<'a>(
        &self,
        command: impl Into<Command<'a>>,
        ui: &Ui,
    ) -> anyhow::Result<Exit> {
        let mut lines = ShowLines::new(ui.clone());
        let exit = self.run(command.into(), &mut lines).await;
        lines.finish().await;
        exit
    }

    /// Runs `command` and keeps what it prints: an answer for us, so it is neither long nor late.
    pub async fn run_captured<'a>(
        &self,
        command: impl Into<Command<'a>>,
    ) -> anyhow::Result<(Exit, Capture)> {
        let mut capture = Capture::default();
        let exit = ANSWER.in_time(self.run(command.into(), &mut capture)).await??;
        ANSWER.check(capture.printed())?;
        Ok((exit, capture))
    }
}

#[cfg(test)]
impl BuildContext {
    /// The context of a build `test` without provisioners, and all that is said in it.
    pub fn for_tests() -> (Self, tokio::sync::mpsc::UnboundedReceiver<crate::event::Event>) {
        let (ui, said) = Ui::new();
        let facts = Facts {
            build_name: "test".to_owned(),
            builder_type: "test".to_owned(),
            force: false,
            debug: false,
            scope: Scope::for_tests(),
        };
        let stop = Stop::default();
        let cx = Self {
            facts: Arc::new(facts),
            ui: ui.for_target("test"),
            cancel: stop.token().clone(),
            stop,
            on_error: OnError::Cleanup,
            journal: Journal::default(),
            redactor: Redactor::default(),
            provisioning: Arc::new(NoProvisioning),
            fingerprint: Fingerprint::default(),
            skip_unchanged: None,
        };
        (cx, said)
    }
}
