//! How a plan's `data` blocks are answered: checked like any component, and asked one at a time.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Runtime;

use crate::component::{Facts, Outputs};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::env::Environment;
use crate::eval::{Answer, DataSources};
use crate::interpolate::Scope;
use crate::registry::{self, plugins::Plugins};
use crate::secret::Redactor;
use crate::source::Spanned;

/// The data sources that are built in.
#[derive(Debug)]
pub struct BuiltInDataSources {
    environment: Arc<Environment>,
    redactor: Redactor,
    plugins: Plugins,
    ask: bool,
    /// What was asked, and the answers: nobody is asked the same twice.
    answers: Mutex<Vec<(String, Answer)>>,
    /// What waits for their answers; only a template with data sources needs it this early.
    runtime: OnceLock<std::io::Result<Runtime>>,
}

impl DataSources for BuiltInDataSources {
    fn look_up(
        &self,
        kind: &Spanned<String>,
        body: &Node,
    ) -> Result<(Answer, Diagnostics), Diagnostics> {
        let registered = registry::DATA_SOURCE.find(kind, &self.plugins)?;
        let (source, warnings) = (registered.prepare)(body, &self.facts(kind), &self.redactor)?;
        let question = format!("{} {body:?}", kind.value);
        if let Some(answer) = self.known(&question) {
            return Ok((answer, warnings));
        }
        let outputs = match self.ask {
            true => Some(self.finish(source.look_up()).map_err(|error| {
                Diagnostic::error(code::DATA_SOURCE, format!("`{}` has no answer", kind.value))
                    .at(kind.span)
                    .because(format!("{error:#}"))
            })?),
            false => None,
        };
        let answer = Answer { types: registered.outputs, outputs };
        self.answers().push((question, answer.clone()));
        Ok((answer, warnings))
    }
}

impl BuiltInDataSources {
    /// They are those of a template that asks for `plugins`, and take the secrets among their options
    /// to `redactor`. Unless they are to be `ask`ed, their options are checked, and their answers
    /// stay unknown.
    pub fn new(
        environment: Arc<Environment>,
        redactor: Redactor,
        plugins: Plugins,
        ask: bool,
    ) -> Self {
        let (answers, runtime) = (Mutex::default(), OnceLock::new());
        Self { environment, redactor, plugins, ask, answers, runtime }
    }

    fn answers(&self) -> MutexGuard<'_, Vec<(String, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, question: &str) -> Option<Answer> {
        let answers = self.answers();
        answers.iter().find(|(known, _)| known == question).map(|(_, answer)| answer.clone())
    }

    /// Waits for an answer.
    fn finish(
        &self,
        answer: impl Future<Output = anyhow::Result<Outputs>>,
    ) -> anyhow::Result<Outputs> {
        let start = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        match self.runtime.get_or_init(start) {
            Ok(runtime) => runtime.block_on(answer),
            Err(error) => Err(anyhow::anyhow!("nothing can wait for it: {error}")),
        }
    }

    /// There is no build yet.
    fn facts(&self, kind: &Spanned<String>) -> Facts {
        let scope = Scope::new(self.environment.clone());
        let builder_type = kind.value.clone();
        Facts { build_name: String::new(), builder_type, force: false, debug: false, scope }
    }
}
