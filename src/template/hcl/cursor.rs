//! The place in the text: white space, comments, names, and what is said on the way.

use unicode_ident::{is_xid_continue, is_xid_start};

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::{FileId, Span};
use crate::template::ast::{Expr, ExprKind};

/// How deep expressions and blocks may nest; deeper ones could overflow the stack.
const MAX_DEPTH: usize = 60;

/// How many operators and accesses may lie above one another: a row of them makes a tree as deep as
/// the row is long, and trees are walked by recursion.
const MAX_LINKS: usize = 200;

/// Where the bytes of a text are in the files of the user.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// The text begins at this offset of a file and is written there byte for byte.
    File(FileId, usize),
    /// The text is not written like this anywhere; all of it stands for this place.
    Span(Span),
}

/// A construct was left unfinished; what is wrong with it has been said.
#[derive(Debug)]
pub(super) struct Abandoned;

pub(super) type Parsed<T> = Result<T, Abandoned>;

/// The parser: a text and a position in it. Its methods are spread over the files of this folder,
/// by the layer of the grammar that they read.
pub(super) struct Parser<'t> {
    pub text: &'t str,
    pub at: usize,
    origin: Origin,
    /// Whether a newline is mere white space, as it is inside of brackets.
    pub newline_is_space: bool,
    depth: usize,
    /// The operators and accesses so far at this level, or in the worst of the levels below it.
    links: usize,
    /// Whether a missing `}` has been said; one makes every outer block lack its own.
    pub brace_is_missing: bool,
    pub diagnostics: Diagnostics,
}

impl<'t> Parser<'t> {
    pub fn new(text: &'t str, origin: Origin) -> Self {
        Self {
            text,
            at: 0,
            origin,
            newline_is_space: false,
            depth: 0,
            links: 0,
            brace_is_missing: false,
            diagnostics: Diagnostics::default(),
        }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub fn looking_at(&self, token: &str) -> bool {
        self.rest().starts_with(token)
    }

    /// Reads `token` if it is next.
    pub fn eat(&mut self, token: &str) -> bool {
        let found = self.looking_at(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Skips white space and comments; newlines too where they are mere space.
    pub fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let space = |c: char| matches!(c, ' ' | '\t') || self.newline_is_space && c == '\n';
            if rest.starts_with(space) {
                self.at += rest.len() - rest.trim_start_matches(space).len();
            } else if rest.starts_with("\r\n") && self.newline_is_space {
                self.at += 2;
            } else if rest.starts_with('#') || rest.starts_with("//") {
                self.at += rest.find('\n').map_or(rest.len(), |end| {
                    end - usize::from(rest.as_bytes().get(end.wrapping_sub(1)) == Some(&b'\r'))
                });
            } else if rest.starts_with("/*")
                && let Some(end) = rest.find("*/")
            {
                self.at += end + 2;
            } else {
                return;
            }
        }
    }

    /// Skips white space, comments and newlines.
    pub fn skip_lines(&mut self) {
        let saved = std::mem::replace(&mut self.newline_is_space, true);
        self.skip_space();
        self.newline_is_space = saved;
    }

    /// Whether the line ends here.
    pub fn at_line_end(&self) -> bool {
        self.at_end() || self.looking_at("\n") || self.looking_at("\r\n")
    }

    /// Runs `read` with newlines as space or as ends, and restores what was before.
    pub fn with_newlines<T>(&mut self, space: bool, read: impl FnOnce(&mut Self) -> T) -> T {
        let saved = std::mem::replace(&mut self.newline_is_space, space);
        let result = read(self);
        self.newline_is_space = saved;
        result
    }

    /// Runs `read` one level deeper; refuses what is nested too deep.
    pub fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            let error = self.error_here("this is nested too deep");
            return self.refuse(error.because(format!("the limit is {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let links = std::mem::take(&mut self.links);
        let result = read(self);
        self.links = if self.depth == 1 { 0 } else { self.links.max(links) };
        self.depth -= 1;
        result
    }

    /// Counts one more operator or access.
    pub fn link(&mut self) -> Parsed<()> {
        self.links += 1;
        if self.links <= MAX_LINKS {
            return Ok(());
        }
        let error = self.error_here("this expression is too long");
        self.refuse(error.because(format!("the limit is {MAX_LINKS} operators and accesses")))
    }

    /// Reads a name: letters, digits, `_` and `-`, beginning with a letter or `_`.
    pub fn name(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        if !rest.starts_with(|c| is_xid_start(c) || c == '_') {
            return None;
        }
        let end = rest.find(|c| !is_xid_continue(c) && c != '-').unwrap_or(rest.len());
        self.at += end;
        Some(&rest[..end])
    }

    /// Reads `word` if it is the next name.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let start = self.at;
        let found = self.name() == Some(word);
        if !found {
            self.at = start;
        }
        found
    }

    /// The place of the bytes `start..end` of the text.
    pub fn span(&self, start: usize, end: usize) -> Span {
        match self.origin {
            Origin::File(file, offset) => Span::new(file, offset + start, offset + end),
            Origin::Span(span) => span,
        }
    }

    /// The place from `start` to here.
    pub fn span_from(&self, start: usize) -> Span {
        self.span(start, self.at)
    }

    pub fn expr_from(&self, start: usize, kind: ExprKind) -> Expr {
        Expr { kind, span: self.span_from(start) }
    }

    /// An error at the next token: a name, a number, or one character.
    pub fn error_here(&self, summary: impl Into<String>) -> Diagnostic {
        let rest = self.rest();
        let word = rest.find(|c| !is_xid_continue(c)).unwrap_or(rest.len());
        let length = match rest.chars().next() {
            None | Some('\n') => 0,
            Some(first) => word.max(first.len_utf8()),
        };
        self.error(self.at, self.at + length, summary)
    }

    /// An error at the bytes `start..end`.
    pub fn error(&self, start: usize, end: usize, summary: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code::HCL_SYNTAX, summary).at(self.span(start, end))
    }

    /// Says what is wrong and gives the construct up.
    pub fn refuse<T>(&mut self, diagnostic: Diagnostic) -> Parsed<T> {
        self.diagnostics.push(diagnostic);
        Err(Abandoned)
    }

    /// What stands here, as a message calls it.
    pub fn found(&self) -> String {
        match self.peek() {
            None => "the end of the file".into(),
            Some('\n' | '\r') => "the end of the line".into(),
            Some('"') => "a string".into(),
            Some(_) => {
                let rest = self.rest();
                let end = rest.find(|c| !is_xid_continue(c)).unwrap_or(rest.len());
                let end = if end == 0 { rest.ceil_char_boundary(1) } else { end };
                format!("`{}`", &rest[..end])
            }
        }
    }

    /// Goes on after an abandoned construct: to the end of the line on which every bracket opened
    /// since `start` is closed, or to the `}` of an outer block. Strings are stepped over.
    pub fn recover(&mut self, start: usize) {
        let failed_at = self.at;
        let mut open = Vec::new();
        self.at = start;
        while let Some(next) = self.peek() {
            match next {
                '\n' if open.is_empty() && self.at >= failed_at => return,
                '}' if open.last() != Some(&'{') && self.at >= failed_at => return,
                '(' | '[' | '{' => open.push(next),
                ')' | ']' | '}' => {
                    open.pop();
                }
                '"' => self.step_to_string_end(),
                '#' | '/' => self.step_to_comment_end(),
                _ => {}
            }
            self.at += self.peek().map_or(0, char::len_utf8);
        }
    }

    /// From a quote to the closing one, or to the last character of the line.
    fn step_to_string_end(&mut self) {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let mut escaped = false;
        let closing = line.char_indices().skip(1).find(|&(_, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let last = line.char_indices().next_back();
        self.at += closing.or(last).map_or(0, |(offset, _)| offset);
    }

    /// From the start of a comment to its last character; nowhere if it is none.
    fn step_to_comment_end(&mut self) {
        let start = self.at;
        self.skip_space();
        if self.at > start {
            self.at = self.text.floor_char_boundary(self.at - 1);
        }
    }
}
