//! The texts that people wrote, and places in them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;

use crate::budget::Budget;

/// One file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A range of bytes in one file; `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file that the bytes are in.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `file`.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        // A template is limited far below 4 GiB when it is loaded.
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { file, start: clamp(start), end: clamp(end.max(start)) }
    }

    /// From the start of `self` to the end of `other`, which must be in the same file.
    pub fn to(self, other: Self) -> Self {
        Self { end: other.end.max(self.start), ..self }
    }
}

/// A value and the place where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The value itself.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A line and a column, both counted from 1; columns count what a reader sees as characters
/// (grapheme clusters), as HCL does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// A place as messages say it: `web.pkr.hcl:12:3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file's name, as the user wrote it or relative to that.
    pub file: String,
    /// Where in it.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(f, "{}:{line}:{column}", self.file)
    }
}

/// One text, with the name that messages call it by.
#[derive(Debug)]
pub struct SourceFile {
    /// As the user wrote it on the command line, or relative to that.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
    line_starts: Vec<usize>,
    has_values: bool,
}

impl SourceFile {
    fn new(path: PathBuf, text: Arc<str>) -> Self {
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let name = path.as_os_str().as_encoded_bytes();
        let has_values =
            [".pkrvars.hcl", ".pkrvars.json"].iter().any(|end| name.ends_with(end.as_bytes()));
        Self { path, text, line_starts, has_values }
    }

    /// Whether it gives variables their values, and nothing else.
    pub fn has_values(&self) -> bool {
        self.has_values
    }

    /// The position of the byte at `offset`.
    pub fn position(&self, offset: usize) -> Position {
        let (line, before) = self.before(offset);
        // A byte order mark stands before the first column.
        let before = before.strip_prefix('\u{feff}').filter(|_| line == 1).unwrap_or(before);
        Position { line, column: counted(before, |text| text.graphemes(true).count()) + 1 }
    }

    /// The column of the byte at `offset`, from 1, in code points.
    pub fn char_column(&self, offset: usize) -> usize {
        counted(self.before(offset).1, |text| text.chars().count()) + 1
    }

    /// The line and the column of the byte at `offset`, both from 1; columns count code units of
    /// UTF-16.
    pub fn utf16_position(&self, offset: usize) -> (usize, usize) {
        let (line, before) = self.before(offset);
        (line, counted(before, |text| text.encode_utf16().count()) + 1)
    }

    /// The number of the line that the byte at `offset` is in, and the text of the line before it.
    fn before(&self, offset: usize) -> (usize, &str) {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_starts.partition_point(|&start| start <= offset);
        (line, &self.text[self.line_starts[line - 1]..offset])
    }

    /// Where the line starts that the byte at `offset` is in.
    pub fn line_start(&self, offset: usize) -> usize {
        offset - self.before(offset).1.len()
    }

    /// The line that the byte at `offset` is in, without its end.
    pub fn line(&self, offset: usize) -> &str {
        self.lines_from(self.before(offset).0).next().unwrap_or_default()
    }

    /// The lines from number `first` on, counted from 1, without their ends.
    pub fn lines_from(&self, first: usize) -> std::str::Lines<'_> {
        let start = self.line_starts.get(first.saturating_sub(1)).copied();
        self.text[start.unwrap_or(self.text.len())..].lines()
    }

    /// What a comment on `line`, or one that is all of the line before, asks of us: the list in
    /// `imgbake:WORD(list)`.
    pub fn asked_at(&self, line: usize, word: &str) -> impl Iterator<Item = &str> {
        let own = self.lines_from(line).next();
        let before = match line {
            0 | 1 => None,
            _ => self.lines_from(line - 1).next(),
        };
        let before = before.filter(|line| comment_start(line.trim()) == Some(0));
        own.into_iter().chain(before).filter_map(move |line| asked(line, word))
    }
}

/// What `count` makes of the start of a line. Nobody counts as far as the end of a line that a
/// program wrote: there, bytes will do.
fn counted(start: &str, count: impl Fn(&str) -> usize) -> usize {
    const LONGEST: usize = 1 << 16;
    if start.len() > LONGEST { start.len() } else { count(start) }
}

/// All texts that a run has read; the owner of every [`Span`]'s meaning.
#[derive(Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
    budget: Budget,
}

impl SourceMap {
    /// What reading and evaluating the texts is paid from.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What is read from now on is paid from a budget of its own.
    pub fn renew_budget(&mut self) {
        self.budget = Budget::default();
    }

    /// Takes a text in and names it.
    pub fn add(&mut self, path: impl AsRef<Path>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile::new(path.as_ref().to_owned(), text.into()));
        id
    }

    /// The files from number `first` on, counted from 0, give variables their values, whatever
    /// their names are.
    pub fn have_values(&mut self, first: usize) {
        self.files.iter_mut().skip(first).for_each(|file| file.has_values = true);
    }

    /// The file with this id.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files, in the order in which they were read.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0..).map(FileId).zip(&self.files)
    }

    /// Where `span` starts.
    pub fn position(&self, span: Span) -> Position {
        self.file(span.file).position(span.start as usize)
    }

    /// Where `span` starts, for messages.
    pub fn locate(&self, span: Span) -> Place {
        let file = self.file(span.file).path.display().to_string();
        Place { file, position: self.position(span) }
    }

    /// The text that `span` covers.
    pub fn text(&self, span: Span) -> &str {
        let text = &self.file(span.file).text;
        text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }
}

/// The list of `imgbake:WORD(list)` in a comment of `line`.
fn asked<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let comment = &line[comment_start(line)?..];
    let (_, asked) = comment.split_once(&format!("imgbake:{word}("))?;
    asked.split_once(')').map(|(list, _)| list)
}

/// Where a comment may begin. A `#` in a text is taken for one too: what follows it must still be
/// our own word.
fn comment_start(line: &str) -> Option<usize> {
    ["#", "//", "/*"].into_iter().filter_map(|mark| line.find(mark)).min()
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the plain space.
pub fn is_print(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\0'..='\u{a0}' | '\u{ad}' => false,
        // Other spaces, joiners, direction marks, private use and what is not assigned.
        '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{1680}' | '\u{180e}' => {
            false
        }
        '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' => false,
        '\u{3000}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' => false,
        '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e00ff}' | '\u{f0000}'..='\u{10ffff}' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_what_a_reader_sees() {
        let mut map = SourceMap::default();
        let file = map.add("a.pkr.hcl", "x = 1\né = \"e\u{301}\" y\n");
        let at = map.file(file).text.find('y').unwrap();
        let span = Span::new(file, at, at + 1);
        assert_eq!(map.position(span), Position { line: 2, column: 9 });
        assert_eq!(map.locate(span).to_string(), "a.pkr.hcl:2:9");
    }
}
