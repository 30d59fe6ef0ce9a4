//! `imgbake hcl2_upgrade`: a legacy template as an HCL2 file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;

use super::front::{self, TemplateArguments};
use super::{Exit, Session};
use crate::event::Ui;
use crate::source::SourceMap;
use crate::template::ast::Dialect;
use crate::template::{load, upgrade};

/// `imgbake hcl2_upgrade [flags] TEMPLATE`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The file to write; its folders are made. Without this flag TEMPLATE.pkr.hcl.
    #[arg(long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// Says in comments what each part of the file is.
    #[arg(long)]
    pub with_annotations: bool,
    /// Which template.
    #[command(flatten)]
    pub template: TemplateArguments,
}

pub(super) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    arguments.template.warn_of_idle_flags(ui, "hcl2_upgrade");
    let templates = match &arguments.output_file {
        Some(_) => arguments.template.one().map(|one| vec![one]),
        None => arguments.template.each(),
    };
    front::for_each(session, ui, templates, |template| {
        upgrade_one(session, ui, &Arguments { template: template.clone(), ..arguments.clone() })
    })
}

fn upgrade_one(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let request = arguments.template.load_request();
    let mut sources = SourceMap::default();
    if request.dialect() == Dialect::Hcl {
        match load::misnamed_legacy(&request.path, &mut sources) {
            Some(legacy) => session.show(ui, &legacy.into(), &sources),
            None => ui.error("Error: the template is HCL2 already"),
        }
        return Exit::Failure;
    }
    let Some(output) = output_file(arguments) else {
        ui.error("Error: say with -output-file where the template of standard input goes");
        return Exit::Failure;
    };
    let loaded = load::load(&request, &mut sources);
    let Some(template) = session.shown(ui, loaded, &sources) else {
        return Exit::Failure;
    };
    let registry = session.registry.for_template(&template, &session.environment);
    let text = upgrade::upgrade(&template, &registry, arguments.with_annotations);
    if let Err(error) = write(&output, &text) {
        ui.error(format!("Error: `{}` cannot be written: {error}", output.display()));
        return Exit::Failure;
    }
    let unknown = registry.unknown_components(&template);
    for component in &unknown {
        ui.error(format!("Error: {component}: its block is written as it was, unchecked"));
    }
    let exit = if unknown.is_empty() { Exit::Success } else { Exit::Failure };
    ui.say(format!("Successfully created {}. Exit {}", output.display(), exit as u8));
    exit
}

/// The file to write. What comes from standard input has no name to make one of.
fn output_file(arguments: &Arguments) -> Option<PathBuf> {
    let template = &arguments.template.template;
    let beside = || {
        let mut name: OsString = template.clone().into();
        name.push(".pkr.hcl");
        PathBuf::from(name)
    };
    let named = (template != Path::new("-")).then(beside);
    arguments.output_file.clone().or(named)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
