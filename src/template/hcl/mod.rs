//! HCL's native syntax → the tree, by way of [`hcl_edit`].
//!
//! ```text
//! text ──scan──▶ tokens ──syntax──▶ mistakes, and a copy for hcl-edit ──lower──▶ ast
//! ```
//!
//! It knows no file's meaning, only its grammar; `template::root` gives blocks their meaning.

mod lower;
pub mod scan;
mod strings;
mod syntax;
#[cfg(test)]
mod tests;

use std::ops::Range;

use hcl_edit::parser;

use crate::budget::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::{FileId, SourceMap, Span};
use crate::template::ast::{Body, Expr, Syntax};
use lower::Lowering;
use syntax::Checked;

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
    let Checked { copy, mut diagnostics } = syntax::check_file(text, origin, sources.budget());
    let mut lowering = Lowering::new(text, &copy, origin, 0);
    let body = match parser::parse_body(&copy) {
        Ok(body) => lowering.body(&body, 0..text.len()),
        Err(error) => {
            diagnostics.push(unforeseen(&error, origin, 0));
            Body::empty(origin.span(0..text.len()), Syntax::Native)
        }
    };
    diagnostics.extend(lowering.diagnostics);
    (body, diagnostics)
}

/// Reads `text` as one expression, as `-var` values of a structural type are written.
pub fn parse_expression(text: &str, origin: Origin, budget: &Budget) -> Result<Expr, Diagnostics> {
    let Checked { copy, diagnostics } = syntax::check_expression(text, origin, budget);
    let ((), _) = diagnostics.into_result(())?;
    let start = copy.len() - copy.trim_start().len();
    let parsed = parser::parse_expr(copy.trim());
    let expr = parsed.map_err(|error| unforeseen(&error, origin, start))?;
    let mut lowering = Lowering::new(text, &copy, origin, start);
    let expr = lowering.expression(&expr);
    lowering.diagnostics.into_result(expr).map(|(expr, _)| expr)
}

/// Reads `text` as a template without quotes, as the strings of HCL's JSON syntax and the files of
/// `templatefile` are.
pub fn parse_template(text: &str, origin: Origin, budget: &Budget) -> Result<Expr, Diagnostics> {
    let Checked { copy, diagnostics } = syntax::check_template(text, origin, budget);
    let ((), _) = diagnostics.into_result(())?;
    let template = parser::parse_template(&copy).map_err(|error| unforeseen(&error, origin, 0))?;
    let mut lowering = Lowering::new(text, &copy, origin, 0);
    let expr = lowering.bare_template(&template);
    lowering.diagnostics.into_result(expr).map(|(expr, _)| expr)
}

/// What `hcl-edit` refuses although the grammar allows it: what is nested too deep, in the way that
/// it counts.
fn unforeseen(error: &parser::Error, origin: Origin, start: usize) -> Diagnostic {
    let at = start + error.location().offset();
    Diagnostic::error(code::HCL_SYNTAX, "this cannot be read")
        .at(origin.span(at..at))
        .because(error.message().to_owned())
}
