//! What functions reach beside their arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::budget::{Budget, Exceeded};
use crate::env::Environment;
use crate::eval::value::Value;
use crate::secret::{Redactor, Taint, Weakness};

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

    /// Sees to it that what is sensitive in a value, which is about to become part of something
    /// else, is not shown. A text that consists of known secrets needs nothing.
    pub fn protect(&self, value: &Value) -> Result<(), Exceeded> {
        if !value.has_secrets() {
            return Ok(());
        }
        // Each text is held against each known secret.
        self.budget.pay(value.traits().weight.saturating_mul(1 + self.redactor.count() / 8))?;
        value.each_secret(&mut |text| {
            if !self.redactor.holds(text) {
                self.redactor.register(text);
            }
            self.note_part(text);
        });
        Ok(())
    }

    /// Takes note that `text` was made of a secret, if it is too weak to be masked. As with what was
    /// [read from files](Self::note_content), it matters only where whoever wrote the template may not
    /// be who may see it.
    fn note_part(&self, text: &str) {
        let is_strange = !self.environment.reach.is_everywhere();
        if is_strange && matches!(Weakness::of(text), Some(why) if why != Weakness::Empty) {
            self.redactor.note(text, Taint::PART);
        }
    }

    /// What keeps messages from repeating a text in `value`.
    pub fn taint(&self, value: &Value) -> Taint {
        let mut all = Taint::default();
        if self.redactor.has_taints() {
            value.each_text(&mut |text| all |= self.redactor.taint(text));
        }
        all
    }

    /// Takes note that `result` was made of something with this `taint`.
    pub fn pass(&self, taint: Taint, result: &Value) {
        if !taint.is_none() && !self.environment.reach.is_everywhere() {
            result.each_text(&mut |text| self.redactor.note(text, taint));
        }
    }

    /// Whether no message may repeat `value`, or a part of it.
    pub fn is_confidential(&self, value: &Value) -> bool {
        value.has_secrets() || !self.taint(value).is_none()
    }

    /// Takes note that `text` was read from a file, where messages must not repeat such a text: whoever
    /// wrote the template may not be who may read the file.
    pub fn note_content(&self, text: &str) {
        if !self.environment.reach.is_everywhere() {
            self.redactor.note(text, Taint::CONTENT);
        }
    }

    /// Makes what is sensitive in a value unprintable. Says why, if all of it is too
    /// [weak](Weakness) for that.
    pub fn hide(&self, value: &Value) -> Option<Weakness> {
        let mut weakness = None;
        let mut hidden = false;
        value.each_secret(&mut |text| {
            self.redactor.register(text);
            match Weakness::of(text) {
                None => hidden = true,
                found => weakness = weakness.or(found),
            }
        });
        weakness.filter(|weakness| !hidden && *weakness != Weakness::Empty)
    }
}
