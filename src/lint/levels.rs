//! `-lint`: which rules count, and how much.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::RULES;
use crate::diagnostic::{Code, did_you_mean};

/// What becomes of a rule's findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// They are not shown.
    Allow,
    /// They are warnings.
    #[default]
    Warn,
    /// They are errors.
    Deny,
}

/// The level of each rule; without wishes, all warn.
#[derive(Clone, Debug, Default)]
pub struct Levels(BTreeMap<&'static str, Level>);

/// One word of `-lint`: `off`, `deny`, `-L103`, `L103`, `deny:L103`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    level: Level,
    /// `None`: all rules.
    rule: Option<Code>,
}

impl Levels {
    /// What `wishes` come to; later ones win.
    pub fn new(wishes: &[Wish]) -> Self {
        let mut levels = BTreeMap::new();
        for wish in wishes {
            let meant = RULES.iter().filter(|rule| wish.rule.is_none_or(|code| code == rule.code));
            levels.extend(meant.map(|rule| (rule.code.name(), wish.level)));
        }
        Self(levels)
    }

    /// The level of one rule.
    pub fn of(&self, code: Code) -> Level {
        self.0.get(code.name()).copied().unwrap_or_default()
    }
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (level, name) = match text {
            "off" => return Ok(Self { level: Level::Allow, rule: None }),
            "deny" => return Ok(Self { level: Level::Deny, rule: None }),
            _ => match (text.strip_prefix('-'), text.strip_prefix("deny:")) {
                (Some(name), _) => (Level::Allow, name),
                (_, Some(name)) => (Level::Deny, name),
                _ => (Level::Warn, text),
            },
        };
        let names = || RULES.iter().map(|rule| rule.code.name());
        match RULES.iter().find(|rule| rule.code.name().eq_ignore_ascii_case(name)) {
            Some(rule) => Ok(Self { level, rule: Some(rule.code) }),
            None => Err(match did_you_mean(name, names()) {
                Some(meant) => format!("there is no lint `{name}`; did you mean `{meant}`?"),
                None => format!(
                    "there is no lint `{name}`: write `off`, `deny`, or one of {} with `-` or \
                     `deny:` before it",
                    names().collect::<Vec<_>>().join(", ")
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::code;

    fn levels(text: &str) -> [Level; 2] {
        let wishes: Vec<Wish> = text.split(',').map(|word| word.parse().unwrap()).collect();
        let levels = Levels::new(&wishes);
        [code::HARDCODED_KEY, code::OPEN_INGRESS].map(|code| levels.of(code))
    }

    #[test]
    fn later_wishes_win() {
        assert_eq!(levels("-L102"), [Level::Warn, Level::Allow]);
        assert_eq!(levels("off,L101"), [Level::Warn, Level::Allow]);
        assert_eq!(levels("deny,-l102"), [Level::Deny, Level::Allow]);
        assert_eq!(levels("off,deny:L102"), [Level::Allow, Level::Deny]);
    }

    #[test]
    fn a_lint_that_does_not_exist_is_refused() {
        let refused = "-L1O2".parse::<Wish>().unwrap_err();
        assert_eq!(refused, "there is no lint `L1O2`; did you mean `L102`?");
        assert!("offf".parse::<Wish>().unwrap_err().contains("L101, L102"));
    }
}
