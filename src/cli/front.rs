//! The front half of the commands that read a template: arguments → texts → template → values →
//! plan.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The arguments that all of these commands share.
#[derive(Args, Clone, Debug)]
pub struct TemplateArguments {
    /// Only these builds: exact names (JSON) or globs (HCL2). A list with commas; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub only: Vec<String>,
    /// Without these builds and post-processors; as `-only`.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub except: Vec<String>,
    /// A value for a variable; wins over all files. May be repeated.
    #[arg(long, value_parser = assignment, value_name = "NAME=VALUE")]
    pub var: Vec<(String, String)>,
    /// A file with values for variables; later files win. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub var_file: Vec<PathBuf>,
    /// The language of a template whose name does not say it.
    #[arg(long, value_enum, default_value_t)]
    pub config_type: ConfigType,
    /// A template file, a directory of `.pkr.hcl` and `.pkr.json` files, or `-` for JSON from
    /// standard input.
    pub template: PathBuf,
}

/// The words of `-config-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigType {
    /// Legacy JSON.
    #[default]
    Json,
    /// HCL2.
    Hcl2,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("no '=' in it: write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
