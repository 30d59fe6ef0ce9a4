//! HCL in its one canonical style: how far each line is indented, what is aligned, where blanks are.
//!
//! Only blanks at the start of lines and between tokens ever change: no token, no comment and no
//! line does. The style is Packer's, byte for byte. Lines are laid out in four passes over
//! one row of tokens: lines are cut into cells, then indented, then their tokens spaced
//! (`blanks`), then the cells of neighbouring lines aligned.

mod blanks;
pub mod files;
mod lines;
#[cfg(test)]
mod tests;

use unicode_segmentation::UnicodeSegmentation as _;

use self::blanks::blank_between;
use self::lines::{Line, lines_of};
use crate::template::hcl::scan::{Token, TokenKind, scan};

/// Columns that one level of brackets indents by.
const INDENT: usize = 2;

/// A token, and the blanks before it.
#[derive(Clone, Copy, Debug)]
struct Piece<'t> {
    kind: TokenKind,
    text: &'t str,
    blanks: usize,
}

impl Piece<'_> {
    /// Columns that the token and its blanks take.
    fn width(&self) -> usize {
        self.blanks + self.text.graphemes(true).count()
    }
}

/// `text` in canonical style. A text that breaks the grammar is laid out as its tokens say.
///
/// The result has the tokens of `text`, and is its own canonical style.
pub fn format(text: &str) -> String {
    let tokens: Vec<Token> = scan(text).collect();
    let formatted = write(text, &tokens, Glue::Close);
    if is_same(text, &tokens, &formatted) {
        return formatted;
    }
    // Where the style would make one token of two (`a . 0 . 1`), what is parted stays parted.
    write(text, &tokens, Glue::KeepApart)
}

/// What becomes of a blank where the style has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glue {
    /// It goes.
    Close,
    /// One stays.
    KeepApart,
}

fn write(text: &str, tokens: &[Token], glue: Glue) -> String {
    let mut pieces = pieces_of(text, tokens);
    let lines = lines_of(&pieces);
    space(&mut pieces, &lines, glue);
    indent(&mut pieces, &lines);
    align(&mut pieces, &lines);
    let mut formatted = String::with_capacity(text.len() + text.len() / 8);
    for piece in &pieces {
        formatted.extend(std::iter::repeat_n(' ', piece.blanks));
        formatted.push_str(piece.text);
    }
    // Blanks before the very end stand on a line without an end of its own.
    let rest = tokens.last().map_or(0, |last| last.end);
    formatted.extend(std::iter::repeat_n(' ', text.len() - rest));
    formatted
}

fn pieces_of<'t>(text: &'t str, tokens: &[Token]) -> Vec<Piece<'t>> {
    let mut end = 0;
    let piece = |token: &Token| {
        let blanks = token.start - std::mem::replace(&mut end, token.end);
        Piece { kind: token.kind, text: &text[token.start..token.end], blanks }
    };
    tokens.iter().map(piece).collect()
}

/// Whether `formatted` has the tokens that `text` has.
fn is_same(text: &str, tokens: &[Token], formatted: &str) -> bool {
    let given = tokens.iter().map(|token| (token.kind, &text[token.start..token.end]));
    given.eq(scan(formatted).map(|token| (token.kind, &formatted[token.start..token.end])))
}

/// Puts blanks between the tokens inside of each cell.
fn space(pieces: &mut [Piece<'_>], lines: &[Line], glue: Glue) {
    for line in lines {
        for cell in [line.name(), line.value()] {
            for at in cell.start + 1..cell.end {
                let before = (at - 1 > cell.start).then(|| pieces[at - 2].kind);
                let blank = blank_between(before, &pieces[at - 1], &pieces[at]);
                let kept = glue == Glue::KeepApart && pieces[at].blanks > 0;
                pieces[at].blanks = usize::from(blank || kept);
            }
        }
    }
}

/// Indents lines by the brackets that are open before them. All brackets that one line leaves open
/// indent by one level together, and the line that closes the last of them ends it.
fn indent(pieces: &mut [Piece<'_>], lines: &[Line]) {
    // How many brackets each level waits for.
    let mut levels = Vec::new();
    for line in lines {
        let first = line.start;
        if pieces[first].kind == TokenKind::Newline {
            pieces[first].blanks = 0;
            continue;
        }
        let opened = line.nesting(pieces);
        close(&mut levels, opened.min(0).unsigned_abs());
        pieces[first].blanks = INDENT * levels.len();
        if opened > 0 {
            levels.push(opened.unsigned_abs());
        }
    }
}

/// Ends the levels whose brackets are all closed, when `closed` more are.
fn close(levels: &mut Vec<u32>, mut closed: u32) {
    while closed > 0
        && let Some(open) = levels.last_mut()
    {
        if *open > closed {
            *open -= closed;
            return;
        }
        closed -= *open;
        levels.pop();
    }
}

/// Aligns the values, then the comments, of lines that follow one another directly.
fn align(pieces: &mut [Piece<'_>], lines: &[Line]) {
    for cell in [|line: &Line| line.assign, |line: &Line| line.comment] {
        for chain in lines.chunk_by(|a, b| cell(a).is_some() && cell(b).is_some()) {
            let column = |line: &Line| Some((cell(line)?, line.width(pieces, cell(line)?)));
            let starts: Vec<(usize, usize)> = chain.iter().filter_map(column).collect();
            let widest = starts.iter().map(|(_, width)| *width).max().unwrap_or_default();
            for (at, width) in starts {
                pieces[at].blanks = widest - width + 1;
            }
        }
    }
}
