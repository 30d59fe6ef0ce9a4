//! Regular expressions in RE2's dialect.

use ::regex::{Captures, Regex, RegexBuilder};

use super::re2::translate;
use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::types::{Field, Type};
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "regex",
        "What a regular expression of RE2 matches first: a text, a list of its groups, or an object of its named groups.",
        &[Param::string("pattern"), Param::string("string")],
        |call| {
            let (regex, form) = compile(call)?;
            let found = regex.captures(call.text(1)).ok_or_else(|| {
                CallError::failed("pattern did not match any part of the given string")
            })?;
            Ok(form.value(&found))
        },
    ),
    Function::new(
        "regexall",
        "A list of everything that a regular expression matches.",
        &[Param::string("pattern"), Param::string("string")],
        |call| {
            let (regex, form) = compile(call)?;
            let mut values = Vec::new();
            for found in regex.captures_iter(call.text(1)) {
                pay_match(call, call.text(1))?;
                values.push(form.value(&found));
            }
            Ok(Value::list(form.ty(), values))
        },
    )
    .result(Want::List),
    Function::new(
        "regex_replace",
        "The text with all matches replaced; `$1` or `${name}` stands for a group.",
        &[Param::string("str"), Param::string("pattern"), Param::string("replace")],
        regex_replace,
    )
    .result(Want::String),
];

fn regex_replace(call: &Call<'_>) -> Outcome {
    let (regex, _) = parse(call, call.text(1))?.map_err(|cause| {
        let cause = cause.replacen(" in ", ": `", 1) + "`";
        CallError::failed(format!("error parsing regexp: {cause}"))
    })?;
    let (text, new) = (call.text(0), call.text(2));
    let references = new.matches('$').count();
    let (mut replaced, mut end) = (String::new(), 0);
    for found in regex.captures_iter(text) {
        let whole = found.get_match();
        pay_match(call, text)?;
        let most = whole.len().saturating_mul(references).saturating_add(new.len());
        call.pay_text(replaced.len().saturating_add(most))?;
        replaced.push_str(&text[end..whole.start()]);
        found.expand(new, &mut replaced);
        end = whole.end();
    }
    Ok(Value::string(replaced + &text[end..]))
}

/// Pays for the search for one of many matches in `text`: each may look at all that follows.
fn pay_match(call: &Call<'_>, text: &str) -> Result<(), CallError> {
    call.pay(1 + text.len() / 1024)
}

/// What a match is: the whole text, a tuple of its groups, or an object of its named groups.
enum Form {
    Whole,
    Numbered(usize),
    Named(Vec<String>),
}

impl Form {
    fn ty(&self) -> Type {
        match self {
            Self::Whole => Type::String,
            Self::Numbered(count) => Type::Tuple(vec![Type::String; *count].into()),
            Self::Named(names) => {
                let fields =
                    names.iter().map(|name| (name.as_str().into(), Field::required(Type::String)));
                Type::Object(fields.collect::<std::collections::BTreeMap<_, _>>().into())
            }
        }
    }

    /// Of several groups of one name the last counts.
    fn value(&self, found: &Captures<'_>) -> Value {
        let text = |at: usize| match found.get(at) {
            Some(group) => Value::string(group.as_str()),
            None => Data::Null(Type::String).public(),
        };
        match self {
            Self::Whole => text(0),
            Self::Numbered(count) => Value::tuple((1..=*count).map(text)),
            Self::Named(names) => {
                let named = names.iter().zip(1..).map(|(name, at)| (name.as_str(), text(at)));
                Value::object(named)
            }
        }
    }
}

/// The pattern of `regex` or `regexall`.
fn compile(call: &Call<'_>) -> Result<(Regex, Form), CallError> {
    let wrong = |cause: &str| CallError::argument(0, format!("invalid regexp pattern: {cause}"));
    let (regex, names) = parse(call, call.text(0))?.map_err(|cause| wrong(&cause))?;
    let named: Vec<String> = names.iter().flatten().cloned().collect();
    let form = match (names.len(), named.len()) {
        (0, _) => Form::Whole,
        (count, 0) => Form::Numbered(count),
        (count, named_count) if count == named_count => Form::Named(named),
        _ => return Err(wrong("cannot mix both named and unnamed capture groups")),
    };
    Ok((regex, form))
}

/// A compiled pattern, and the name of each of its groups that has one.
type Compiled = Result<(Regex, Vec<Option<String>>), String>;

/// Reads a pattern of RE2.
fn parse(call: &Call<'_>, pattern: &str) -> Result<Compiled, CallError> {
    /// The sizes that a compiled pattern may have, and what they cost.
    const SIZES: [(usize, usize); 3] = [(1 << 16, 500), (1 << 20, 10_000), (10 << 20, 200_000)];
    let (translated, names) = match translate(pattern) {
        Ok(translated) => translated,
        Err(cause) => return Ok(Err(cause)),
    };
    for (size, cost) in SIZES {
        call.pay(cost)?;
        match RegexBuilder::new(&translated).size_limit(size).build() {
            Err(::regex::Error::CompiledTooBig(_)) => {}
            built => {
                let built = built.map_err(|error| describe(pattern, &error));
                return Ok(built.map(|regex| (regex, names)));
            }
        }
    }
    Ok(Err("expression too large".to_owned()))
}

/// RE2's words for the usual mistakes.
fn describe(pattern: &str, error: &::regex::Error) -> String {
    let text = error.to_string();
    let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let near = |needle: &str| {
        let at = pattern.find(needle).unwrap_or(0);
        pattern[at..].to_owned()
    };
    match cause {
        "unclosed group" => format!("missing closing ) in {pattern}"),
        "unopened group" => format!("unexpected ) in {pattern}"),
        "unclosed character class" => format!("missing closing ] in {}", near("[")),
        "repetition operator missing expression" => {
            let operator = pattern.chars().find(|c| "*+?".contains(*c)).unwrap_or('*');
            format!("missing argument to repetition operator in {operator}")
        }
        _ if cause.starts_with("look-around") => {
            let found = ["(?=", "(?!", "(?<"].into_iter().find(|start| pattern.contains(start));
            format!("invalid or unsupported Perl syntax in {}", found.unwrap_or("(?"))
        }
        _ => cause.to_owned(),
    }
}
