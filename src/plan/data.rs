//! How a template's `data` blocks are answered, before there is a plan: each is checked like any
//! component. It is asked only if a selected build needs it, one after the other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Runtime;

use crate::component::{DataSource, Facts, Outputs};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::env::Environment;
use crate::eval::{self, Answer, DataSources, Values};
use crate::event::Ui;
use crate::fault::Fault;
use crate::interpolate::Scope;
use crate::permission::Permission;
use crate::plan::candidate::{self, Candidate};
use crate::plan::request::PlanRequest;
use crate::plan::select::Selection;
use crate::registry::Registry;
use crate::secret::Redactor;
use crate::source::Spanned;
use crate::template::ast::{Body, Build, Template};

/// The data sources of a registry.
#[derive(Debug)]
pub struct RegisteredDataSources {
    environment: Arc<Environment>,
    redactor: Redactor,
    registry: Registry,
    /// Which are asked, by type and name; and who is told of long waits.
    asked: Option<(BTreeSet<[String; 2]>, Ui)>,
    /// What was asked, and the answers: nobody is asked the same twice.
    answers: Mutex<Vec<(String, Answer)>>,
    /// What the AWS accounts of all that were checked must allow.
    permissions: Mutex<Vec<Permission>>,
    /// What waits for their answers; only a template with data sources needs it this early.
    runtime: OnceLock<std::io::Result<Runtime>>,
}

impl DataSources for RegisteredDataSources {
    fn look_up(
        &self,
        kind: &Spanned<String>,
        name: &str,
        body: &Node,
    ) -> Result<(Answer, Diagnostics), Diagnostics> {
        let descriptor = self.registry.find::<dyn DataSource>(kind)?;
        let (source, warnings) = (descriptor.prepare)(body, &self.facts(kind), &self.redactor)?;
        self.allowed().extend(source.permissions(&self.environment));
        let types = descriptor.description.outputs.clone();
        let is_asked = |asked: &BTreeSet<_>| asked.contains(&[kind.value.clone(), name.to_owned()]);
        let Some((_, ui)) = self.asked.as_ref().filter(|(asked, _)| is_asked(asked)) else {
            return Ok((Answer { types, outputs: None }, warnings));
        };
        let question = format!("{} {body:?}", kind.value);
        if let Some(answer) = self.known(&question) {
            return Ok((answer, warnings));
        }
        let what = format!("the data source `{}.{name}`", kind.value);
        let outputs = self.finish(ui.wait_for(&what, source.look_up())).map_err(|error| {
            Diagnostic::error(code::DATA_SOURCE, format!("`{}` has no answer", kind.value))
                .at(kind.span)
                .because(format!("{error:#}"))
                .blame(Fault::of(&error).unwrap_or_else(|| source.blame(&error)))
        })?;
        let answer = Answer { types, outputs: Some(outputs) };
        self.answers().push((question, answer.clone()));
        Ok((answer, warnings))
    }
}

impl RegisteredDataSources {
    /// Those of `registry`, which take the secrets among their options to `redactor`. The options are
    /// checked, and the answers stay unknown.
    pub fn new(environment: Arc<Environment>, redactor: Redactor, registry: Registry) -> Self {
        Self {
            environment,
            redactor,
            registry,
            asked: None,
            answers: Mutex::default(),
            permissions: Mutex::default(),
            runtime: OnceLock::new(),
        }
    }

    /// The same, but those called `asked` are asked. `ui` says what is waited for.
    pub fn asking(mut self, asked: BTreeSet<[String; 2]>, ui: &Ui) -> Self {
        self.asked = Some((asked, ui.clone()));
        self
    }

    /// What the AWS accounts of all that were checked must allow.
    pub fn permissions(&self) -> Vec<Permission> {
        self.allowed().clone()
    }

    fn allowed(&self) -> MutexGuard<'_, Vec<Permission>> {
        self.permissions.lock().unwrap_or_else(PoisonError::into_inner)
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
        Facts::without_build(&kind.value, Scope::new(self.environment.clone()))
    }
}

/// A name that is still being resolved when its time is over holds up nobody.
impl Drop for RegisteredDataSources {
    fn drop(&mut self) {
        if let Some(Ok(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The data sources, by type and name, that the builds of `template` need which `request` selects;
/// all of them where it makes no choice. `values` are those of a template whose data sources were not
/// asked.
pub fn data_needed(
    template: &Template,
    values: &Values,
    request: &PlanRequest,
) -> BTreeSet<[String; 2]> {
    if request.only.is_empty() && request.except.is_empty() {
        return eval::data_sources(template);
    }
    let naming: Vec<Body> = template.builds.iter().filter_map(naming).collect();
    let (template, _, _) = eval::unroll(template.clone(), values.clone());
    let scope = Scope::new(request.environment.clone());
    let sources = candidate::sources(&template);
    let selection = Selection::new(request, template.dialect);
    let mut users: Vec<&Body> = naming.iter().collect();
    for build in &template.builds {
        let candidates = candidate::of_build(&template, &sources, build, &scope);
        let taken = |one: &Candidate<'_>| selection.takes_build(&one.names.selected);
        let selected: Vec<_> = candidates.into_iter().flatten().filter(taken).collect();
        users.extend(selected.iter().map(|one| &one.source.body));
        users.extend(selected.iter().filter_map(|one| one.usage.extra.as_ref()));
        if !selected.is_empty() {
            users.extend(bodies(build));
        }
    }
    eval::data_needed(&template, &users)
}

/// What decides how the builds of `build` are called, so whether they are selected: the arguments of
/// its own that are expressions, and the sources that `dynamic` blocks give it.
fn naming(build: &Build) -> Option<Body> {
    let mut body = build.written.as_ref()?.body.clone();
    body.blocks.retain(|block| block.labels.first().is_some_and(|label| label.value == "source"));
    Some(body)
}

/// All that is written in `build` beside its sources.
fn bodies(build: &Build) -> impl Iterator<Item = &Body> {
    let blocks = build.hcp_registry.iter().chain(&build.written);
    build.components().map(|one| &one.body).chain(blocks.map(|block| &block.body))
}
