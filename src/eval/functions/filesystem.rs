//! Files and paths.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Available, Call, CallError, Function, Outcome, Param, Want};
use crate::budget::Limit;
use crate::eval::expr::{Evaluator, Roots};
use crate::eval::glob::{self, GlobError};
use crate::eval::references;
use crate::eval::types::Type;
use crate::eval::value::Value;
use crate::source::SourceMap;
use crate::template::ast::Expr;
use crate::template::hcl::{self, Origin};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "abspath",
        "The path from the root, as seen from the working directory.",
        &[Param::string("path")],
        |call| {
            let path = call.host.environment.cwd.join(call.text(0));
            Ok(Value::string(clean(&path.to_string_lossy())))
        },
    )
    .result(Want::String),
    Function::new("basename", "The last part of a path.", &[Param::string("path")], |call| {
        Ok(Value::string(base(call.text(0))))
    })
    .result(Want::String),
    Function::new("dirname", "A path without its last part.", &[Param::string("path")], |call| {
        Ok(Value::string(directory(call.text(0))))
    })
    .result(Want::String),
    Function::new(
        "env",
        "A variable of the environment; empty if it is not set. Only the default of a variable may ask.",
        &[Param::string("key")],
        |call| Ok(Value::string(call.host.environment.get(call.text(0)).unwrap_or_default())),
    )
    .result(Want::String),
    Function::new(
        "file",
        "The text of a file, whose path is relative to the template.",
        &[Param::string("path")],
        |call| read_text(call, call.text(0)).map(Value::string),
    )
    .result(Want::String),
    Function::new(
        "filebase64",
        "The bytes of a file in Base64; its path is relative to the working directory.",
        &[Param::string("path")],
        filebase64,
    )
    .result(Want::String),
    Function::new(
        "fileexists",
        "Whether there is a file at a path relative to the template.",
        &[Param::string("path")],
        fileexists,
    )
    .result(Want::Bool),
    Function::new(
        "fileset",
        "The files below a directory whose paths fit a pattern: `*`, `**`, `?`, `[a-z]`, `{a,b}`.",
        &[Param::string("path"), Param::string("pattern")],
        fileset,
    )
    .result(Want::SetOfString),
    Function::new(
        "pathexpand",
        "The path with a `~` at its start replaced by the home directory.",
        &[Param::string("path")],
        |call| expand_home(call, call.text(0)).map(Value::string),
    )
    .result(Want::String),
    Function::new(
        "templatefile",
        "A file as a template, rendered with nothing but the given variables.",
        &[Param::string("path"), Param::any("vars")],
        templatefile,
    )
    .partial(),
];

/// A leading `~` replaced by the home directory.
fn expand_home(call: &Call<'_>, path: &str) -> Result<String, CallError> {
    let Some(rest) = path.strip_prefix('~') else { return Ok(path.to_owned()) };
    if !rest.is_empty() && !rest.starts_with('/') {
        let cause = "failed to expand ~: cannot expand user-specific home dir";
        return Err(CallError::failed(cause));
    }
    let home = call.host.environment.home().ok_or_else(|| {
        CallError::failed("failed to expand ~: HOME is not set in the environment")
    })?;
    Ok(clean(&format!("{}{rest}", home.display())))
}

/// The file that `path` means: `~` expanded, relative to the template.
fn locate(call: &Call<'_>, path: &str) -> Result<PathBuf, CallError> {
    let expanded = expand_home(call, path)?;
    Ok(call.host.environment.cwd.join(&call.host.dir).join(clean(&expanded)))
}

/// All of a file. Whatever it is, no more of it is read than a text may have.
fn read(call: &Call<'_>, path: &Path) -> Result<io::Result<Vec<u8>>, CallError> {
    let mut bytes = Vec::new();
    let most = Limit::TEXT.most as u64 + 1;
    let file = call.host.environment.reach.open(path);
    let read = file.and_then(|file| file.take(most).read_to_end(&mut bytes));
    call.pay_text(bytes.len())?;
    Ok(read.map(|_| bytes))
}

fn read_text(call: &Call<'_>, path: &str) -> Result<String, CallError> {
    let file = locate(call, path)?;
    let shown = clean(path);
    let bytes = read(call, &file)?.map_err(|error| {
        CallError::failed(match error.kind() {
            io::ErrorKind::NotFound => format!("no file exists at {shown}"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => {
                format!("failed to read {shown}: {error}")
            }
            _ => format!("failed to read {shown}"),
        })
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        CallError::failed(format!(
            "contents of {shown} are not valid UTF-8; use the filebase64 function to obtain the \
             Base64 encoded contents or the other file functions (e.g. filemd5, filesha256) to \
             obtain file hashing results instead"
        ))
    })?;
    call.host.note_content(&text);
    Ok(text)
}

/// Relative to the working directory, without `~`: the reference has it so.
fn filebase64(call: &Call<'_>) -> Outcome {
    let path = call.text(0);
    let bytes = read(call, &call.host.environment.cwd.join(path))?.map_err(|error| {
        let cause = match error.kind() {
            std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
            std::io::ErrorKind::IsADirectory => format!("read {path}: is a directory"),
            _ => format!("open {path}: {error}"),
        };
        CallError::failed(format!("failed to read file {path:?}: {cause}"))
    })?;
    let text = STANDARD.encode(bytes);
    call.host.note_content(&text);
    Ok(Value::string(text))
}

fn fileexists(call: &Call<'_>) -> Outcome {
    let path = call.text(0);
    let file = locate(call, path)?;
    let reach = call.host.environment.reach.check(&file);
    reach.map_err(|error| CallError::failed(format!("failed to stat {}: {error}", clean(path))))?;
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(true.into()),
        Ok(_) => Err(CallError::failed(format!(
            "{} is not a regular file, but {:?}",
            clean(path),
            "drwxr-xr-x"
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false.into()),
        Err(_) => Err(CallError::failed(format!("failed to stat {}", clean(path)))),
    }
}

fn fileset(call: &Call<'_>) -> Outcome {
    // Unlike elsewhere, a `~` is a name. The pattern is a path below the directory, and cleaned like one.
    let dir = call.host.environment.cwd.join(&call.host.dir).join(clean(call.text(0)));
    let pattern = clean(call.text(1));
    let reach = &call.host.environment.reach;
    reach.check(&dir).map_err(|error| {
        CallError::failed(format!("failed to list {}: {error}", clean(call.text(0))))
    })?;
    let found = glob::files(&dir, pattern.trim_start_matches('/'), &call.host.budget, reach)
        .map_err(|error| match error {
            GlobError::Pattern(cause) => {
                CallError::failed(format!("failed to glob pattern {:?}: {cause}", call.text(1)))
            }
            GlobError::Exceeded(exceeded) => exceeded.into(),
        })?;
    Ok(Value::set(Type::String, found.iter().map(Value::string)))
}

/// Go's `filepath.Clean`: without `.`, and `..` only at the start.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            _ => kept.push(part),
        }
    }
    let joined = kept.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match (trimmed.is_empty(), path.is_empty()) {
        (true, true) => ".",
        (true, false) => "/",
        _ => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

fn directory(path: &str) -> String {
    match path.rfind('/') {
        Some(slash) => clean(&path[..=slash]),
        None => ".".to_owned(),
    }
}

/// A file as a template of its own, which sees only `vars`.
fn templatefile(call: &Call<'_>) -> Outcome {
    let path = clean(call.text(0));
    let vars = call.args[1]
        .entries()
        .ok_or_else(|| CallError::argument(1, "invalid vars value: must be a map"))?;
    if let Some(name) = vars.keys().find(|name| !hcl::is_identifier(name)) {
        let cause = format!(
            "invalid template variable name {name:?}: must start with a letter, followed by zero \
             or more letters, digits, and underscores"
        );
        return Err(CallError::argument(1, cause));
    }
    let text = read_text(call, call.text(0))?;
    // A mark of the byte order is none of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut sources = SourceMap::default();
    let file = sources.add(Path::new(&path), text);
    let describe = |found: crate::diagnostic::Diagnostics| {
        CallError::failed(
            found.0.first().map(|first| describe(first, &sources)).unwrap_or_default(),
        )
    };
    let template =
        hcl::parse_template(text, Origin::File(file, 0), &call.host.budget).map_err(describe)?;
    let mut roots = Roots::default();
    for (name, value) in vars.iter() {
        roots.set(name, value.clone().marked(call.args[1].sensitive));
    }
    if let Some(missing) = missing_name(&template, &roots) {
        return Err(CallError::failed(format!("vars map does not contain key {missing:?}")));
    }
    let host = call.host.with(Available::InTemplateFile);
    let value = Evaluator::new(&roots, &host).eval(&template).map_err(describe)?;
    value.each_text(&mut |text| host.note_content(text));
    Ok(value)
}

/// A root name that the template refers to and `roots` does not have.
fn missing_name(template: &Expr, roots: &Roots) -> Option<String> {
    let mut missing = None;
    references::each(template, &mut |reference| {
        let name = reference.names[0];
        if missing.is_none() && !reference.is_bound && roots.get(name).is_none() {
            missing = Some(name.to_owned());
        }
    });
    missing
}

/// `path:line,column-column: Summary; Cause`.
fn describe(found: &crate::diagnostic::Diagnostic, sources: &SourceMap) -> String {
    let cause = found.cause.as_deref().unwrap_or_default();
    let Some(span) = found.span else { return format!("{}; {cause}", found.summary) };
    let file = sources.file(span.file);
    let (start, end) = (file.position(span.start as usize), file.position(span.end as usize));
    let end = match start.line == end.line {
        true => end.column.to_string(),
        false => format!("{},{}", end.line, end.column),
    };
    let path = file.path.display();
    format!("{path}:{},{}-{end}: {}; {cause}", start.line, start.column, found.summary)
}
