//! What functions reach beside their arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::budget::{Budget, Exceeded};
use crate::env::Environment;
use crate::eval::value::Value;
use crate::secret::Redactor;

/// Which functions an expression may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Available {
    /// None.
    Nothing,
    /// `env`: in the defaults of variables.
    Env,
    /// All but `env`.
    All,
    /// All but `env` and `templatefile`: inside of a template file.
    InTemplateFile,
}

/// The world of an evaluation.
#[derive(Clone, Debug)]
pub struct Host {
    /// The environment and the clock.
    pub environment: Arc<Environment>,
    /// The directory that file names are relative to.
    pub dir: PathBuf,
    /// Takes secrets.
    pub redactor: Redactor,
    /// What may be called.
    pub available: Available,
    /// What evaluation is paid from.
    pub budget: Budget,
}

/// A host that has nothing and lets nothing be called.
impl Default for Host {
    fn default() -> Self {
        let nowhere = Environment::new(BTreeMap::new(), PathBuf::new(), Timestamp::UNIX_EPOCH);
        Self {
            environment: Arc::new(nowhere),
            dir: PathBuf::new(),
            redactor: Redactor::default(),
            available: Available::Nothing,
            budget: Budget::default(),
        }
    }
}

impl Host {
    /// The same with other functions.
    pub fn with(&self, available: Available) -> Self {
        Self { available, ..self.clone() }
    }

    /// Sees to it that the texts of a sensitive value, which is about to become part of something
    /// else, are not shown. A text that consists of known secrets needs nothing; a derived one of
    /// very few characters stays out, or it would mask half of every output.
    pub fn protect(&self, value: &Value) -> Result<(), Exceeded> {
        const SHORTEST: usize = 4;
        if !value.has_secrets() {
            return Ok(());
        }
        // Each text is held against each known secret.
        self.budget.pay(value.traits().weight.saturating_mul(1 + self.redactor.count() / 8))?;
        for text in value.texts() {
            let known = self.redactor.redact(text) != text;
            if !known && text.chars().count() >= SHORTEST {
                self.redactor.register(text);
            }
        }
        Ok(())
    }
}
