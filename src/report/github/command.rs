//! What a line says to GitHub's runner, and what must not say anything to it.

use std::borrow::Cow;
use std::fmt;

use crate::event::Annotation;
use crate::guest::harmless;
use crate::report::diagnostics::level;
use crate::report::words::shortened;
use crate::source::Place;

/// A workflow command: `::name key=value,…::data`.
#[derive(Clone, Debug)]
pub struct Command {
    name: &'static str,
    properties: Vec<(&'static str, String)>,
    data: String,
}

impl Command {
    /// The command `name` with its message.
    pub fn new(name: &'static str, data: impl Into<String>) -> Self {
        Self { name, properties: Vec::new(), data: data.into() }
    }

    /// The same with one more property.
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.properties.push((key, value.to_string()));
        self
    }
}

impl From<&Annotation> for Command {
    /// `::error file=…,line=…,col=…,endLine=…,endColumn=…,title=…::message`
    fn from(annotation: &Annotation) -> Self {
        let mut command =
            Self::new(level(annotation.severity), shortened(&annotation.text, LONGEST_MESSAGE));
        if let Some((Place { file, position: start }, end)) = &annotation.place {
            // The runner drops the columns of a place with several lines.
            let last = if end.line > start.line { end.column } else { end.column.max(2) - 1 };
            command = command
                .with("file", file)
                .with("line", start.line)
                .with("col", start.column)
                .with("endLine", end.line)
                .with("endColumn", last.max(start.column));
        }
        command.with("title", &annotation.title)
    }
}

/// What the runner shows of a message: it cuts longer ones.
const LONGEST_MESSAGE: usize = 4096;

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "::{}", self.name)?;
        let mut separator = ' ';
        for (key, value) in &self.properties {
            write!(f, "{separator}{key}={}", property(value))?;
            separator = ',';
        }
        write!(f, "::{}", data(&self.data))
    }
}

/// `text` as the message of a command. `%` goes first.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// `text` as the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// One line as text that the runner only shows. It obeys `##[command]` anywhere in a line and
/// `::command::` at the start of one, after any blanks; and a lone carriage return starts a line.
pub fn inert(line: &str) -> Cow<'_, str> {
    let mut line = Cow::Borrowed(line);
    if line.contains(|next: char| next.is_control() && next != '\t') {
        line = Cow::Owned(harmless(line.as_bytes()).replace('\n', " "));
    }
    let first = line.find(|next: char| next.is_ascii_graphic()).unwrap_or(line.len());
    if line[first..].starts_with("::") {
        line.to_mut().insert(first, '\\');
    }
    if line.contains("##[") {
        line = Cow::Owned(line.replace("##[", "##\\["));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_message_or_a_property_is_escaped() {
        assert_eq!(data("50%\r\n::error::x"), "50%25%0D%0A::error::x");
        assert_eq!(property("C:\\a,b 5%"), "C%3A\\a%2Cb 5%25");
        let command = Command::new("error", "no\nway").with("file", "a,b").with("line", 3);
        assert_eq!(command.to_string(), "::error file=a%2Cb,line=3::no%0Away");
        assert_eq!(Command::new("endgroup", "").to_string(), "::endgroup::");
    }

    #[test]
    fn plain_lines_stay_as_they_are() {
        for line in ["", "  std::vector<int> x;", "C:\\x", "#[derive]", "tab\there", "50 % ::"] {
            assert!(matches!(inert(line), Cow::Borrowed(_)), "{line}");
        }
    }
}
