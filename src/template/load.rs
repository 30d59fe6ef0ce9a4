//! Files → [`Template`]: which files an argument means, and what each of them is.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::budget::Limit;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::reach::Reach;
use crate::source::{FileId, SourceMap, Span, Spanned};
use crate::template::ast::{Attribute, Body, Dialect, Expr, Template};
use crate::template::{hcl, json, root};

/// The two syntaxes of HCL2 templates, in the order in which their files are merged.
const TEMPLATE_SUFFIXES: [&str; 2] = [".pkr.hcl", ".pkr.json"];

/// Variable files that are read without being asked for, in the order in which they win.
const AUTO_VAR_SUFFIXES: [&str; 2] = [".auto.pkrvars.hcl", ".auto.pkrvars.json"];

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
    /// How much is asked of it.
    pub reading: Reading,
    /// Where its files may lead, which whoever wrote it chose.
    pub reach: Reach,
}

/// How much is asked of a template that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// It must fit together.
    #[default]
    Strict,
    /// It must be one. As in Packer, names that two files define and what is odd inside of
    /// `build` count only for those who build: here they are warnings.
    Loose,
}

impl LoadRequest {
    /// The template at `path`, read strictly, wherever its files lead.
    pub fn new(path: PathBuf, config_type: ConfigType) -> Self {
        Self { path, config_type, reading: Reading::Strict, reach: Reach::default() }
    }

    /// The language of the template.
    pub fn dialect(&self) -> Dialect {
        let by_name = has_suffix(&self.path, &TEMPLATE_SUFFIXES);
        match self.config_type {
            ConfigType::Json if !by_name && (self.is_stdin() || !self.path.is_dir()) => {
                Dialect::Json
            }
            _ => Dialect::Hcl,
        }
    }

    fn is_stdin(&self) -> bool {
        is_stdin(&self.path)
    }

    /// The directory that the template is in.
    fn dir(&self) -> PathBuf {
        let dir = match self.path.parent() {
            _ if !self.is_stdin() && self.path.is_dir() => return self.path.clone(),
            Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
            Some(dir) => dir,
            None => Path::new("."),
        };
        dir.to_owned()
    }
}

/// One `name = value` of a variable file.
#[derive(Clone, Debug)]
pub struct VarAssignment {
    /// The variable.
    pub name: Spanned<String>,
    /// Its value, to be evaluated with nothing in scope. In a legacy variable file always a string.
    pub value: Expr,
}

/// Reads the template that `request` means, all files of it, and says all that is wrong with their
/// text at once.
pub fn load(
    request: &LoadRequest,
    sources: &mut SourceMap,
) -> Result<(Template, Diagnostics), Diagnostics> {
    match request.dialect() {
        Dialect::Json => load_legacy(request, sources),
        Dialect::Hcl => load_hcl(request, sources),
    }
}

/// A template in which there is nothing, for expressions that need none.
pub fn empty(dialect: Dialect) -> Template {
    let (nothing, _found) = root::template(Vec::new(), Path::new("."), false, Reading::Strict);
    Template { dialect, ..nothing }
}

fn load_legacy(
    request: &LoadRequest,
    sources: &mut SourceMap,
) -> Result<(Template, Diagnostics), Diagnostics> {
    let file = text(&request.path, &request.reach, sources)?;
    legacy(file, request, sources)
}

/// Reads a text of `sources` as the legacy template that `request` means.
pub fn legacy(
    file: FileId,
    request: &LoadRequest,
    sources: &SourceMap,
) -> Result<(Template, Diagnostics), Diagnostics> {
    let (root, mut diagnostics) = json::parse(file, sources);
    let Some(root) = root else {
        return Err(diagnostics);
    };
    let (template, findings) = json::legacy::template(root, &request.dir());
    diagnostics.extend(findings);
    diagnostics.into_result(template)
}

fn load_hcl(
    request: &LoadRequest,
    sources: &mut SourceMap,
) -> Result<(Template, Diagnostics), Diagnostics> {
    let paths = files_of(&request.path, &TEMPLATE_SUFFIXES)?;
    if paths.is_empty() {
        let summary = format!("there is no template in `{}`", request.path.display());
        let error = Diagnostic::error(code::UNREADABLE, summary);
        return Err(error.help("an HCL2 template is named *.pkr.hcl or *.pkr.json").into());
    }
    let mut unreadable = Diagnostics::default();
    let mut files = Vec::new();
    for path in paths {
        match read(&path, &request.reach, sources) {
            Ok(file) => files.push(file),
            Err(found) => unreadable.extend(found),
        }
    }
    hcl2(&files, unreadable, request, sources)
}

/// Reads texts of `sources` as the HCL2 template that `request` means. `diagnostics` is why others
/// could not be read.
pub fn hcl2(
    files: &[FileId],
    mut diagnostics: Diagnostics,
    request: &LoadRequest,
    sources: &SourceMap,
) -> Result<(Template, Diagnostics), Diagnostics> {
    let mut bodies = Vec::new();
    for &file in files {
        bodies.extend(hcl_file(file, sources, &mut diagnostics));
    }
    let incomplete = diagnostics.has_errors();
    let (template, findings) = root::template(bodies, &request.dir(), incomplete, request.reading);
    diagnostics.extend(findings);
    diagnostics.into_result(template)
}

/// A file of an HCL2 template, in the syntax that its name says.
fn hcl_file(file: FileId, sources: &SourceMap, diagnostics: &mut Diagnostics) -> Option<Body> {
    let (body, findings) = if has_suffix(&sources.file(file).path, &[".json"]) {
        let (root, syntax) = json::parse(file, sources);
        diagnostics.extend(syntax);
        json::hcl::file(root?, sources.budget())
    } else {
        hcl::parse_file(file, sources)
    };
    diagnostics.extend(findings);
    Some(body)
}

/// What to say of a legacy template that is named `*.pkr.json`, for commands that want one.
pub fn misnamed_legacy(path: &Path, sources: &mut SourceMap) -> Option<Diagnostic> {
    if !has_suffix(path, &[".pkr.json"]) {
        return None;
    }
    let file = read(path, &Reach::default(), sources).ok()?;
    json::hcl::legacy(&json::parse(file, sources).0?)
}

/// Reads a file of `-var-file`, or one that [`auto_var_files`] lists. HCL2 templates take HCL and
/// JSON, told by the name; legacy templates take an object of strings.
pub fn var_file(
    path: &Path,
    dialect: Dialect,
    sources: &mut SourceMap,
) -> Result<Vec<VarAssignment>, Diagnostics> {
    if dialect == Dialect::Hcl && !has_suffix(path, &[".json", ".hcl"]) {
        let summary = format!("`{}` is neither *.hcl nor *.json", path.display());
        let error = Diagnostic::error(code::UNREADABLE, summary);
        return Err(error.help("rename the variable file to *.pkrvars.hcl").into());
    }
    let before = sources.files().count();
    let file = read(path, &Reach::default(), sources);
    // Also where it is no text.
    sources.have_values(before);
    assignments(file?, dialect, sources)
}

/// Reads a text of `sources` as a variable file, in the syntax that its name says.
pub fn assignments(
    file: FileId,
    dialect: Dialect,
    sources: &SourceMap,
) -> Result<Vec<VarAssignment>, Diagnostics> {
    if dialect == Dialect::Hcl && !has_suffix(&sources.file(file).path, &[".json"]) {
        return hcl_var_file(file, sources);
    }
    let (root, mut diagnostics) = json::parse(file, sources);
    let Some(root) = root else {
        let path = &sources.file(file).path;
        return Err(match has_suffix(path, &[".hcl"]) {
            true => hcl_for_legacy(path),
            false => diagnostics,
        });
    };
    let read = match dialect {
        Dialect::Json => json::legacy::var_file,
        Dialect::Hcl => json::hcl::var_file,
    };
    match read(root) {
        Ok(assignments) => diagnostics.into_result(assignments).map(|(found, _)| found),
        Err(findings) => {
            diagnostics.extend(findings);
            Err(diagnostics)
        }
    }
}

fn hcl_for_legacy(path: &Path) -> Diagnostics {
    let summary = format!("`{}` is a variable file for HCL2 templates", path.display());
    let error = Diagnostic::error(code::UNREADABLE, summary);
    let error = error.note("the template is legacy JSON, whose variable files are JSON, too");
    error.help("write it as `{ \"name\": \"value\" }` in a file named *.json").into()
}

fn hcl_var_file(file: FileId, sources: &SourceMap) -> Result<Vec<VarAssignment>, Diagnostics> {
    let (body, mut diagnostics) = hcl::parse_file(file, sources);
    for block in body.blocks {
        let summary = match block.kind.value.as_str() {
            "variable" => "a variable is declared in a variable file".to_owned(),
            kind => format!("a variable file has no block `{kind}`"),
        };
        let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(block.span);
        diagnostics.push(error.help("a variable file holds lines like `name = value`"));
    }
    let assignment = |(name, Attribute { name: span, value })| {
        let name = Spanned::new(name, span);
        VarAssignment { name, value }
    };
    let assignments = body.attributes.into_iter().map(assignment).collect();
    diagnostics.into_result(assignments).map(|(assignments, _)| assignments)
}

/// The `*.auto.pkrvars.hcl` files of an HCL2 template's directory, then its `*.auto.pkrvars.json`
/// files; each later one wins. A template that is one file has none.
pub fn auto_var_files(request: &LoadRequest) -> Result<Vec<PathBuf>, Diagnostics> {
    match request.dialect() {
        Dialect::Hcl if request.path.is_dir() => {
            let files = files_of(&request.path, &AUTO_VAR_SUFFIXES)?;
            let check = |path: &PathBuf| {
                request.reach.check(path).map_err(|error| unreadable(path, &error))
            };
            files.iter().try_for_each(check).map(|()| files)
        }
        _ => Ok(Vec::new()),
    }
}

/// The directory of the HCL2 template `file`, if there are other such files in it: all of them can be
/// one template, too.
pub fn shared_directory(file: &Path) -> Option<PathBuf> {
    let own = files_of(file, &TEMPLATE_SUFFIXES).ok().filter(|own| own == &[file]);
    let dir = own.and(file.parent())?;
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let all = files_of(dir, &TEMPLATE_SUFFIXES).ok()?;
    (all.len() > 1).then(|| dir.to_owned())
}

/// The files of `path` with one of `suffixes`: itself, or those directly in it; by suffix, then by
/// name.
fn files_of(path: &Path, suffixes: &[&str]) -> Result<Vec<PathBuf>, Diagnostics> {
    let unreadable = |error: std::io::Error| unreadable(path, &error);
    let mut paths = Vec::new();
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if !path.is_dir() {
                paths.push(path);
            }
        }
        paths.sort();
    } else {
        paths.push(path.to_owned());
    }
    let of_suffix = |suffix| paths.iter().filter(move |path| has_suffix(path, &[suffix])).cloned();
    Ok(suffixes.iter().copied().flat_map(of_suffix).collect())
}

fn has_suffix(path: &Path, suffixes: &[&str]) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    suffixes.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// The paths that fit `argument`, by name, if it is a pattern (`images/*.pkr.hcl`); a path that exists
/// is none. That nothing fits is an error.
pub fn matches(argument: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    let Some(pattern) = argument.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Ok(vec![argument.to_owned()]);
    };
    if argument.exists() {
        return Ok(vec![argument.to_owned()]);
    }
    let error = |summary: String| Diagnostics::from(Diagnostic::error(code::UNREADABLE, summary));
    let paths = glob::glob(pattern)
        .map_err(|wrong| error(format!("`{pattern}` is no pattern: {wrong}")))?
        .collect::<Result<Vec<PathBuf>, _>>()
        .map_err(|wrong| unreadable(wrong.path(), wrong.error()))?;
    if paths.is_empty() { Err(error(format!("no file fits `{pattern}`"))) } else { Ok(paths) }
}

/// Whether a path of the command line means standard input: `-`, or nothing at all.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.as_os_str() == "-"
}

/// Takes the text of a file, or of standard input, into `sources`.
pub fn text(path: &Path, reach: &Reach, sources: &mut SourceMap) -> Result<FileId, Diagnostics> {
    match is_stdin(path) {
        true => add(Path::new("<stdin>"), read_all(std::io::stdin().lock()), sources),
        false => read(path, reach, sources),
    }
}

fn read(path: &Path, reach: &Reach, sources: &mut SourceMap) -> Result<FileId, Diagnostics> {
    add(path, reach.open(path).and_then(read_all), sources)
}

fn read_all(input: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(Limit::TEXT.most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes the text into `sources`, if it is one.
fn add(
    path: &Path,
    bytes: std::io::Result<Vec<u8>>,
    sources: &mut SourceMap,
) -> Result<FileId, Diagnostics> {
    let bytes = bytes.map_err(|error| unreadable(path, &error))?;
    let name = path.display();
    sources.budget().pay_text(bytes.len()).map_err(|exceeded| {
        Diagnostic::from(exceeded).note(format!("this is about the file `{name}`"))
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(sources.add(path, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let file = sources.add(path, text);
            let error = Diagnostic::error(code::UNREADABLE, format!("`{name}` is not UTF-8"));
            let error =
                error.at(Span::new(file, at, at + 1)).because("this byte begins no character");
            Err(error.help("save the file as UTF-8").into())
        }
    }
}

/// Says that a file or a directory cannot be read.
pub fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostics {
    let summary = format!("`{}` cannot be read: {error}", path.display());
    let found = Diagnostic::error(code::UNREADABLE, summary);
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            found.help("paths are relative to the directory that imgbake runs in").into()
        }
        _ => found.into(),
    }
}
