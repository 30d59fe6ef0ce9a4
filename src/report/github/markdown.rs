//! Texts of others in Markdown: they are shown, and say nothing.

use std::fmt::Write as _;

/// `text` within a line or a table's cell: no markup, no link, no mention, no HTML.
pub fn inline(text: &str) -> String {
    escaped(text.trim())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A block begins with `-`, `+`, `=`, or a number and a dot.
    let start = text.len() - text.trim_start().len();
    let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
    for (at, next) in text.char_indices() {
        match next {
            '\n' | '\r' | '\t' => out.push(' '),
            next if next.is_control() => {}
            '-' | '+' | '=' | '.' if at == start + digits && (digits > 0) == (next == '.') => {
                entity(next, &mut out);
            }
            // What follows `www.` would be a link.
            '.' if is_www(&text.as_bytes()[..at]) => out.push_str("\u{200b}."),
            '-' | '.' | ',' | '/' | '+' | '=' | '%' | '?' | ';' => out.push(next),
            // As code points they would still be mentions and references.
            '@' | '#' => out.extend([next, '\u{200b}']),
            next if next.is_ascii_punctuation() => entity(next, &mut out),
            next => out.push(next),
        }
    }
    out
}

fn is_www(before: &[u8]) -> bool {
    before.last_chunk().is_some_and(|last: &[u8; 3]| last.eq_ignore_ascii_case(b"www"))
}

/// A sign that says nothing.
fn entity(sign: char, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "&#{};", u32::from(sign));
}

/// The same as code, in which blanks count.
pub fn code(text: &str) -> String {
    let mut after_blank = true;
    let mut out = String::new();
    for next in escaped(text.trim_end()).chars() {
        let is_blank = next == ' ';
        match is_blank && after_blank {
            true => out.push_str("&nbsp;"),
            false => out.push(next),
        }
        after_blank = is_blank;
    }
    format!("<code>{out}</code>")
}

/// A sentence of ours, which has code between backticks, about what others wrote.
pub fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return inline(text);
    }
    // What is around code keeps its blanks.
    let parts = parts.iter().enumerate().map(|(at, part)| match at % 2 {
        0 => escaped(part),
        _ => code(part),
    });
    parts.collect::<String>().trim().to_owned()
}

/// `text` as a block of its own, whatever stands in it.
pub fn block(text: &str) -> String {
    let runs = text.split(|next| next != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    let text: String =
        text.chars().filter(|next| !next.is_control() || matches!(next, '\n' | '\t')).collect();
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_of_others_is_markup() {
        let hostile =
            "a|b `c` <img src=x onerror=y> @octocat #1 https://evil.example *x* [y](z)\n&";
        let shown = inline(hostile);
        for markup in ['|', '`', '<', '>', '*', '[', ']', '(', ')', ':', '\n', '_', '!', '\\'] {
            assert!(!shown.contains(markup), "{markup}: {shown}");
        }
        assert!(!shown.contains("@o") && !shown.contains("#1 "), "{shown}");
        assert_eq!(inline("amazon-ebs.web"), "amazon-ebs.web");
        assert_eq!(code("a b"), "<code>a b</code>");
        assert_eq!(code("  a  = 1 "), "<code>&nbsp;&nbsp;a &nbsp;= 1</code>");
    }

    #[test]
    fn no_text_is_a_link_a_list_or_a_rule() {
        for (text, shown) in [
            ("see WWW.evil.example", "see WWW\u{200b}.evil.example"),
            ("- item", "&#45; item"),
            ("+ item", "&#43; item"),
            ("12. item", "12&#46; item"),
            ("1.5 GB", "1&#46;5 GB"),
            ("---", "&#45;--"),
            ("===", "&#61;=="),
            (" -x", "&#45;x"),
            ("a-b 1.2", "a-b 1.2"),
        ] {
            assert_eq!(inline(text), shown);
            assert_eq!(prose(text), shown);
        }
        assert_eq!(prose("- `a` - b"), "&#45; <code>a</code> &#45; b");
    }

    #[test]
    fn sentences_have_code_between_backticks() {
        let shown = prose("`null` has no option `x|y`: *no*");
        assert_eq!(
            shown,
            "<code>null</code> has no option <code>x&#124;y</code>&#58; &#42;no&#42;"
        );
        assert!(!prose("one ` only").contains('`'));
    }

    #[test]
    fn a_block_ends_only_where_we_end_it() {
        assert_eq!(block("plain\n\n"), "```text\nplain\n```\n");
        let hostile = block("```\n````js\n<script>");
        assert!(hostile.starts_with("`````text\n") && hostile.ends_with("\n`````\n"), "{hostile}");
        assert_eq!(block("a\u{0}\u{1b}[1mb\r"), "```text\na[1mb\n```\n");
    }
}
