//! `imgbake history`: what has been baked from a template, as manifests, the tags of AMIs, the records
//! beside disks and the labels of container images say it.

#[cfg(feature = "aws")]
mod channels;
mod manifest;
mod rows;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use self::manifest::Entry;
use self::rows::{Row, Told};
use super::answer::{self, Format};
#[cfg(feature = "aws")]
use super::channel::PREFIX;
use super::cleanup::on_runtime;
use super::front::{self, PlanOptions, Planned, TemplateArguments};
use super::{Exit, Session};
use crate::component::{PastQuery, Purpose};
use crate::event::{Message, Ui};
use crate::permission::policy;
use crate::plan::{Plan, PlannedBuild};
use crate::source::SourceMap;

/// The manifest of the action, which is read if it is there.
pub const OF_ACTION: &str = "imgbake-manifest.json";

/// `imgbake history [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// How the answer is written: for people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// A manifest. May be repeated; otherwise those that the template writes, and the action's.
    #[arg(long, value_name = "FILE")]
    pub manifest: Vec<PathBuf>,
    /// What the names of the parameters of channels begin with.
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "PATH", default_value = PREFIX)]
    pub prefix: String,
    /// Prints the IAM policy that this command needs, and does nothing.
    #[arg(long)]
    pub iam_policy: bool,
    /// Which template, and what it is given.
    #[command(flatten)]
    pub template: TemplateArguments,
}

/// Shows what was baked.
pub fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    #[cfg(feature = "aws")]
    if let Err(error) = crate::channel::check_prefix(&arguments.prefix) {
        ui.error(format!("Error: {error:#}"));
        return Exit::Failure;
    }
    let mut rows = Vec::new();
    let exit = front::for_each(session, ui, arguments.template.each(), |template| {
        let options = PlanOptions { fingerprints: !arguments.iam_policy, ..PlanOptions::default() };
        let mut sources = SourceMap::default();
        let planned = front::plan(session, ui, template, options, &mut sources);
        let Some(Planned { plan, .. }) = session.shown(ui, planned, &sources) else {
            return Exit::Failure;
        };
        let command = HistoryCommand { session, ui, arguments };
        if arguments.iam_policy {
            return command.show_policy(&plan);
        }
        on_runtime(ui, async {
            let (found, exit) = command.look(&plan).await;
            rows.extend(found);
            exit
        })
    });
    // Where nothing could be read, nothing is known of what was baked.
    match arguments.iam_policy || (rows.is_empty() && exit != Exit::Success) {
        true => exit,
        false => exit.max(tell(ui, arguments.format, &rows)),
    }
}

/// All that is known of images, the newest first for each template.
fn tell(ui: &Ui, format: Format, rows: &[Row]) -> Exit {
    for row in rows {
        let target = ui.for_target(row.build.as_str());
        target.send(Message::Record("baked-image".into(), row.fields()));
    }
    let told: Vec<Told> = rows.iter().map(Row::told).collect();
    answer::write(ui, format, &told, || {
        if rows.is_empty() {
            return "Nothing is known to have been baked from this template.".to_owned();
        }
        let heading = ["made (UTC)", "build", "image", "region", "size", "", "channels", "changed"];
        let mut table = vec![heading.map(str::to_owned)];
        table.extend(rows.iter().map(Row::cells));
        aligned(&table)
    })
}

/// The command at work.
struct HistoryCommand<'a> {
    session: &'a Session,
    ui: &'a Ui,
    arguments: &'a Arguments,
}

impl HistoryCommand<'_> {
    fn show_policy(&self, plan: &Plan) -> Exit {
        let environment = &self.session.environment;
        let of = |build: &PlannedBuild| build.builder.permissions(Purpose::Look, environment);
        let looks: Vec<_> = plan.builds.iter().flat_map(of).collect();
        if looks.is_empty() {
            self.ui.error("Error: no build of the template has images in an AWS account");
            return Exit::Failure;
        }
        #[cfg(feature = "aws")]
        let looks = looks.into_iter().chain(channels::permissions(&self.arguments.prefix));
        self.ui.say(format!("{:#}", policy(looks)));
        Exit::Success
    }

    /// Says what is not known. Standard output may be for a program.
    fn warn(&self, text: &str) {
        self.ui.send(Message::Diagnostics(format!("{text}\n")));
    }

    /// The images of all builds.
    async fn look(&self, plan: &Plan) -> (Vec<Row>, Exit) {
        let (entries, mut exit) = self.entries(plan);
        let mut rows = Vec::new();
        for build in &plan.builds {
            let (own, found) = self.of_build(build, &entries).await;
            rows.extend(own);
            exit = exit.max(found);
        }
        #[cfg(feature = "aws")]
        let exit = exit.max(channels::note(self, &mut rows).await);
        rows.sort_by_key(|row| std::cmp::Reverse(row.made_at));
        (rows, exit)
    }

    /// What manifests say.
    fn entries(&self, plan: &Plan) -> (Vec<Entry>, Exit) {
        let given = !self.arguments.manifest.is_empty();
        let after = plan.builds.iter().flat_map(|build| build.post_processors.iter().flatten());
        let written = after.filter_map(|one| one.first.manifest());
        let paths: BTreeSet<PathBuf> = match given {
            true => self.arguments.manifest.iter().cloned().collect(),
            false => written.chain([PathBuf::from(OF_ACTION)]).collect(),
        };
        let (mut all, mut exit) = (Vec::new(), Exit::Success);
        for path in paths {
            let shown = path.display();
            match manifest::read(&self.session.environment.cwd.join(&path), given) {
                Ok((entries, strange)) => {
                    all.extend(entries);
                    if strange > 0 {
                        let what = format!("{strange} entries are none of a manifest");
                        self.warn(&format!("Warning: {shown}: {what}"));
                    }
                }
                Err(error) => {
                    self.warn(&format!("Error: {shown}: {error:#}"));
                    exit = Exit::Failure;
                }
            }
        }
        // The action's know neither when nor from what: they only add to what others say.
        all.sort_by_key(|entry| entry.made_at.is_none());
        (all, exit)
    }

    /// The images of one build, the newest first.
    async fn of_build(&self, build: &PlannedBuild, entries: &[Entry]) -> (Vec<Row>, Exit) {
        let own = entries.iter().filter(|entry| is_of(entry, build));
        let mut rows: Vec<Row> = Vec::new();
        for row in own.flat_map(|entry| rows::of_entry(&build.name, entry)) {
            rows::add(&mut rows, row);
        }
        let known = rows.iter().filter(|row| !row.region.is_empty());
        let query = PastQuery {
            build: build.facts.unique_name.clone(),
            known: known.map(|row| format!("{}:{}", row.region, row.id)).collect(),
            environment: self.session.environment.clone(),
            redactor: self.session.redactor.clone(),
        };
        let what = format!("the images of {}", build.name);
        let exit = match self.ui.wait_for(&what, build.builder.earlier_images(&query)).await {
            Ok(None) => Exit::Success,
            Ok(Some(found)) => {
                rows::join(&build.name, &self.session.environment.cwd, &mut rows, found);
                Exit::Success
            }
            Err(error) => {
                let name = &build.name;
                self.warn(&format!("Error: {name}: what is there now is not known: {error:#}"));
                Exit::Failure
            }
        };
        // This reads all that the build is made from.
        let now = match rows::can_be_compared(&rows) {
            true => build.fingerprint.record().await.ok(),
            false => None,
        };
        rows::compare(&mut rows, now.as_ref());
        (rows, exit)
    }
}

/// Whether a manifest tells of `build` there.
fn is_of(entry: &Entry, build: &PlannedBuild) -> bool {
    let facts = &build.facts;
    match &entry.made_from {
        Some(made_from) => made_from.build == facts.unique_name,
        None if entry.builder_type.is_empty() => {
            entry.name == build.name || entry.name == facts.unique_name
        }
        None => entry.name == facts.source_name() && entry.builder_type == facts.builder_type,
    }
}

/// Columns that stand below each other; those that say nothing are left out.
fn aligned(table: &[[String; 8]]) -> String {
    let width = |column: usize| {
        let cells = table.iter().map(|row| row[column].chars().count());
        let says = table.iter().skip(1).any(|row| !row[column].is_empty());
        if says { cells.max().unwrap_or_default() } else { 0 }
    };
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let cells = cells.map(|(cell, width)| {
            format!("{cell}{}", " ".repeat(width - cell.chars().count().min(*width)))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect::<Vec<_>>().join("\n")
}
