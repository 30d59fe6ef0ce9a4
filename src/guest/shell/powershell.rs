//! What PowerShell takes literally.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The line for `cmd` that has PowerShell run `script`. It has 8191 characters at most, so the script
/// has 3000 or fewer.
pub fn encoded_powershell(script: &str) -> String {
    let utf16: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    format!(
        "powershell -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand {}",
        BASE64.encode(utf16)
    )
}

/// `text` for PowerShell's double quotes.
pub fn escape_powershell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '`' | '$' | '"' | '\'' | '\u{201c}' | '\u{201d}' | '\u{201e}') {
            escaped.push('`');
        }
        escaped.push(c);
    }
    escaped
}

/// One line for each variable, which sets it to its value.
pub fn powershell_variables(values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in values {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "${name} = {}", quote_powershell(value));
    }
    text
}

/// `text` as one word that PowerShell takes literally. It knows five single quotes.
pub fn quote_powershell(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        quoted.push(c);
        if matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            quoted.push(c);
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_quotes_is_escaped() {
        assert_eq!(escape_powershell("a`$\"'€"), "a```$`\"`'€");
        assert_eq!(powershell_variables(&[("p", "it’s 'x'")]), "$p = 'it’’s ''x'''\n");
    }
}
