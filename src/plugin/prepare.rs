//! A component's options, checked by the plugin itself.

use std::sync::Arc;
use std::time::Duration;

use rmpv::Value;

use super::installed::is_name;
use super::options::{self, Told};
use super::pack::{error_in, field, object, texts};
use super::process::{Process, Refusal};
use super::remote::{Remote, Role};
use super::runtime;
use crate::component::{Facts, OnError};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::guest::harmless;
use crate::source::Span;

/// How long a plugin may take to check options: some ask their cloud.
const CHECK: Duration = Duration::from_secs(5 * 60);

/// How many lines of a plugin's log stand beside a finding.
const NOTES: usize = 8;

/// The options of one block, as its plugin is told them.
#[derive(Clone, Debug)]
pub struct Options {
    facts: Arc<Facts>,
    body: Value,
}

/// What a builder says of options that it accepts.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// What people should know.
    pub warnings: Vec<String>,
    /// What it adds to `build.*`.
    pub generated: Vec<String>,
}

impl Options {
    /// Those of `body`; what can be said of them without asking the plugin.
    pub fn of(remote: &Remote, body: &Node, facts: &Facts) -> Result<Self, Diagnostics> {
        let name = &remote.identity().name;
        let spec = remote.spec().map_err(|error| unusable(name, body.span, &error))?;
        let body = match &facts.scope.user_variables {
            // Legacy JSON.
            Some(_) => options::plain(body),
            None => options::with_type(&spec, &options::typed(name, &spec, body)?),
        };
        Ok(Self { facts: Arc::new(facts.clone()), body })
    }

    /// Gives `process` back to `remote`, if it can take other options: a plugin that was given legacy
    /// ones keeps those that the next do not name.
    pub fn give_back(&self, remote: &Remote, process: Process) {
        if self.facts.scope.user_variables.is_none() {
            remote.give_back(process);
        }
    }

    /// Whether the machine is known that they are for.
    pub fn know_the_machine(&self) -> bool {
        self.facts.scope.build_data.as_ref().is_some_and(|data| !data.is_empty())
    }

    /// Has the component in `process` take them.
    pub async fn give(
        &self,
        process: &Process,
        role: Role,
        on_error: OnError,
    ) -> anyhow::Result<Accepted> {
        let told = || Told { facts: &self.facts, on_error }.to_value();
        let configs = match role {
            Role::DataSource => vec![self.body.clone()],
            _ if self.facts.scope.user_variables.is_some() => vec![self.body.clone(), told()],
            _ => vec![told(), self.body.clone()],
        };
        let method = match role {
            Role::Builder | Role::Provisioner => "Prepare",
            Role::PostProcessor | Role::DataSource => "Configure",
        };
        let method = format!("{}.{method}", role.service());
        let argument = object([("Configs", Value::Array(configs))]);
        let answer = process.call(&method, argument, CHECK).await?;
        if let Some(error) = error_in(&answer, "Error") {
            return Err(Refusal(harmless(error.as_bytes())).into());
        }
        let list = |name| field(&answer, name).map(texts).unwrap_or_default();
        let warnings = list("Warnings").iter().map(|text| harmless(text.as_bytes())).collect();
        let mut generated = list("GeneratedVars");
        generated.retain(|name| is_name(name));
        Ok(Accepted { warnings, generated })
    }

    /// Has a process check them now, while nothing runs; `body` is where they were written.
    pub fn check(
        &self,
        remote: &Remote,
        body: &Node,
    ) -> Result<(Accepted, Diagnostics), Diagnostics> {
        let (options, asked) = (self.clone(), remote.clone());
        let role = remote.identity().role;
        let checked = runtime::finish(async move {
            let process = asked.process().await?;
            let accepted = options.give(&process, role, OnError::Cleanup).await;
            options.give_back(&asked, process);
            accepted
        });
        let name = &remote.identity().name;
        match checked.and_then(|checked| checked) {
            Ok(accepted) => {
                let warn = |text: &String| {
                    placed(
                        Diagnostic::warning(code::PLUGIN, format!("`{name}`: {text}")),
                        text,
                        body,
                    )
                };
                let warnings = accepted.warnings.iter().map(warn).collect();
                Ok((accepted, Diagnostics(warnings)))
            }
            Err(error) => Err(match error.downcast_ref::<Refusal>() {
                Some(Refusal(words)) => refusals(name, words, body),
                None => unusable(name, body.span, &error),
            }),
        }
    }
}

/// Why a component cannot be asked at all; the lines of its log are notes.
fn unusable(name: &str, span: Span, error: &anyhow::Error) -> Diagnostics {
    let summary = format!("the plugin of `{name}` cannot be used");
    let text = format!("{error:#}");
    let mut lines = text.lines();
    let cause = lines.next().unwrap_or_default().to_owned();
    let unusable = Diagnostic::error(code::PLUGIN, summary).at(span).because(cause);
    let log = lines.map(str::trim).filter(|line| !line.is_empty()).take(NOTES);
    log.fold(unusable, |found, line| found.note(line.replace('\t', " "))).into()
}

/// A plugin's own errors, each at the option that it names. Several come as a list.
fn refusals(name: &str, error: &str, body: &Node) -> Diagnostics {
    let items = error.lines().filter_map(|line| line.trim_start().strip_prefix("* "));
    let items: Vec<&str> = items.collect();
    let items = if items.is_empty() { vec![error.trim()] } else { items };
    let refusal = |text: &&str| {
        let summary = format!("the plugin refuses the options of `{name}`");
        placed(Diagnostic::error(code::PLUGIN, summary).because(*text), text, body)
    };
    Diagnostics(items.iter().map(refusal).collect())
}

/// At the option of `body` that `text` names; the longest, where it names several. Else at the body.
fn placed(diagnostic: Diagnostic, text: &str, body: &Node) -> Diagnostic {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: Vec<&str> = text.split(|c| !is_word(c)).collect();
    let named = body.entries().into_iter().flatten();
    let named = named.filter(|(name, _)| words.contains(&name.as_str()));
    let longest = named.max_by_key(|(name, _)| name.len());
    diagnostic.at(longest.map_or(body.span, |(_, entry)| entry.value.span))
}
