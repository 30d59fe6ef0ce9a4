//! `-lint`: which rules count, and how much.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{RULES, Rule};
use crate::diagnostic::{Code, did_you_mean};

/// What becomes of a rule's findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// They are not shown.
    Allow,
    /// They are warnings.
    Warn,
    /// They are errors.
    Deny,
}

/// The level of each rule.
#[derive(Clone, Debug)]
pub struct Levels(BTreeMap<&'static str, Level>);

/// One word of `-lint`: `off`, `deny`, `pedantic`, `-L103`, `L103`, `deny:L103`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    level: Level,
    rules: Rules,
}

/// Which rules a wish is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    All,
    /// Those that are not silent before this wish.
    Loud,
    Pedantic,
    One(Code),
}

impl Levels {
    /// What `wishes` come to; later ones win. Without any, all rules warn but the pedantic ones.
    pub fn new(wishes: &[Wish]) -> Self {
        let own = |rule: &Rule| if rule.pedantic { Level::Allow } else { Level::Warn };
        let mut levels: BTreeMap<_, _> =
            RULES.iter().map(|rule| (rule.code.name(), own(rule))).collect();
        for wish in wishes {
            for rule in RULES {
                let level = levels.entry(rule.code.name()).or_insert(wish.level);
                if wish.rules.include(rule, *level) {
                    *level = wish.level;
                }
            }
        }
        Self(levels)
    }

    /// The level of one rule.
    pub fn of(&self, code: Code) -> Level {
        self.0.get(code.name()).copied().unwrap_or(Level::Allow)
    }
}

impl Rules {
    /// Whether `rule`, which has a `level`, is one of them.
    fn include(self, rule: &Rule, level: Level) -> bool {
        match self {
            Self::All => true,
            Self::Loud => level != Level::Allow,
            Self::Pedantic => rule.pedantic,
            Self::One(code) => code == rule.code,
        }
    }
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (level, name) = match text {
            "off" => return Ok(Self { level: Level::Allow, rules: Rules::All }),
            "deny" => return Ok(Self { level: Level::Deny, rules: Rules::Loud }),
            "pedantic" => return Ok(Self { level: Level::Warn, rules: Rules::Pedantic }),
            _ => match (text.strip_prefix('-'), text.strip_prefix("deny:")) {
                (Some(name), _) => (Level::Allow, name),
                (_, Some(name)) => (Level::Deny, name),
                _ => (Level::Warn, text),
            },
        };
        let names = || RULES.iter().map(|rule| rule.code.name());
        match RULES.iter().find(|rule| rule.code.name().eq_ignore_ascii_case(name)) {
            Some(rule) => Ok(Self { level, rules: Rules::One(rule.code) }),
            None => Err(match did_you_mean(name, names()) {
                Some(meant) => format!("there is no lint `{name}`; did you mean `{meant}`?"),
                None => format!(
                    "there is no lint `{name}`: write `off`, `deny`, `pedantic`, or one of {} \
                     with `-` or `deny:` before it",
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
        of(text, [code::HARDCODED_KEY, code::OPEN_INGRESS])
    }

    fn of<const N: usize>(text: &str, codes: [Code; N]) -> [Level; N] {
        let words = text.split(',').filter(|word| !word.is_empty());
        let wishes: Vec<Wish> = words.map(|word| word.parse().unwrap()).collect();
        codes.map(|code| Levels::new(&wishes).of(code))
    }

    #[test]
    fn pedantic_rules_are_silent_until_they_are_asked_for() {
        let levels = |text| of(text, [code::OPEN_INGRESS, code::UNENCRYPTED_VOLUME]);
        assert_eq!(levels(""), [Level::Warn, Level::Allow]);
        assert_eq!(levels("pedantic"), [Level::Warn, Level::Warn]);
        assert_eq!(levels("L107"), [Level::Warn, Level::Warn]);
        assert_eq!(levels("deny"), [Level::Deny, Level::Allow]);
        assert_eq!(levels("pedantic,deny"), [Level::Deny, Level::Deny]);
        assert_eq!(levels("off,pedantic"), [Level::Allow, Level::Warn]);
    }

    #[test]
    fn later_wishes_win() {
        assert_eq!(levels("-L102"), [Level::Warn, Level::Allow]);
        assert_eq!(levels("off,L101"), [Level::Warn, Level::Allow]);
        assert_eq!(levels("deny,-l102"), [Level::Deny, Level::Allow]);
        assert_eq!(levels("off,deny:L102"), [Level::Allow, Level::Deny]);
        assert_eq!(levels("-L102,deny"), [Level::Deny, Level::Allow]);
    }

    #[test]
    fn a_lint_that_does_not_exist_is_refused() {
        let refused = "-L1O2".parse::<Wish>().unwrap_err();
        assert_eq!(refused, "there is no lint `L1O2`; did you mean `L102`?");
        assert!("offf".parse::<Wish>().unwrap_err().contains("L101, L102"));
    }
}
