//! Files → [`Template`]: which files an argument means, and what each of them is.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::{SourceMap, Spanned};
use crate::template::ast::{Dialect, Expr, Template};

/// What `-config-type` says about an argument that does not show its language itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConfigType {
    /// A legacy JSON template.
    #[default]
    Json,
    /// HCL2.
    Hcl2,
}

/// The template that a command is about.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// A file, a directory of `*.pkr.hcl` and `*.pkr.json`, or `-` for standard input.
    pub path: PathBuf,
    /// `-config-type`.
    pub config_type: ConfigType,
}

/// One `name = value` of a variable file.
#[derive(Clone, Debug)]
pub struct VarAssignment {
    /// The variable.
    pub name: Spanned<String>,
    /// Its value; it refers to nothing and calls nothing. In a legacy variable file always a
    /// string.
    pub value: Expr,
}

/// Reads the template that `request` means, all files of it, and says all that is wrong with their
/// text at once.
pub fn load(
    request: &LoadRequest,
    _sources: &mut SourceMap,
) -> Result<(Template, Diagnostics), Diagnostics> {
    let path = request.path.display();
    Err(Diagnostic::error(code::UNREADABLE, format!("`{path}` cannot be read")).into())
}

/// Reads a file of `-var-file`, or one that [`auto_var_files`] lists.
pub fn var_file(
    _path: &Path,
    _dialect: Dialect,
    _sources: &mut SourceMap,
) -> Result<Vec<VarAssignment>, Diagnostics> {
    Ok(Vec::new())
}

/// The `*.auto.pkrvars.hcl` files of an HCL2 template's directory, then its `*.auto.pkrvars.json`
/// files; each later one wins. A template that is one file has none.
pub fn auto_var_files(_request: &LoadRequest) -> Result<Vec<PathBuf>, Diagnostics> {
    Ok(Vec::new())
}
