//! What a component finds wrong with its options.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::component::facts::Facts;
use crate::config::{Node, NodeKind, OptionSchema, needs_message};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, code};
use crate::secret::Redactor;

/// Why an option that needs AWS cannot be used where AWS is left out.
pub const WITHOUT_AWS: &str = "this imgbake was compiled without the feature `aws`";

/// Collects what a component finds wrong with its options.
#[derive(Debug)]
pub struct Check<'a> {
    component: &'a str,
    body: &'a Node,
    /// The build that the component is for.
    pub facts: &'a Facts,
    /// Takes secrets that are no options, such as the content of a file that an option names.
    pub redactor: &'a Redactor,
    /// What its options are, by all who declare some.
    schemas: Vec<Arc<OptionSchema>>,
    found: Diagnostics,
}

impl<'a> Check<'a> {
    /// Checks `body` as the options of a `component`.
    pub fn new(
        component: &'a str,
        body: &'a Node,
        facts: &'a Facts,
        redactor: &'a Redactor,
    ) -> Self {
        Self {
            component,
            body,
            facts,
            redactor,
            schemas: Vec::new(),
            found: Diagnostics::default(),
        }
    }

    /// The same, where findings can only be about options of `schemas`: a mistyped name would point at
    /// nothing.
    pub(super) fn with_schemas(self, schemas: Vec<Arc<OptionSchema>>) -> Self {
        Self { schemas, ..self }
    }

    /// The value of `option` cannot be used because of `cause`.
    pub fn error(&mut self, option: &str, cause: impl Into<String>) -> &mut Diagnostic {
        let summary = format!("the value of `{option}` cannot be used");
        self.push(option, Diagnostic::error(code::OPTION_VALUE, summary).because(cause))
    }

    /// `option` must be given.
    pub fn missing(&mut self, option: &str, help: impl Into<String>) {
        let summary = needs_message(self.component, option);
        let found = Diagnostic::error(code::MISSING_OPTION, summary).because("required here");
        self.push(option, found.help(help));
    }

    /// Warns of those of `options` that are given: they change nothing, and `why` says when not.
    pub fn idle(&mut self, options: &[&str], why: &str) {
        for option in options {
            if self.is_given(option) {
                let summary = format!("`{option}` changes nothing {why}");
                self.warn(code::OPTION_VALUE, option, summary);
            }
        }
    }

    /// Reports if the file `path`, the value of `option`, may not be read or is not there.
    pub fn must_be_file(&mut self, option: &str, path: impl AsRef<Path>) {
        let path = path.as_ref();
        if self.may_read(option, path) && !path.is_file() {
            self.error(option, format!("there is no file {}", path.display()));
        }
    }

    /// `option` is used, but there is something to know about it.
    pub fn warn(&mut self, code: Code, option: &str, text: impl Into<String>) -> &mut Diagnostic {
        self.push(option, Diagnostic::warning(code, text))
    }

    /// Whether the template gives `option`, be it with the value that it has anyway.
    pub fn is_given(&self, option: &str) -> bool {
        self.assert_has(option);
        let (node, is_itself) = self.body.place(option);
        is_itself && !matches!(node.kind, NodeKind::Null)
    }

    /// Adds a finding at the [place](Node::place) of `option`; of the whole component if that is empty.
    fn push(&mut self, option: &str, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.assert_has(option);
        let span = self.body.place(option).0.span;
        self.found.push(diagnostic.at(span));
        let last = self.found.0.len() - 1;
        &mut self.found.0[last]
    }

    fn assert_has(&self, option: &str) {
        let schemas = &self.schemas;
        debug_assert!(
            option.is_empty() || schemas.is_empty() || schemas.iter().any(|one| one.has(option)),
            "`{}` has no option `{option}`, which a check speaks of",
            self.component
        );
    }

    /// What `make` makes of the body, another part of the component; its findings are this check's.
    pub fn absorb<T>(
        &mut self,
        make: impl FnOnce(&Node, &Facts, &Redactor) -> Result<(T, Diagnostics), Diagnostics>,
    ) -> Option<T> {
        self.found.absorb(make(self.body, self.facts, self.redactor))
    }

    /// Whether `path`, which is the value of `option`, may be read; reports it if not.
    pub fn may_read(&mut self, option: &str, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            // The working directory to some calls, and `/` where a slash follows.
            self.error(option, "an empty text is no path");
            return false;
        }
        let reach = self.facts.scope.environment.reach.check(path);
        if let Err(error) = &reach {
            self.error(option, format!("cannot read {}: {error}", path.display()));
        }
        reach.is_ok()
    }

    /// The same of all that the file `pattern` may match. Where it begins to be a pattern, only a `..` can
    /// lead higher.
    pub fn may_read_matches(&mut self, option: &str, pattern: &str) -> bool {
        let parts = || Path::new(pattern).components();
        let is_fixed =
            |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        let fixed: PathBuf = parts().take_while(is_fixed).collect();
        let leads_higher = parts().skip_while(is_fixed).any(|part| part == Component::ParentDir);
        if leads_higher && !self.facts.scope.environment.reach.is_everywhere() {
            let cause = format!("{pattern} may lead outside of the workspace, by its `..`");
            self.error(option, cause);
            return false;
        }
        let is_relative = fixed.as_os_str().is_empty() && !pattern.is_empty();
        self.may_read(option, if is_relative { Path::new(".") } else { &fixed })
    }

    /// Whether an error was found so far.
    pub fn has_errors(&self) -> bool {
        self.found.has_errors()
    }

    /// All that was found.
    #[cfg(test)]
    pub fn into_found(self) -> Diagnostics {
        self.found
    }

    /// The `component` that was made and the warnings, if nothing stands against it.
    pub(super) fn into_result<T>(
        self,
        component: Option<T>,
    ) -> Result<(T, Diagnostics), Diagnostics> {
        match component {
            Some(component) if !self.found.has_errors() => Ok((component, self.found)),
            _ => Err(self.found),
        }
    }
}
