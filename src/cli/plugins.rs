//! `imgbake plugins …`: plugins are installed, listed and removed.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::front::{self, TemplateArguments};
use super::{Exit, Session};
use crate::event::Ui;
use crate::plugin::install::{self, Wish};
use crate::plugin::installed::{self, Installed};
use crate::plugin::version::Constraints;
use crate::source::SourceMap;

/// `imgbake plugins COMMAND`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// The commands about plugins.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Installs a plugin: `plugins install github.com/hashicorp/docker ">= 1.0"`.
    Install {
        /// Install this program, not a release.
        #[arg(long, value_name = "FILE", conflicts_with = "version")]
        path: Option<PathBuf>,
        /// Install it even if the newest version that would do is installed.
        #[arg(long)]
        force: bool,
        /// Which plugin: `github.com/hashicorp/docker`.
        source: String,
        /// Which versions would do, e.g. `>= 1.2, < 2`; the newest of them is installed.
        version: Option<String>,
    },
    /// Lists the files of the installed plugins.
    Installed,
    /// Removes a plugin: all of its versions, or those that are said, or one file.
    Remove {
        /// Which plugin, or the path of its file.
        plugin: String,
        /// Which versions.
        version: Option<String>,
    },
    /// Lists the plugins that a template requires, and the installed files that would do.
    Required {
        /// Which template.
        #[command(flatten)]
        template: TemplateArguments,
    },
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let done = match &arguments.task {
        Task::Install { path: Some(path), source, .. } => from_file(session, ui, path, source),
        Task::Install { path: None, force, source, version } => {
            install(session, ui, source, version.as_deref(), *force)
        }
        Task::Installed => list(session, ui),
        Task::Remove { plugin, version } => remove(session, ui, plugin, version.as_deref()),
        Task::Required { template } => return required(session, ui, template),
    };
    match done {
        Ok(()) => Exit::Success,
        Err(error) => {
            ui.error(format!("Error: {error:#}"));
            Exit::Failure
        }
    }
}

/// All versions, where none are said.
fn constraints(version: Option<&str>) -> anyhow::Result<Constraints> {
    Constraints::parse(version.unwrap_or(">= 0")).map_err(anyhow::Error::msg)
}

fn from_file(session: &Session, ui: &Ui, path: &Path, source: &str) -> anyhow::Result<()> {
    let path = &session.environment.cwd.join(path);
    let found = install::from_file(path, source, &session.environment)?;
    ui.say(format!(
        "Successfully installed plugin {source} from {} to {}",
        path.display(),
        found.path.display()
    ));
    Ok(())
}

fn install(
    session: &Session,
    ui: &Ui,
    source: &str,
    version: Option<&str>,
    force: bool,
) -> anyhow::Result<()> {
    let constraints = constraints(version)?;
    let found = installed::fitting(source, &constraints, &session.environment)?.pop();
    let wish = Wish { source: source.to_owned(), constraints, pinned: None };
    if let Some(found) = found.filter(|_| !force) {
        let newest = install::is_newest(&wish, &found, &session.environment, ui);
        let newest = newest.unwrap_or_else(|error| {
            ui.say(format!("Whether there is a newer version is not known: {error:#}"));
            true
        });
        if newest {
            ui.say(format!("{source} is installed: {}", found.path.display()));
            return Ok(());
        }
    }
    for done in install::all(vec![wish], &session.environment, ui) {
        let done = done?;
        ui.say(said(&done.found, &done.signature));
    }
    Ok(())
}

/// That a plugin was installed.
pub(super) fn said(found: &Installed, signature: &str) -> String {
    let (source, version) = (&found.source, found.version.text());
    format!("Installed plugin {source} v{version} in \"{}\"; {signature}", found.path.display())
}

fn list(session: &Session, ui: &Ui) -> anyhow::Result<()> {
    for found in installed::all(&installed::directory(&session.environment)?) {
        ui.say(found.path.display().to_string());
    }
    Ok(())
}

fn remove(session: &Session, ui: &Ui, plugin: &str, version: Option<&str>) -> anyhow::Result<()> {
    let root = installed::directory(&session.environment)?;
    let all = installed::all(&root);
    let chosen: Vec<Installed> = match Path::new(plugin).is_absolute() {
        true => {
            anyhow::ensure!(
                version.is_none(),
                "a path has no version: give a source, or the path alone"
            );
            all.into_iter().filter(|found| found.path == Path::new(plugin)).collect()
        }
        false => installed::fitting(plugin, &constraints(version)?, &session.environment)?,
    };
    anyhow::ensure!(!chosen.is_empty(), "no such plugin is installed in {}", root.display());
    for found in chosen {
        install::remove(&found)?;
        ui.say(found.path.display().to_string());
    }
    Ok(())
}

fn required(session: &Session, ui: &Ui, template: &TemplateArguments) -> Exit {
    template.warn_of_idle_flags(ui, "plugins required");
    let mut sources = SourceMap::default();
    let loaded = template.one().and_then(|template| front::load(&template, &mut sources));
    let Some(template) = session.shown(ui, loaded, &sources) else { return Exit::Failure };
    for plugin in &template.required_plugins {
        let (name, source, version) =
            (&plugin.name.value, &plugin.source.value, &plugin.version.value);
        let files = Constraints::parse(version).map_err(anyhow::Error::msg);
        let files = files
            .and_then(|constraints| installed::fitting(source, &constraints, &session.environment));
        let files = files.unwrap_or_default();
        let files: String =
            files.iter().map(|found| format!(" {}", found.path.display())).collect();
        ui.say(format!("{name} {source} \"{version}\"{files}"));
    }
    Exit::Success
}
