//! HCL's native syntax → the tree: a parser of our own.
//!
//! It knows no file's meaning, only its grammar; `template::root` gives blocks their meaning. It
//! goes on after a mistake, so that all mistakes of a file are said at once, each where it is.

mod body;
mod collection;
mod cursor;
mod expression;
pub mod scan;
mod template;
#[cfg(test)]
mod tests;

pub use cursor::Origin;
use cursor::{Parsed, Parser};

use crate::diagnostic::Diagnostics;
use crate::source::{FileId, SourceMap};
use crate::template::ast::{Body, Expr};

/// Reads a whole file of arguments and blocks. What could be read is there even where something is
/// wrong.
pub fn parse_file(file: FileId, sources: &SourceMap) -> (Body, Diagnostics) {
    let mut parser = Parser::new(&sources.file(file).text, Origin::File(file, 0));
    let body = parser.file();
    (body, parser.diagnostics)
}

/// Reads `text` as one expression, as `-var` values of a structural type are written.
pub fn parse_expression(text: &str, origin: Origin) -> Result<Expr, Diagnostics> {
    parse_whole(text, origin, |parser| {
        parser.with_newlines(true, |parser| {
            let expr = parser.expression()?;
            parser.skip_space();
            if parser.at_end() {
                return Ok(expr);
            }
            let error = parser.error_here("an expression is followed by something else");
            parser.refuse(error)
        })
    })
}

/// Reads `text` as a template without quotes, as the strings of HCL's JSON syntax and the files of
/// `templatefile` are.
pub fn parse_template(text: &str, origin: Origin) -> Result<Expr, Diagnostics> {
    parse_whole(text, origin, |parser| parser.bare_template())
}

fn parse_whole(
    text: &str,
    origin: Origin,
    read: impl FnOnce(&mut Parser<'_>) -> Parsed<Expr>,
) -> Result<Expr, Diagnostics> {
    let mut parser = Parser::new(text, origin);
    match read(&mut parser) {
        Ok(expr) if !parser.diagnostics.has_errors() => Ok(expr),
        _ => Err(parser.diagnostics),
    }
}
