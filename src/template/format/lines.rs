//! Tokens → lines, and lines → cells: a name, its value, a comment.

use std::ops::Range;

use super::Piece;
use crate::template::hcl::scan::TokenKind;

/// One line, as ranges of the row of tokens. A heredoc is part of the line on which it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Its first token.
    pub start: usize,
    /// Where its value begins: the `=` of an argument that ends on this line.
    pub assign: Option<usize>,
    /// The comment at its end, if there is something else on it.
    pub comment: Option<usize>,
    /// After its last token.
    pub end: usize,
}

impl Line {
    /// All but the comment.
    fn code_end(&self) -> usize {
        self.comment.unwrap_or(self.end)
    }

    /// What stands before the value; all of the code of a line without one.
    pub fn name(&self) -> Range<usize> {
        self.start..self.assign.unwrap_or(self.code_end())
    }

    /// From the `=` on.
    pub fn value(&self) -> Range<usize> {
        self.assign.unwrap_or(self.code_end())..self.code_end()
    }

    /// How many more brackets the line opens than it closes.
    pub fn nesting(&self, pieces: &[Piece<'_>]) -> i32 {
        let heredoc = |range: &Range<usize>| {
            let opens = |piece: &Piece<'_>| piece.kind == TokenKind::OpenHeredoc;
            let length = pieces[range.clone()].iter().take_while(|piece| !opens(piece)).count();
            range.start..range.start + length
        };
        let count = |range: Range<usize>| nesting(&pieces[range]);
        count(heredoc(&self.name())) + count(self.value())
    }

    /// Columns of what stands on the line before the token `at`.
    pub fn width(&self, pieces: &[Piece<'_>], at: usize) -> usize {
        pieces[self.start..at].iter().map(Piece::width).sum()
    }
}

fn nesting(pieces: &[Piece<'_>]) -> i32 {
    pieces.iter().map(|piece| piece.kind.nesting()).sum()
}

/// The lines that the tokens make.
pub(super) fn lines_of(pieces: &[Piece<'_>]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for line in pieces.split_inclusive(ends_line) {
        let start = lines.last().map_or(0, |last| last.end);
        lines.push(cells_of(line, start));
    }
    lines
}

/// Comments that reach to the end of their line contain it.
fn ends_line(piece: &Piece<'_>) -> bool {
    match piece.kind {
        TokenKind::Newline => true,
        TokenKind::Comment => piece.text.ends_with('\n'),
        _ => false,
    }
}

/// The cells of the line whose first token is number `start` of all.
fn cells_of(line: &[Piece<'_>], start: usize) -> Line {
    let ends_in_comment = line.last().is_some_and(|last| last.kind == TokenKind::Comment);
    let code = if ends_in_comment && line.len() > 1 { line.len() - 1 } else { line.len() };
    let assigns = |piece: &Piece<'_>| piece.kind == TokenKind::Assign;
    let assign = line[..code].iter().skip(1).position(assigns).map(|at| at + 1);
    // A value that goes on below is not aligned with others.
    let assign = assign.filter(|&at| nesting(&line[at..code]) == 0);
    Line {
        start,
        assign: assign.map(|at| start + at),
        comment: (code < line.len()).then_some(start + code),
        end: start + line.len(),
    }
}
