//! `imgbake report`: the machine-readable log of a run, as a page.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::{Exit, Session};
use crate::event::Ui;
use crate::peer::open_regular;
use crate::report::page::{Draft, Run};

/// `imgbake report [flags] [LOG]`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The file of the page.
    #[arg(long, value_name = "FILE", default_value = "imgbake-report.html")]
    pub output: PathBuf,
    /// What `imgbake -machine-readable build` has written; `-` is standard input.
    #[arg(default_value = "-")]
    pub log: PathBuf,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    match write(&session.environment.cwd, arguments) {
        Ok(()) => {
            ui.say(format!("The report is in {}", arguments.output.display()));
            Exit::Success
        }
        Err(error) => {
            ui.error(format!("Error: {error:#}"));
            Exit::Failure
        }
    }
}

fn write(dir: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let run = read(dir, &arguments.log)?;
    Draft::create(dir, &arguments.output)?.write(&run, dir)
}

fn read(dir: &Path, log: &Path) -> anyhow::Result<Run> {
    if log == Path::new("-") {
        return Run::read(io::stdin().lock()).context("standard input");
    }
    let file = open_regular(&dir.join(log)).map_err(anyhow::Error::from);
    file.and_then(|file| Run::read(BufReader::new(file))).with_context(|| log.display().to_string())
}
