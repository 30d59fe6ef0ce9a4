//! Texts. A character is what a reader sees as one (a grapheme cluster).

use unicode_segmentation::UnicodeSegmentation;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::types::Type;
use crate::eval::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "chomp",
        "The text without line ends at its end.",
        &[Param::string("str")],
        |call| Ok(Value::string(call.text(0).trim_end_matches(['\r', '\n']))),
    )
    .result(Want::String),
    Function::new(
        "endswith",
        "Whether a text ends with another.",
        &[Param::string("str"), Param::string("suffix")],
        |call| Ok(call.text(0).ends_with(call.text(1)).into()),
    )
    .result(Want::Bool),
    Function::new(
        "indent",
        "The text with blanks before all lines but the first.",
        &[Param::number("spaces"), Param::string("str")],
        indent,
    )
    .result(Want::String),
    Function::variadic(
        "join",
        "The texts of lists, with a separator between them.",
        &[Param::string("separator")],
        Param::new("lists", Want::ListOfString),
        join,
    )
    .result(Want::String),
    Function::new("lower", "The text in small letters.", &[Param::string("str")], |call| {
        Ok(Value::string(call.text(0).chars().map(to_lower).collect::<String>()))
    })
    .result(Want::String),
    Function::new(
        "replace",
        "The text with every occurrence of a part replaced by another text.",
        &[Param::string("str"), Param::string("substr"), Param::string("replace")],
        replace,
    )
    .result(Want::String),
    Function::new(
        "split",
        "The parts of a text between separators.",
        &[Param::string("separator"), Param::string("str")],
        split,
    )
    .result(Want::ListOfString),
    Function::new(
        "startswith",
        "Whether a text starts with another.",
        &[Param::string("str"), Param::string("prefix")],
        |call| Ok(call.text(0).starts_with(call.text(1)).into()),
    )
    .result(Want::Bool),
    Function::new(
        "strcontains",
        "Whether a text has another in it.",
        &[Param::string("str"), Param::string("substr")],
        |call| Ok(call.text(0).contains(call.text(1)).into()),
    )
    .result(Want::Bool),
    Function::new(
        "strrev",
        "The text from its end to its start.",
        &[Param::string("str")],
        |call| Ok(Value::string(call.text(0).graphemes(true).rev().collect::<String>())),
    )
    .result(Want::String),
    Function::new(
        "substr",
        "A part of a text: from an offset, of a length. -1 means the rest; a negative offset counts from the end.",
        &[Param::string("str"), Param::number("offset"), Param::number("length")],
        substr,
    )
    .result(Want::String),
    Function::new(
        "title",
        "The text with a capital letter at the start of each word.",
        &[Param::string("str")],
        |call| Ok(Value::string(title(call.text(0)))),
    )
    .result(Want::String),
    Function::new(
        "trim",
        "The text without any of the given characters at its start and end.",
        &[Param::string("str"), Param::string("cutset")],
        |call| {
            let cutset: Vec<char> = call.text(1).chars().collect();
            Ok(Value::string(call.text(0).trim_matches(cutset.as_slice())))
        },
    )
    .result(Want::String),
    Function::new(
        "trimprefix",
        "The text without a prefix.",
        &[Param::string("str"), Param::string("prefix")],
        |call| {
            let text = call.text(0);
            Ok(Value::string(text.strip_prefix(call.text(1)).unwrap_or(text)))
        },
    )
    .result(Want::String),
    Function::new(
        "trimspace",
        "The text without white space at its start and end.",
        &[Param::string("str")],
        |call| Ok(Value::string(call.text(0).trim())),
    )
    .result(Want::String),
    Function::new(
        "trimsuffix",
        "The text without a suffix.",
        &[Param::string("str"), Param::string("suffix")],
        |call| {
            let text = call.text(0);
            Ok(Value::string(text.strip_suffix(call.text(1)).unwrap_or(text)))
        },
    )
    .result(Want::String),
    Function::new("upper", "The text in capital letters.", &[Param::string("str")], |call| {
        Ok(Value::string(call.text(0).chars().map(to_upper).collect::<String>()))
    })
    .result(Want::String),
];

/// Indents all lines but the first.
fn indent(call: &Call<'_>) -> Outcome {
    let spaces = usize::try_from(call.whole(0)?)
        .map_err(|_| CallError::argument(0, "the number of spaces must not be negative"))?;
    call.pay_text(call.text(1).matches('\n').count().saturating_mul(spaces))?;
    let pad = match call.text(1).contains('\n') {
        true => " ".repeat(spaces),
        false => String::new(),
    };
    Ok(Value::string(call.text(1).replace('\n', &format!("\n{pad}"))))
}

fn replace(call: &Call<'_>) -> Outcome {
    let (text, old, new) = (call.text(0), call.text(1), call.text(2));
    call.pay_text(text.matches(old).count().saturating_mul(new.len()))?;
    Ok(Value::string(text.replace(old, new)))
}

fn join(call: &Call<'_>) -> Outcome {
    if call.args.len() < 2 {
        return Err(CallError::failed("at least one list is required"));
    }
    let mut parts = Vec::new();
    for (at, list) in call.args.iter().enumerate().skip(1) {
        for (index, item) in list.items().into_iter().flat_map(|items| items.iter()).enumerate() {
            match item.as_str() {
                Some(text) => parts.push(text),
                None if call.args.len() > 2 => {
                    let cause = format!(
                        "element {index} of list {} is null; cannot concatenate null values",
                        at - 1
                    );
                    return Err(CallError::argument(at, cause));
                }
                None => {
                    let cause = format!("element {index} is null; cannot concatenate null values");
                    return Err(CallError::argument(at, cause));
                }
            }
        }
    }
    call.pay_text(parts.len().saturating_mul(call.text(0).len()))?;
    Ok(Value::string(parts.join(call.text(0))))
}

fn split(call: &Call<'_>) -> Outcome {
    let (separator, text) = (call.text(0), call.text(1));
    let parts: Vec<Value> = match separator {
        "" => text.chars().map(|character| Value::string(character.to_string())).collect(),
        _ => text.split(separator).map(Value::string).collect(),
    };
    Ok(Value::list(Type::String, parts))
}

/// A negative offset counts from the end, and then a length of 0 means the rest as a negative one
/// does.
fn substr(call: &Call<'_>) -> Outcome {
    let (offset, length) = (call.whole(1)?, call.whole(2)?);
    let characters: Vec<&str> = call.text(0).graphemes(true).collect();
    if offset >= 0 && length == 0 {
        return Ok(Value::string(""));
    }
    let count = i64::try_from(characters.len()).unwrap_or(i64::MAX);
    let start = if offset < 0 { (count.saturating_add(offset)).max(0) } else { offset.min(count) };
    let end = if length <= 0 { count } else { start.saturating_add(length).min(count) };
    let (start, end) = (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0));
    Ok(Value::string(characters[start..end].concat()))
}

/// The single upper case letter, if there is one: `ß` stays.
fn to_upper(character: char) -> char {
    single(character.to_uppercase(), character)
}

/// The single lower case letter.
fn to_lower(character: char) -> char {
    match character {
        'İ' => 'i',
        _ => single(character.to_lowercase(), character),
    }
}

fn single(mut mapped: impl ExactSizeIterator<Item = char>, unmapped: char) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(unmapped) } else { unmapped }
}

/// Each letter that starts a word in title case.
fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut titled = String::with_capacity(text.len());
    for character in text.chars() {
        let starts = separates(previous);
        titled.push(if starts { to_title(character) } else { character });
        previous = character;
    }
    titled
}

fn to_title(character: char) -> char {
    match character {
        'ǆ' | 'ǅ' | 'Ǆ' => 'ǅ',
        'ǉ' | 'ǈ' | 'Ǉ' => 'ǈ',
        'ǌ' | 'ǋ' | 'Ǌ' => 'ǋ',
        'ǳ' | 'ǲ' | 'Ǳ' => 'ǲ',
        _ => to_upper(character),
    }
}

/// Whether a word may start after `character`.
fn separates(character: char) -> bool {
    match character {
        '0'..='9' | 'a'..='z' | 'A'..='Z' | '_' => false,
        '\0'..='\x7f' => true,
        _ => !character.is_alphanumeric() && character.is_whitespace(),
    }
}
