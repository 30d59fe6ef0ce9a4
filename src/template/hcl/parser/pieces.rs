//! The row of pieces that a template is written as, and the parts that it means.

use std::vec::IntoIter;

use crate::source::Span;
use crate::template::ast::{Expr, TemplatePart};

/// A piece of a template.
pub enum Piece {
    /// Text; it ends with its line at the latest.
    Text(String),
    /// `${ … }` or `%{ … }`.
    Sequence {
        /// What stands in it.
        what: Sequence,
        /// All of it.
        span: Span,
        /// Whether it eats the white space of the text before it.
        strips_before: bool,
        /// Whether it eats the white space of the text behind it.
        strips_after: bool,
    },
}

/// What a sequence holds.
pub enum Sequence {
    /// `${ value }`
    Interpolation(Expr),
    /// `%{ if condition }`
    If(Expr),
    /// `%{ else }`
    Else,
    /// `%{ for key, value in collection }`
    For { key: Option<String>, value: String, collection: Expr },
    /// `%{ endif }` or `%{ endfor }`
    End,
}

/// Obeys the strip markers: each eats the white space of the piece next to it.
pub fn strip(pieces: &mut [Piece]) {
    for at in 0..pieces.len() {
        let Piece::Sequence { strips_before, strips_after, .. } = pieces[at] else {
            continue;
        };
        if strips_before
            && let Some(Piece::Text(before)) = at.checked_sub(1).map(|at| &mut pieces[at])
        {
            before.truncate(before.trim_end().len());
        }
        if strips_after && let Some(Piece::Text(after)) = pieces.get_mut(at + 1) {
            *after = after.trim_start().to_owned();
        }
    }
}

/// Takes from every line of a `<<-` heredoc the white space that all of them begin with. A line that
/// begins with a sequence has none; a blank line does not count.
pub fn remove_indentation(pieces: &mut [Piece]) {
    let mut line_begins = true;
    let mut first_pieces = Vec::new();
    let mut indentation = usize::MAX;
    for (index, piece) in pieces.iter().enumerate() {
        let text = match piece {
            Piece::Text(text) if text.is_empty() => continue,
            Piece::Text(text) => text.as_str(),
            Piece::Sequence { .. } => "",
        };
        let own = text.chars().take_while(|c| c.is_whitespace()).count();
        let blank = text.ends_with('\n') && text.trim_start().is_empty();
        if line_begins && !blank {
            indentation = indentation.min(own);
            first_pieces.push(index);
        }
        line_begins = text.ends_with('\n');
    }
    for index in first_pieces {
        if let Piece::Text(text) = &mut pieces[index] {
            *text = text.chars().skip(indentation).collect();
        }
    }
}

/// The parts up to the end of the row, every directive of which has its end.
pub fn parts(pieces: &mut IntoIter<Piece>) -> Vec<TemplatePart> {
    parts_to_end(pieces).0
}

/// What ended a directive's part of the row.
enum End {
    Else,
    /// The sequence that ends the directive, or the row's own end.
    Directive(Option<Span>),
}

/// The parts up to the end of the directive around them.
fn parts_to_end(pieces: &mut IntoIter<Piece>) -> (Vec<TemplatePart>, End) {
    let mut parts = Vec::new();
    while let Some(piece) = pieces.next() {
        let (what, span) = match piece {
            Piece::Text(text) => {
                add_text(&mut parts, text);
                continue;
            }
            Piece::Sequence { what, span, .. } => (what, span),
        };
        parts.push(match what {
            Sequence::Interpolation(value) => TemplatePart::Interpolation(value),
            Sequence::If(condition) => if_part(condition, span, pieces),
            Sequence::For { key, value, collection } => {
                let (body, end) = parts_to_end(pieces);
                TemplatePart::For { key, value, collection, body, span: end.after(span) }
            }
            Sequence::Else => return (parts, End::Else),
            Sequence::End => return (parts, End::Directive(Some(span))),
        });
    }
    (parts, End::Directive(None))
}

fn if_part(condition: Expr, start: Span, pieces: &mut IntoIter<Piece>) -> TemplatePart {
    let (yes, end) = parts_to_end(pieces);
    let (no, end) = match end {
        End::Else => parts_to_end(pieces),
        end => (Vec::new(), end),
    };
    TemplatePart::If { condition, yes, no, span: end.after(start) }
}

impl End {
    /// From the start of a directive to its end.
    fn after(&self, start: Span) -> Span {
        match self {
            Self::Directive(Some(end)) => start.to(*end),
            Self::Directive(None) | Self::Else => start,
        }
    }
}

/// Text next to text is one part, and no text is none.
fn add_text(parts: &mut Vec<TemplatePart>, text: String) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(TemplatePart::Text(before)) => *before += &text,
        _ => parts.push(TemplatePart::Text(text)),
    }
}
