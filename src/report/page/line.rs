//! A line of the machine-readable log, taken apart: `time,target,type,data…`.

use std::borrow::Cow;

use jiff::Timestamp;

/// The fields of a line that are read; no record that the page shows has more.
const MOST_FIELDS: usize = 4000;

/// A record. It may be anything: whoever wrote the log decides.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// When it was said, to the second.
    pub at: Timestamp,
    /// The build that it is about; empty if it is about the run.
    pub target: Cow<'a, str>,
    /// Its type.
    pub kind: &'a str,
    /// What it says.
    pub fields: Vec<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    /// Reads a line; `None` if it is no record.
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut parts = line.trim_end_matches(['\r', '\n']).split(',');
        let at = Timestamp::from_second(parts.next()?.parse().ok()?).ok()?;
        let target = unescaped(parts.next()?);
        let kind = parts.next()?;
        let fields = parts.take(MOST_FIELDS).map(unescaped).collect();
        Some(Self { at, target, kind, fields })
    }

    /// The field at `index`; empty if there is none.
    pub fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", |field| &**field)
    }

    /// The time in the first field, in milliseconds; else that of the line.
    pub fn exactly(&self) -> Timestamp {
        let exact = self.field(0).parse().ok();
        exact.and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(self.at)
    }
}

/// A field as it was before it was written. A lone `\r` stays as it is written: as a carriage return it
/// would take away what stands before it, and with that who has said it.
fn unescaped(field: &str) -> Cow<'_, str> {
    if !field.contains(['%', '\\']) {
        return Cow::Borrowed(field);
    }
    let text = field.replace("%!(PACKER_COMMA)", ",");
    Cow::Owned(text.replace("\\r\\n", "\n").replace("\\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were() {
        let record = Record::parse("1700000000,web,ui,say,a%!(PACKER_COMMA) b\\nc").unwrap();
        assert_eq!((record.at.as_second(), &*record.target), (1_700_000_000, "web"));
        assert_eq!((record.kind, record.field(0), record.field(1)), ("ui", "say", "a, b\nc"));
        assert_eq!((record.field(2), record.exactly()), ("", record.at));
        let record = Record::parse(r"1700000000,,ui,say,x\r==> db: y\r\nz").unwrap();
        assert_eq!(record.field(1), "x\\r==> db: y\nz");
        let exact = Record::parse("1700000000,,run-started,1700000000123,0.1.0").unwrap();
        assert_eq!(exact.exactly().as_millisecond(), 1_700_000_000_123);
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in ["", "hello", "x,y,z", "1,2", "99999999999999999999,,ui", ",,,"] {
            assert!(Record::parse(line).is_none(), "{line}");
        }
    }
}
