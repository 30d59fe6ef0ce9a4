//! `imgbake init`: the plugins that a template requires and that are not built in are installed, and
//! written down in its lock file.

use std::path::Path;

use clap::Args;

use super::front::{self, TemplateArguments};
use super::{Exit, Session, plugins};
use crate::event::Ui;
use crate::plan;
use crate::plugin::install::{self, Done, Wish};
use crate::plugin::installed::{self, Installed};
use crate::plugin::lock::{self, Lock, Pinned};
use crate::plugin::version::Constraints;
use crate::source::SourceMap;
use crate::template::ast::{Dialect, RequiredPlugin, Template};

/// `imgbake init [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Install the newest versions that the template allows, whatever is installed and locked.
    #[arg(long)]
    pub upgrade: bool,
    /// Install the plugins again.
    #[arg(long)]
    pub force: bool,
    /// Whether the lock file is left as it is.
    #[arg(skip)]
    pub keeps_lock: bool,
    /// Which template.
    #[command(flatten)]
    pub template: TemplateArguments,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    arguments.template.warn_of_idle_flags(ui, "init");
    let mut sources = SourceMap::default();
    let template = arguments.template.one();
    let loaded = template.and_then(|template| {
        let (template, mut found) = front::load(&template, &mut sources)?;
        found.extend(plan::versions(&template));
        found.into_result(template)
    });
    let Some(template) = session.shown(ui, loaded, &sources) else {
        return Exit::Failure;
    };
    if template.dialect == Dialect::Json {
        ui.error("Error: only HCL2 templates can require plugins; this one is legacy JSON");
        return Exit::Failure;
    }
    if template.required_plugins.is_empty() {
        ui.say("The template requires no plugins.");
        return Exit::Success;
    }
    let path = lock::path_for(&session.environment.cwd.join(&arguments.template.template));
    let before = match (Lock::read(&path), arguments.upgrade) {
        (Ok(before), _) => before,
        (Err(_), true) => Lock::default(),
        (Err(error), false) => {
            ui.error(format!("Error: {error:#}"));
            return Exit::Failure;
        }
    };
    let locked = if arguments.upgrade { Lock::default() } else { before.clone() };
    let installing = Installing { session, ui, arguments, before, locked, failed: false };
    let installed = installing.all(&template);
    let path = (!arguments.keeps_lock).then_some(path.as_path());
    finish(session, ui, path, installed, &template, &sources)
}

/// Installs what a template requires, if it lacks anything; for whoever runs another command then, which
/// says what is wrong with the template.
pub fn provide(session: &Session, ui: &Ui, template: TemplateArguments) {
    let arguments = Arguments { upgrade: false, force: false, keeps_lock: true, template };
    let mut sources = SourceMap::default();
    let Ok((template, _)) = front::load(&arguments.template, &mut sources) else { return };
    let is_needed = |required| session.registry.needs_program(&template, required);
    if template.dialect == Dialect::Hcl && template.required_plugins.iter().any(is_needed) {
        run(session, ui, &arguments);
    }
}

/// Writes the lock file at `path`, and says what still is not there.
fn finish(
    session: &Session,
    ui: &Ui,
    path: Option<&Path>,
    installed: Option<Lock>,
    template: &Template,
    sources: &SourceMap,
) -> Exit {
    let Some(lock) = installed else { return Exit::Failure };
    if let Some(path) = path
        && lock != Lock::default()
        && Lock::read(path).ok().as_ref() != Some(&lock)
        && let Err(error) = std::fs::write(path, lock.text())
    {
        ui.error(format!("Error: {} cannot be written: {error}", path.display()));
        return Exit::Failure;
    }
    let registry = session.registry.for_template(template, &session.environment);
    let lacks = plan::requirements(template, registry.plugins());
    session.show(ui, &lacks, sources);
    if lacks.has_errors() { Exit::Failure } else { Exit::Success }
}

struct Installing<'a> {
    session: &'a Session,
    ui: &'a Ui,
    arguments: &'a Arguments,
    /// What the lock file said.
    before: Lock,
    /// What it will say.
    locked: Lock,
    failed: bool,
}

impl Installing<'_> {
    /// Installs what `template` requires and lacks; the new lock file, if all of it worked.
    fn all(mut self, template: &Template) -> Option<Lock> {
        let mut wanted = Vec::new();
        for required in &template.required_plugins {
            if !self.session.registry.needs_program(template, required) {
                continue;
            }
            let source = &required.source.value;
            match self.wish(required) {
                Ok(Some(wish)) => wanted.push(wish),
                Ok(None) => {}
                Err(error) => self.fail(source, &error),
            }
        }
        let names: Vec<String> = wanted.iter().map(|wish| wish.source.clone()).collect();
        let done = install::all(wanted, &self.session.environment, self.ui);
        for (source, done) in names.iter().zip(done) {
            match done {
                Ok(Done { found, pinned, signature }) => {
                    self.ui.say(plugins::said(&found, &signature));
                    self.locked.pin(source, pinned.with_others_of(self.before.of(source)));
                }
                Err(error) => self.fail(source, &error),
            }
        }
        if !self.failed && !self.arguments.keeps_lock {
            self.complete(template);
        }
        (!self.failed).then_some(self.locked)
    }

    /// Adds the sums of the archives to what was locked without them: of programs that were installed
    /// otherwise.
    fn complete(&mut self, template: &Template) {
        let sources = template.required_plugins.iter().map(|required| &required.source.value);
        let lacking: Vec<(String, Pinned)> = sources
            .filter_map(|source| Some((source.clone(), self.locked.of(source)?.clone())))
            .filter(|(_, pinned)| pinned.archives.is_empty())
            .collect();
        let wanted =
            lacking.iter().map(|(source, pinned)| (source.clone(), pinned.version.clone()));
        let found = install::sums(wanted.collect(), &self.session.environment);
        for ((source, pinned), archives) in lacking.iter().zip(found) {
            match archives {
                Ok(archives) => self.locked.pin(source, Pinned { archives, ..pinned.clone() }),
                Err(error) => self.ui.say(format!(
                    "{} locks {source} {} for this platform alone, as the sums of its release are not \
                     known: {error:#}",
                    lock::NAME,
                    pinned.version
                )),
            }
        }
    }

    fn fail(&mut self, source: &str, error: &anyhow::Error) {
        self.failed = true;
        self.ui.error(format!("Failed getting the \"{source}\" plugin:\n{error:#}"));
    }

    /// What is to be fetched for `required`; nothing if what is installed will do. That is locked, too.
    fn wish(&mut self, required: &RequiredPlugin) -> anyhow::Result<Option<Wish>> {
        let source = &required.source.value;
        let constraints =
            Constraints::parse(&required.version.value).map_err(anyhow::Error::msg)?;
        let pinned = self.locked.of(source).cloned();
        if let Some(pinned) = &pinned {
            pinned.check_constraints(source, &constraints)?;
        }
        let fits = |found: &Installed| {
            pinned.as_ref().is_none_or(|pinned| pinned.version == found.version.text())
        };
        let mut installed = installed::fitting(source, &constraints, &self.session.environment)?;
        installed.retain(fits);
        if let Some(found) =
            installed.pop().filter(|_| !self.arguments.upgrade && !self.arguments.force)
        {
            let sum = found.check()?;
            let version = found.version.text().to_owned();
            let pinned = pinned.unwrap_or_else(|| Pinned { version, ..Pinned::default() });
            pinned.check_sum(source, &sum)?;
            self.locked.pin(source, pinned.with_program(sum));
            return Ok(None);
        }
        // The directory must be known before anything is fetched.
        installed::directory(&self.session.environment)?;
        Ok(Some(Wish { source: source.clone(), constraints, pinned }))
    }
}
