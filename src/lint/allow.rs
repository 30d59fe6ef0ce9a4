//! `imgbake:allow(L102)`: the comment that silences a finding.

use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;

/// Whether a comment on the line of `found`, or on the line before it, allows it.
pub(super) fn is_allowed(found: &Diagnostic, sources: &SourceMap) -> bool {
    let Some(span) = found.span else { return false };
    let file = sources.file(span.file);
    let line = file.position(span.start as usize).line;
    let mut codes = file.asked_at(line, "allow").flat_map(|list| list.split(','));
    codes.any(|code| code.trim().eq_ignore_ascii_case(found.code.name()))
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
