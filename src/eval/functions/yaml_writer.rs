//! `yamlencode`: YAML as HCL has always written it, byte for byte: blocks, all texts in quotes or as
//! literal blocks, long lines folded.

use std::fmt::Write;

use crate::eval::value::{Data, Value};

/// Columns that one level of blocks indents by.
const INDENT: usize = 2;

/// The column behind which a quoted text goes on in the next line.
const WIDTH: usize = 80;

/// The longest key that stands before a mere `:`.
const LONGEST_KEY: usize = 128;

/// `value` as a YAML document.
pub fn encode(value: &Value) -> String {
    let mut writer = Writer { text: String::new(), is_fresh: true };
    writer.node(value, None, false);
    // A bare scalar without a marker at its end could go on.
    let is_bare = matches!(value.data, Data::Null(_) | Data::Bool(_) | Data::Number(_));
    if !writer.text.ends_with('\n') {
        writer.text.push('\n');
    }
    writer.text + if is_bare { "...\n" } else { "" }
}

struct Writer {
    text: String,
    /// Whether a block can begin where the text ends: at its start, or after `- `.
    is_fresh: bool,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.is_fresh = false;
    }

    /// A value in the block that is indented by `outer`.
    fn node(&mut self, value: &Value, outer: Option<usize>, in_mapping: bool) {
        let inner = outer.map_or(0, |outer| outer + INDENT);
        match (&value.data, value.items(), value.entries()) {
            (_, Some(items), _) if items.is_empty() => self.push("[]"),
            (_, _, Some(entries)) if entries.is_empty() => self.push("{}"),
            // A list as the value of a key is not indented.
            (_, Some(items), _) => {
                self.list(items, if in_mapping { inner - INDENT } else { inner })
            }
            (_, _, Some(_)) => self.mapping(value, inner),
            (Data::String(text), ..) => self.string(text, inner.max(INDENT), false),
            (Data::Bool(known), ..) => self.push(if *known { "true" } else { "false" }),
            (Data::Number(number), ..) => self.push(&number.to_string()),
            _ => self.push("null"),
        }
    }

    fn list(&mut self, items: &[Value], indent: usize) {
        for item in items {
            self.line(indent);
            self.push("- ");
            self.is_fresh = true;
            self.node(item, Some(indent), false);
        }
    }

    fn mapping(&mut self, value: &Value, indent: usize) {
        for (key, value) in value.entries().into_iter().flat_map(|entries| entries.iter()) {
            self.line(indent);
            if key.len() <= LONGEST_KEY && !key.contains(is_break) {
                self.string(key, indent + INDENT, true);
            } else {
                self.push("? ");
                self.string(key, indent + INDENT, false);
                self.line(indent);
            }
            self.push(":");
            let is_block = value.children().next().is_some();
            self.push(if is_block { "" } else { " " });
            self.node(value, Some(indent), true);
        }
    }

    /// Begins a line, unless a block can begin right here.
    fn line(&mut self, indent: usize) {
        if std::mem::take(&mut self.is_fresh) {
            return;
        }
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.extend(std::iter::repeat_n(' ', indent));
    }

    /// Texts with line ends as literal blocks, where these can hold them; others in quotes.
    fn string(&mut self, text: &str, indent: usize, is_key: bool) {
        if !is_key && text.contains('\n') && can_be_literal(text) {
            self.literal(text, indent);
        } else {
            self.quoted(text, indent, !is_key);
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.push("|");
        if text.starts_with([' ', '\n']) {
            self.push("2");
        }
        let body = text.strip_suffix('\n');
        self.push(match body {
            None => "-",
            Some(body) if body.is_empty() || body.ends_with('\n') => "+",
            Some(_) => "",
        });
        for line in body.unwrap_or(text).split('\n') {
            self.push("\n");
            if !line.is_empty() {
                self.text.extend(std::iter::repeat_n(' ', indent));
                self.push(line);
            }
        }
        if body.is_some() {
            self.push("\n");
        }
    }

    fn quoted(&mut self, text: &str, indent: usize, may_fold: bool) {
        self.push("\"");
        let line_start = self.text.rfind('\n').map_or(0, |at| at + 1);
        let mut column = self.text[line_start..].chars().count();
        let mut after_space = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let is_inside = at > 0 && characters.peek().is_some();
            let before = self.text.len();
            if character != ' ' {
                write_character(&mut self.text, character);
            } else if may_fold && !after_space && column > WIDTH && is_inside {
                self.line(indent);
                column = indent;
                if characters.peek().is_some_and(|(_, next)| *next == ' ') {
                    self.text.push('\\');
                    column += 1;
                }
                after_space = true;
                continue;
            } else {
                self.text.push(' ');
            }
            column += self.text[before..].chars().count();
            after_space = character == ' ';
        }
        self.push("\"");
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a literal block would be read as this text.
fn can_be_literal(text: &str) -> bool {
    let has_space_before_break = text.contains(" \n") || text.ends_with(' ');
    !has_space_before_break && text.chars().all(|c| c == '\n' || is_printable(c))
}

/// The characters that YAML needs no escape for. Those beyond U+FFFF could do without, but never did.
fn is_printable(character: char) -> bool {
    match character {
        '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{ffff}' => {
            !matches!(character, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        }
        _ => false,
    }
}

/// A character between double quotes.
fn write_character(to: &mut String, character: char) {
    let is_plain = is_printable(character) && !is_break(character);
    let short = match character {
        '"' => '"',
        '\\' => '\\',
        _ if is_plain => return to.push(character),
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(character);
            // Writing to a string cannot fail.
            let _ = match code {
                ..=0xff => write!(to, "\\x{code:02X}"),
                0x100..=0xffff => write!(to, "\\u{code:04X}"),
                _ => write!(to, "\\U{code:08X}"),
            };
            return;
        }
    };
    to.extend(['\\', short]);
}
