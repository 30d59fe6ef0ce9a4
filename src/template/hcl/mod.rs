//! HCL's native syntax → the tree.
//!
//! ```text
//! text ──scan──▶ tokens ──parser──▶ ast, and every mistake
//! ```
//!
//! It knows no file's meaning, only its grammar; `template::root` gives blocks their meaning.

mod parser;
pub mod scan;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::budget::Budget;
use crate::diagnostic::Diagnostics;
use crate::source::{FileId, SourceMap, Span};
use crate::template::ast::{Body, Expr, Syntax};

/// Where the bytes of a text are in the files of the user.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// The text begins at this offset of a file and is written there byte for byte.
    File(FileId, usize),
    /// The text is not written like this anywhere; all of it stands for this place.
    Span(Span),
}

impl Origin {
    /// The place of these bytes of the text.
    fn span(self, range: Range<usize>) -> Span {
        match self {
            Self::File(file, offset) => Span::new(file, offset + range.start, offset + range.end),
            Self::Span(span) => span,
        }
    }
}

/// Reads a whole file of arguments and blocks. What could be read is there even where something is
/// wrong.
pub fn parse_file(file: FileId, sources: &SourceMap) -> (Body, Diagnostics) {
    let text: &str = &sources.file(file).text;
    let origin = Origin::File(file, 0);
    let (body, diagnostics) = parser::file(text, origin, sources.budget());
    let nothing = || Body::empty(origin.span(0..text.len()), Syntax::Native);
    (body.unwrap_or_else(nothing), diagnostics)
}

/// Reads `text` as one expression, as `-var` values of a structural type are written.
pub fn parse_expression(text: &str, origin: Origin, budget: &Budget) -> Result<Expr, Diagnostics> {
    whole(parser::expression(text, origin, budget))
}

/// Whether an expression can refer to `name`.
pub fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|c| unicode_ident::is_xid_start(c) || c == '_')
        && characters.all(|c| unicode_ident::is_xid_continue(c) || c == '-')
}

/// Reads `text` as a template without quotes, as the strings of HCL's JSON syntax and the files of
/// `templatefile` are.
pub fn parse_template(text: &str, origin: Origin, budget: &Budget) -> Result<Expr, Diagnostics> {
    whole(parser::template(text, origin, budget))
}

/// What was read, if nothing is wrong with it.
fn whole((read, diagnostics): (Option<Expr>, Diagnostics)) -> Result<Expr, Diagnostics> {
    match read {
        Some(expr) => diagnostics.into_result(expr).map(|(expr, _)| expr),
        None => Err(diagnostics),
    }
}
