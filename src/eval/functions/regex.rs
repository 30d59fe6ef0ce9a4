//! Regular expressions in RE2's dialect.

use ::regex::{Captures, Regex, RegexBuilder};

use super::{CallError, Function, Param};
use crate::eval::types::{Field, Type};
use crate::eval::value::{Data, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("regex", &[Param::string("pattern"), Param::string("string")], |call| {
        let (regex, form) = compile(call.text(0)).map_err(|e| CallError::argument(0, e))?;
        let found = regex.captures(call.text(1)).ok_or_else(|| {
            CallError::failed("pattern did not match any part of the given string")
        })?;
        Ok(form.value(&found))
    }),
    Function::new("regexall", &[Param::string("pattern"), Param::string("string")], |call| {
        let (regex, form) = compile(call.text(0)).map_err(|e| CallError::argument(0, e))?;
        let found = regex.captures_iter(call.text(1)).map(|found| form.value(&found));
        Ok(Value::list(form.ty(), found))
    }),
    Function::new(
        "regex_replace",
        &[Param::string("str"), Param::string("pattern"), Param::string("replace")],
        |call| {
            let regex = parse(call.text(1)).map_err(|cause| {
                let cause = cause.replacen(" in ", ": `", 1) + "`";
                CallError::failed(format!("error parsing regexp: {cause}"))
            })?;
            Ok(Value::string(regex.replace_all(call.text(0), call.text(2))))
        },
    ),
];

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

    fn value(&self, found: &Captures<'_>) -> Value {
        let text = |group: Option<::regex::Match<'_>>| match group {
            Some(group) => Value::string(group.as_str()),
            None => Data::Null(Type::String).public(),
        };
        match self {
            Self::Whole => text(found.get(0)),
            Self::Numbered(count) => Value::tuple((1..=*count).map(|at| text(found.get(at)))),
            Self::Named(names) => {
                Value::object(names.iter().map(|name| (name.as_str(), text(found.name(name)))))
            }
        }
    }
}

fn compile(pattern: &str) -> Result<(Regex, Form), String> {
    let regex = parse(pattern).map_err(|cause| format!("invalid regexp pattern: {cause}"))?;
    let names: Vec<Option<&str>> = regex.capture_names().skip(1).collect();
    let named: Vec<String> = names.iter().flatten().map(|name| (*name).to_owned()).collect();
    let form = match (names.len(), named.len()) {
        (0, _) => Form::Whole,
        (count, 0) => Form::Numbered(count),
        (count, named_count) if count == named_count => Form::Named(named),
        _ => {
            return Err("invalid regexp pattern: cannot mix both named and unnamed capture groups"
                .to_owned());
        }
    };
    Ok((regex, form))
}

/// A pattern whose `\d`, `\w`, `\s` and `\b` mean ASCII, as in RE2.
fn parse(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&ascii_classes(pattern)).build().map_err(|error| describe(pattern, &error))
}

fn ascii_classes(pattern: &str) -> String {
    let mut rewritten = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        match character {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        if character != '\\' {
            rewritten.push(character);
            continue;
        }
        let Some(escaped) = characters.next() else {
            rewritten.push('\\');
            break;
        };
        match (escaped, in_class) {
            ('d', _) => rewritten.push_str("[0-9]"),
            ('D', _) => rewritten.push_str("[^0-9]"),
            ('w', _) => rewritten.push_str("[0-9A-Za-z_]"),
            ('W', _) => rewritten.push_str("[^0-9A-Za-z_]"),
            ('s', _) => rewritten.push_str(r"[\t\n\f\r ]"),
            ('S', _) => rewritten.push_str(r"[^\t\n\f\r ]"),
            ('b', false) => rewritten.push_str(r"(?-u:\b)"),
            ('Q', false) => {
                let rest = characters.as_str();
                let quoted = rest.split("\\E").next().unwrap_or(rest);
                rewritten.push_str(&::regex::escape(quoted));
                characters = rest[quoted.len()..].strip_prefix("\\E").unwrap_or("").chars();
            }
            _ => {
                rewritten.push('\\');
                rewritten.push(escaped);
            }
        }
    }
    rewritten
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
