//! What a build does with `vagrant`, step by step.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::cleaner::{Made, end};
use super::options::{BOX, Teardown};
use super::program::Program;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::interpolate::{Dot, Template};
use crate::journal::Thing;
use crate::peer;
use crate::step::{Ending, Step};

/// The largest template of a Vagrantfile.
const LARGEST: u64 = 1 << 20;

/// Writes the Vagrantfile, which goes with the output directory.
pub(super) struct WriteVagrantfile {
    pub directory: PathBuf,
    pub source: String,
    pub box_name: String,
    pub synced_folder: String,
    pub insert_key: bool,
    /// The template's file; the usual one if that is empty.
    pub template: String,
}

/// `text` as a text of Ruby.
fn ruby(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('#', "\\#"))
}

impl WriteVagrantfile {
    /// Two machines: the one that is built, and one of the new box for who wants to try it.
    fn usual(&self) -> String {
        let (source, box_name) = (ruby(&self.source), ruby(&self.box_name));
        let insert_key = self.insert_key;
        let folder = match self.synced_folder.as_str() {
            "" => "\".\", \"/vagrant\", disabled: true".to_owned(),
            folder => format!("{}, \"/vagrant\"", ruby(folder)),
        };
        format!(
            "Vagrant.configure(\"2\") do |config|\n\
             \x20 config.vm.define \"source\", autostart: false do |source|\n\
             \x20   source.vm.box = {source}\n\
             \x20   config.ssh.insert_key = {insert_key}\n\
             \x20 end\n\
             \x20 config.vm.define \"output\" do |output|\n\
             \x20   output.vm.box = {box_name}\n\
             \x20   output.vm.box_url = \"file://{BOX}\"\n\
             \x20   config.ssh.insert_key = {insert_key}\n\
             \x20 end\n\
             \x20 config.vm.synced_folder {folder}\n\
             end\n"
        )
    }

    fn text(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let usual = self.usual();
        if self.template.is_empty() {
            return Ok(usual);
        }
        let about = || format!("the template {}", self.template);
        let text = peer::read_regular_text(self.template.as_ref(), LARGEST);
        let text = text.with_context(about)?;
        let dot: Dot = [
            ("SyncedFolder", Json::from(self.synced_folder.as_str())),
            ("SourceBox", self.source.as_str().into()),
            ("BoxName", self.box_name.as_str().into()),
            ("InsertKey", self.insert_key.into()),
            ("DefaultTemplate", usual.into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let template = Template::parse(&text);
        let text = template.and_then(|template| template.render(&cx.facts.scope, &dot));
        text.with_context(about)
    }
}

#[async_trait]
impl Step for WriteVagrantfile {
    type Output = ();

    fn name(&self) -> &'static str {
        "write the Vagrantfile"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Creating a Vagrantfile in the build directory...");
        let path = self.directory.join("Vagrantfile");
        let written = tokio::fs::write(&path, self.text(cx)?).await;
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Adds the box to those that Vagrant knows. It stays there for the next build.
pub(super) struct AddBox {
    pub program: Program,
    pub arguments: Vec<String>,
}

#[async_trait]
impl Step for AddBox {
    type Output = ();

    fn name(&self) -> &'static str {
        "add the box"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Adding box using vagrant box add ...");
        cx.ui.say("(this can take some time if we need to download the box)");
        let arguments = self.arguments.iter().map(String::as_str);
        let arguments: Vec<&str> = ["box", "add"].into_iter().chain(arguments).collect();
        let added = self.program.run(&arguments, &cx.ui, &cx.cancel).await;
        added.context(
            "Failed to get box, if it is already in Vagrant, try using the `skip_add` option",
        )
    }
}

/// Starts the machine; undone as the template says.
pub(super) struct Up {
    program: Program,
    provider: String,
    made: Made,
    thing: Arc<Thing>,
}

impl Up {
    pub fn new(program: &Program, machine: &str, provider: String, teardown: Teardown) -> Self {
        let directory = program.directory().to_owned();
        let made = Made { directory, machine: machine.to_owned(), teardown };
        let thing = Thing::new("Vagrant machine", machine)
            .at(program.directory().display().to_string())
            .with_details(json!({ "vagrant": made }));
        Self { program: program.clone(), provider, made, thing: Arc::new(thing) }
    }
}

#[async_trait]
impl Step for Up {
    type Output = ();

    fn name(&self) -> &'static str {
        "start the machine"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.thing.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Calling Vagrant Up (this can take some time)...");
        self.thing.attempt();
        let provider = format!("--provider={}", self.provider);
        let mut arguments = vec!["up", &self.made.machine];
        if !self.provider.is_empty() {
            arguments.push(&provider);
        }
        self.program.run(&arguments, &cx.ui, &cx.cancel).await?;
        cx.journal.made(&self.thing, &self.made.machine);
        Ok(())
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        if !self.thing.is_attempted() {
            return Ok(());
        }
        end(&self.program, &self.made, &cx.ui, &CancellationToken::new()).await
    }
}

/// Packs the machine into a new box.
pub(super) struct PackageBox {
    pub program: Program,
    pub machine: String,
    pub include: Vec<String>,
    pub vagrantfile: String,
}

#[async_trait]
impl Step for PackageBox {
    type Output = ();

    fn name(&self) -> &'static str {
        "package the box"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Packaging box...");
        let include = self.include.join(",");
        let mut arguments = vec!["package", &self.machine];
        if !include.is_empty() {
            arguments.extend(["--include", &include]);
        }
        if !self.vagrantfile.is_empty() {
            arguments.extend(["--vagrantfile", &self.vagrantfile]);
        }
        arguments.extend(["--output", BOX]);
        self.program.run_inside(&arguments, &cx.ui, &cx.cancel).await
    }
}
