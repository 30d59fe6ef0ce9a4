//! Where blanks are between two tokens of a line.

use super::Piece;
use crate::template::hcl::scan::TokenKind::{self, *};

/// Whether a blank parts `left` and `right`; `before` is what stands before `left` in the cell. The
/// first rule that fits decides.
pub(super) fn blank_between(
    before: Option<TokenKind>,
    left: &Piece<'_>,
    right: &Piece<'_>,
) -> bool {
    match (left.kind, right.kind) {
        (_, Newline) => false,
        // Calls, with the names of their namespaces.
        (Name, OpenParen | DoubleColon) | (DoubleColon, Name) => false,
        (Dot, _) | (_, Dot | Comma | Ellipsis) => false,
        (Comma, _) => true,
        // Inside of a text, a blank would be part of it.
        (Literal | QuotedNewline | OpenQuote | OpenHeredoc, _) => false,
        (_, Literal | QuotedNewline | CloseQuote | CloseHeredoc) => false,
        // `[for x in [1] : x]` is no index of something called `in`.
        (Name, _) if left.text == "in" && before == Some(Name) => true,
        (Name | Number, OpenBracket) => false,
        (closing, OpenBracket) if closing.nesting() < 0 => false,
        (Not, _) => false,
        (Minus, _) => !begins_operand(before),
        (OpenBrace, CloseBrace) => false,
        (OpenBrace, _) | (_, CloseBrace) => true,
        // `${ {a = 1} }`: that a brace stands beside another shall be seen.
        (OpenInterpolation | OpenDirective, OpenBrace) | (CloseBrace, CloseSequence) => true,
        (CloseSequence, OpenInterpolation | OpenDirective) => false,
        (opening, _) if opening.nesting() > 0 => false,
        (_, closing) => closing.nesting() >= 0,
    }
}

/// Whether a `-` after `before` belongs to the number behind it, and is no subtraction.
fn begins_operand(before: Option<TokenKind>) -> bool {
    matches!(
        before,
        None | Some(
            OpenParen
                | OpenBrace
                | OpenBracket
                | Assign
                | Colon
                | Comma
                | Question
                | Operator
                | Minus
                | Not
        )
    )
}
