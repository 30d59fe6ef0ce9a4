//! Texts of others in Markdown: they are shown, and say nothing.

use std::fmt::Write as _;

/// `text` within a line or a table's cell: no markup, no link, no mention, no HTML.
pub fn inline(text: &str) -> String {
    escaped(text.trim())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for next in text.chars() {
        match next {
            '\n' | '\r' | '\t' => out.push(' '),
            next if next.is_control() => {}
            '-' | '.' | ',' | '/' | '+' | '=' | '%' | '?' | ';' => out.push(next),
            // As code points they would still be mentions and references.
            '@' | '#' => out.extend([next, '\u{200b}']),
            next if next.is_ascii_punctuation() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "&#{};", u32::from(next));
            }
            next => out.push(next),
        }
    }
    out
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
