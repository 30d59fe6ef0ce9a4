//! How much a template may ask of the machine that reads it.
//!
//! Whoever opens a pull request can write a template, and CI reads it. So reading and evaluating end
//! for every text, in bounded time, memory and stack. Two things see to that: a [`Limit`] on what one
//! text or value may be, and a [`Budget`] that everything a command reads and evaluates is paid from.
//! Code that loops over or descends into what a template says holds itself against one of them first.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most that one text or value may have of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub most: usize,
    /// Of what.
    unit: &'static str,
    /// What is said of more.
    complaint: &'static str,
}

impl Limit {
    /// A text: one that is read, or one that is made.
    pub const TEXT: Self = Self::new(64 << 20, "bytes", "this text is too large");
    /// Brackets and blocks inside of one another: they are read by recursion.
    pub const NESTING: Self = Self::new(60, "levels", "this is nested too deep");
    /// Operators and accesses above one another: a row of them makes a tree as deep as the row is
    /// long, and trees are walked by recursion.
    pub const CHAIN: Self = Self::new(120, "operators and accesses", "this expression is too long");
    /// Values inside of one another, and expressions while they are evaluated.
    pub const DEPTH: Self = Self::new(200, "levels", "this is nested too deep");
    /// The digits of one number; more than 155 only matter for how the last bit is rounded.
    pub const DIGITS: Self = Self::new(10_000, "digits", "this number is too long");
    /// The variables of one `{{ … }}` text.
    pub const VARIABLES: Self = Self::new(1_000, "variables", "this text has too many variables");

    const fn new(most: usize, unit: &'static str, complaint: &'static str) -> Self {
        Self { most, unit, complaint }
    }

    /// Refuses more than there may be.
    pub fn check(self, count: usize) -> Result<(), Exceeded> {
        if count > self.most { Err(Exceeded::Limit(self)) } else { Ok(()) }
    }
}

/// More than a template may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// One text or value is beyond a limit.
    Limit(Limit),
    /// All together have spent the budget.
    Budget,
}

impl Exceeded {
    /// What is wrong, in a few words.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Limit(limit) => limit.complaint,
            Self::Budget => "this asks for too much work or memory",
        }
    }

    /// What would have been allowed.
    pub fn cause(self) -> String {
        match self {
            Self::Limit(Limit { most, unit, .. }) => format!("the limit is {most} {unit}"),
            Self::Budget => "here, what a template may use is spent".to_owned(),
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.summary(), self.cause())
    }
}

impl std::error::Error for Exceeded {}

/// What a command's templates may still use. Clones share it.
///
/// It is counted in units: one is a step of evaluation or some 64 bytes of memory. All of it is
/// about a gigabyte, or a few seconds.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Default for Budget {
    fn default() -> Self {
        Self::of(1 << 24)
    }
}

impl Budget {
    /// What a word, sign or value of a text costs to read: its node in two trees.
    pub const WORD: usize = 6;

    /// A budget of so many units.
    pub fn of(units: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(units)))
    }

    /// What is left.
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes so many units; what is not enough is spent.
    pub fn pay(&self, units: usize) -> Result<(), Exceeded> {
        let spend = |left: usize| Some(left.saturating_sub(units));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        if before.unwrap_or_else(|left| left) < units { Err(Exceeded::Budget) } else { Ok(()) }
    }

    /// What a text of so many bytes costs to make or to go through.
    pub fn of_text(bytes: usize) -> usize {
        1 + bytes / 64
    }

    /// Pays for a text of so many bytes, which must not be too large by itself.
    pub fn pay_text(&self, bytes: usize) -> Result<(), Exceeded> {
        Limit::TEXT.check(bytes)?;
        self.pay(Self::of_text(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_pay_from_one_budget() {
        let budget = Budget::of(10);
        assert_eq!(budget.clone().pay(8), Ok(()));
        assert_eq!(budget.left(), 2);
        assert_eq!(budget.pay(3), Err(Exceeded::Budget));
        assert_eq!(budget.pay(1), Err(Exceeded::Budget));
    }

    #[test]
    fn what_is_refused_says_the_limit() {
        let refused = Limit::NESTING.check(61).unwrap_err();
        assert_eq!(refused.to_string(), "this is nested too deep: the limit is 60 levels");
        assert_eq!(Limit::NESTING.check(60), Ok(()));
    }
}
