//! Chef's configuration: one line of Ruby for each setting.

use std::fmt::Write as _;

/// A configuration, as far as it is written.
#[derive(Debug, Default)]
pub(super) struct Config(String);

impl Config {
    /// Adds a setting, if it has a value.
    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            // Writing to a text cannot fail.
            let _ = writeln!(self.0, "{name} {}", quoted(value));
        }
        self
    }

    /// Adds a setting whose value is one of Ruby's names, if it has one.
    pub(super) fn symbol(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            let _ = writeln!(self.0, "{name} {}.to_sym", quoted(value));
        }
        self
    }

    /// Adds a setting with several values.
    pub(super) fn list(mut self, name: &str, values: &[String]) -> Self {
        let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
        let _ = writeln!(self.0, "{name} [{}]", values.join(", "));
        self
    }

    /// Adds what all of Chef's programs write to their output.
    pub(super) fn logging(mut self) -> Self {
        self.0.push_str("log_level :info\nlog_location STDOUT\n");
        self
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// `text` as Ruby takes it literally.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_a_value() {
        let config = Config::default().text("a", r#"it's \ #{x} ""#).text("b", "").symbol("c", "d");
        let text = config.list("e", &["f".into(), "g".into()]).finish();
        assert_eq!(text, "a 'it\\'s \\\\ #{x} \"'\nc 'd'.to_sym\ne ['f', 'g']\n");
    }
}
