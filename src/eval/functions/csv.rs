//! `csvdecode`.
//!
//! It reads by itself: what Go's `encoding/csv` refuses (a bare quote, a row that is too long) is an error of
//! the template, and the crate `csv` takes any text.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Call, CallError, Function, Outcome, Param};
use crate::eval::types::{Field, Type};
use crate::eval::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[Function::new(
    "csvdecode",
    "A list of objects, one for each line after the first, which names the columns.",
    &[Param::string("str")],
    csvdecode,
)];

/// A list of objects, keyed by the first line.
fn csvdecode(call: &Call<'_>) -> Outcome {
    let mut lines = Reader { text: call.text(0), line: 1 };
    let failed = |(line, cause): (usize, &str)| {
        CallError::failed(format!("CSV parse error on line {line}: {cause}"))
    };
    let header = match lines.record().map_err(failed)? {
        Some((_, header)) => header,
        None => return Err(CallError::failed("missing header line")),
    };
    let mut names = HashSet::new();
    for name in &header {
        if !names.insert(name) {
            return Err(CallError::failed(format!("duplicate column name {name:?}")));
        }
    }
    let fields =
        header.iter().map(|name| (Arc::from(name.as_str()), Field::required(Type::String)));
    let ty = Type::Object(Arc::new(fields.collect()));
    let mut rows = Vec::new();
    while let Some((line, record)) = lines.record().map_err(failed)? {
        if record.len() != header.len() {
            return Err(failed((line, "wrong number of fields")));
        }
        let fields = header.iter().zip(&record);
        rows.push(Value::object(fields.map(|(name, field)| (name.as_str(), Value::string(field)))));
    }
    Ok(Value::list(ty, rows))
}

struct Reader<'a> {
    text: &'a str,
    line: usize,
}

type ReadError = (usize, &'static str);

impl Reader<'_> {
    /// The next record and the line it starts on; empty lines are skipped.
    fn record(&mut self) -> Result<Option<(usize, Vec<String>)>, ReadError> {
        loop {
            let rest = self.text.strip_prefix("\r\n").or_else(|| self.text.strip_prefix('\n'));
            match rest {
                Some(rest) => {
                    self.text = rest;
                    self.line += 1;
                }
                None => break,
            }
        }
        if self.text.is_empty() {
            return Ok(None);
        }
        let start = self.line;
        let mut fields = Vec::new();
        loop {
            fields.push(match self.text.strip_prefix('"') {
                Some(rest) => {
                    self.text = rest;
                    self.quoted()?
                }
                None => self.plain()?,
            });
            if let Some(rest) = self.text.strip_prefix(',') {
                self.text = rest;
                continue;
            }
            let rest = self.text.strip_prefix("\r\n").or_else(|| self.text.strip_prefix('\n'));
            self.text = rest.unwrap_or_default();
            self.line += 1;
            return Ok(Some((start, fields)));
        }
    }

    fn plain(&mut self) -> Result<String, ReadError> {
        let end = self.text.find([',', '\n']).unwrap_or(self.text.len());
        let (field, rest) = self.text.split_at(end);
        let (field, rest) = match field.strip_suffix('\r') {
            Some(field) if rest.starts_with('\n') => (field, rest),
            _ => (field, rest),
        };
        if field.contains('"') {
            return Err((self.line, "bare \" in non-quoted-field"));
        }
        self.text = rest;
        Ok(field.to_owned())
    }

    /// The rest of a field after its opening quote.
    fn quoted(&mut self) -> Result<String, ReadError> {
        const UNCLOSED: &str = "extraneous or missing \" in quoted-field";
        let mut field = String::new();
        loop {
            let Some((part, rest)) = self.text.split_once('"') else {
                return Err((self.line, UNCLOSED));
            };
            field.push_str(&part.replace("\r\n", "\n"));
            self.line += part.matches('\n').count();
            self.text = rest;
            match rest.strip_prefix('"') {
                Some(rest) => {
                    field.push('"');
                    self.text = rest;
                }
                None if rest.is_empty() || rest.starts_with([',', '\n']) => return Ok(field),
                None if rest.starts_with("\r\n") => return Ok(field),
                None => return Err((self.line, UNCLOSED)),
            }
        }
    }
}
