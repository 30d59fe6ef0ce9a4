//! A component's options, checked by the plugin itself.

use std::sync::Arc;
use std::time::Duration;

use rmpv::Value;

use super::installed::is_name;
use super::options::{self, Told};
use super::pack::{error_in, field, object, texts};
use super::process::{Process, Refusal};
use super::remote::{self, Remote};
use super::runtime;
use crate::component::{Facts, OnError};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::guest::harmless;
use crate::source::Span;
use crate::template::ast::Role;

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
        let body = match &facts.scope.user_variables {
            // Legacy JSON.
            Some(_) => options::plain(body),
            None => {
                let spec = remote.spec().map_err(|error| unusable(name, body.span, &error))?;
                options::with_type(&spec, &options::typed(name, &spec, body)?)
            }
        };
        Ok(Self { facts: Arc::new(facts.clone()), body })
    }

    /// Gives `process` back to `remote`, if it can take other options: a plugin that was given legacy
    /// ones keeps those that the next do not name.
    pub fn give_back(&self, remote: &Remote, process: Process) {
        if !self.is_legacy() {
            remote.give_back(process);
        }
    }

    fn is_legacy(&self) -> bool {
        self.facts.scope.user_variables.is_some()
    }

    /// Whether the machine is known that they are for.
    pub fn know_the_machine(&self) -> bool {
        self.facts.scope.build_data.as_ref().is_some_and(|data| !data.is_empty())
    }

    /// A process whose component has taken them.
    pub async fn ready(&self, remote: &Remote, on_error: OnError) -> anyhow::Result<Process> {
        let process = remote.process().await?;
        self.give(&process, remote.identity().role, on_error).await?;
        Ok(process)
    }

    /// Has the component in `process` take them.
    async fn give(
        &self,
        process: &Process,
        role: Role,
        on_error: OnError,
    ) -> anyhow::Result<Accepted> {
        let configs = Told { facts: &self.facts, role, on_error }.with(self.body.clone());
        let method = match role {
            Role::Builder | Role::Provisioner => "Prepare",
            Role::PostProcessor | Role::DataSource => "Configure",
        };
        let method = format!("{}.{method}", remote::service(role));
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
            let process = match options.is_legacy() {
                true => asked.process().await?,
                false => asked.checker().await?,
            };
            let accepted = options.give(&process, role, OnError::Cleanup).await;
            options.give_back(&asked, process);
            accepted
        });
        let name = &remote.identity().name;
        match checked.and_then(|checked| checked) {
            Ok(accepted) => {
                let warn = |text: String| {
                    let found = Diagnostic::warning(code::PLUGIN, format!("`{name}`: {text}"));
                    placed(found, &text, body)
                };
                let warnings = accepted.warnings.iter().flat_map(|text| single(text));
                let warnings = Diagnostics(warnings.map(warn).collect());
                Ok((accepted, warnings))
            }
            Err(error) => Err(match error.downcast_ref::<Refusal>() {
                Some(Refusal(words)) => refusals(remote, words, body),
                None => unusable(name, body.span, &error),
            }),
        }
    }
}

/// Why a component cannot be asked at all; the lines of its log are notes.
pub(super) fn unusable(name: &str, span: Span, error: &anyhow::Error) -> Diagnostics {
    let summary = format!("the plugin of `{name}` cannot be used");
    let text = format!("{error:#}");
    let mut lines = text.lines();
    let cause = lines.next().unwrap_or_default().to_owned();
    let unusable = Diagnostic::error(code::PLUGIN, summary).at(span).because(cause);
    let log = lines.map(str::trim).filter(|line| !line.is_empty()).take(NOTES);
    log.fold(unusable, |found, line| found.note(line.replace('\t', " "))).into()
}

/// A plugin's own errors, each at the option that it names.
fn refusals(remote: &Remote, error: &str, body: &Node) -> Diagnostics {
    let name = &remote.identity().name;
    let refusal = |text: String| {
        let summary = format!("the plugin refuses the options of `{name}`");
        let found = placed(Diagnostic::error(code::PLUGIN, summary), &text, body);
        match meant(remote, &text, body) {
            Some(meant) => found.because(text).help(format!("did you mean `{meant}`?")),
            None => found.because(text),
        }
    };
    Diagnostics(single(error).into_iter().map(refusal).collect())
}

/// The single errors, or warnings, that a plugin says. Several come as a list with a heading; each may go on in the
/// next lines, or be such a list itself.
fn single(error: &str) -> Vec<String> {
    let is_list = error.lines().any(|line| line.trim_start().starts_with("* "));
    let mut found: Vec<String> = Vec::new();
    for line in error.lines() {
        let item = line.trim().strip_prefix("* ");
        let text = item.unwrap_or(line).trim();
        match found.last_mut() {
            // `2 error(s) occurred:`
            _ if text.is_empty() || is_list && text.ends_with("occurred:") => {}
            Some(last) if item.is_none() => *last = format!("{last} {text}"),
            _ => found.push(text.to_owned()),
        }
    }
    if found.is_empty() { vec![error.trim().to_owned()] } else { found }
}

/// What the option of a legacy template should be called that a plugin does not know: only the plugin
/// is asked about those.
fn meant(remote: &Remote, text: &str, body: &Node) -> Option<String> {
    let spec = remote.spec().ok().filter(|_| text.contains("unknown configuration key"))?;
    let is_known = |name: &str| spec.iter().any(|(known, _)| known == name);
    let unknown = body.entries()?.keys().find(|name| !is_known(name) && names(text, name))?;
    let given = spec.iter().map(|(name, _)| name.as_str());
    did_you_mean(unknown, given.filter(|name| !name.starts_with("packer_"))).map(str::to_owned)
}

/// At the option of `body` that `text` names; the longest, where it names several. Else at the body.
fn placed(diagnostic: Diagnostic, text: &str, body: &Node) -> Diagnostic {
    let named = body.entries().into_iter().flatten().filter(|(name, _)| names(text, name));
    let longest = named.max_by_key(|(name, _)| name.len());
    diagnostic.at(longest.map_or(body.span, |(_, entry)| entry.value.span))
}

/// Whether `option` is a word of `text`.
fn names(text: &str, option: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_word(c)).any(|word| word == option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_errors_are_said_one_by_one_and_whole() {
        let list = "3 error(s) occurred:\n\n* An ssh_username must be specified\n  Note: some builders \
                    used to default ssh_username to \"root\".\n* 1 error occurred:\n\t* disk_size: too \
                    small\n\n\n* last";
        let wanted = [
            "An ssh_username must be specified Note: some builders used to default ssh_username to \
             \"root\".",
            "disk_size: too small",
            "last",
        ];
        assert_eq!(single(list), wanted);
        assert_eq!(single("one\nof two lines"), ["one of two lines"]);
        assert_eq!(single(""), [""]);
    }
}
