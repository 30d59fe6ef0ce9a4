//! GitHub's workflow commands: a line for each finding.

use super::{Place, level, message};
use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;

pub(super) fn render(found: &[&Diagnostic], sources: &SourceMap) -> String {
    let commands: Vec<String> = found.iter().map(|found| command(found, sources)).collect();
    commands.join("\n")
}

/// `::error file=…,line=…,col=…,endLine=…,endColumn=…,title=…::message`
fn command(found: &Diagnostic, sources: &SourceMap) -> String {
    let mut properties = Vec::new();
    if let Some(span) = found.span {
        let Place { file, start, end } = Place::of(span, sources);
        // The runner drops the columns of a place with several lines.
        let last = if end.line > start.line { end.column } else { end.column.max(2) - 1 };
        properties.extend([
            format!("file={}", property(&file)),
            format!("line={}", start.line),
            format!("col={}", start.column),
            format!("endLine={}", end.line),
            format!("endColumn={}", last.max(start.column)),
        ]);
    }
    properties
        .push(format!("title={}", property(&format!("{} {}", found.code, found.code.title()))));
    format!("::{} {}::{}", level(found.severity), properties.join(","), data(&message(found)))
}

/// `text` as the message of a command. `%` goes first.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// `text` as the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_message_or_a_property_is_escaped() {
        assert_eq!(data("50%\r\n::error::x"), "50%25%0D%0A::error::x");
        assert_eq!(property("C:\\a,b 5%"), "C%3A\\a%2Cb 5%25");
    }
}
