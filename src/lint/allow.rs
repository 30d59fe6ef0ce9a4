//! `imgbake:allow(L102)`: the comment that silences a finding.

use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;

/// What a comment says before the list of codes.
const ALLOW: &str = "imgbake:allow(";

/// Whether a comment on the line of `found`, or on the line before it, allows it.
pub(super) fn is_allowed(found: &Diagnostic, sources: &SourceMap) -> bool {
    let Some(span) = found.span else { return false };
    let file = sources.file(span.file);
    let line = file.position(span.start as usize).line;
    let own = file.lines_from(line).next();
    let before = match line {
        1 => None,
        _ => file.lines_from(line - 1).next().filter(|line| comment_start(line.trim()) == Some(0)),
    };
    own.into_iter().chain(before).any(|line| allows(line, found.code.name()))
}

/// Whether a comment in `line` names `code`.
fn allows(line: &str, code: &str) -> bool {
    let comment = comment_start(line).map(|start| &line[start..]);
    let list = comment.and_then(|text| text.split_once(ALLOW)).map(|(_, list)| list);
    let codes = list.and_then(|list| list.split_once(')')).map(|(codes, _)| codes);
    codes.is_some_and(|codes| codes.split(',').any(|one| one.trim().eq_ignore_ascii_case(code)))
}

/// Where a comment may begin. A `#` in a text is taken for one too: what follows it must still be
/// our own word.
fn comment_start(line: &str) -> Option<usize> {
    ["#", "//", "/*"].into_iter().filter_map(|mark| line.find(mark)).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::code;
    use crate::source::Span;

    #[test]
    fn a_comment_on_the_line_or_the_line_before_allows() {
        for (text, allowed) in [
            ("x = 1", false),
            ("x = 1 # imgbake:allow(L102)", true),
            ("x = 1 // why: imgbake:allow(L101, l102)", true),
            ("x = 1 # imgbake:allow(L101)", false),
            ("x = \"imgbake:allow(L102)\"", false),
            ("# imgbake:allow(L102)\nx = 1", true),
            ("y = 2 # imgbake:allow(L102)\nx = 1", false),
            ("# imgbake:allow(L102)\n\nx = 1", false),
        ] {
            let mut sources = SourceMap::default();
            let file = sources.add("t", text);
            let at = text.rfind("x =").unwrap();
            let found = super::super::finding(code::OPEN_INGRESS, Span::new(file, at, at + 1), "");
            assert_eq!(is_allowed(&found, &sources), allowed, "{text}");
        }
    }
}
