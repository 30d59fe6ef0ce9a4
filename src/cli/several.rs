//! Several templates that are given the same: what fits one of them need not fit the others, and what
//! fits none is said once.

use std::collections::BTreeSet;

use super::front::TemplateArguments;
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::plan::Unmatched;
use crate::source::SourceMap;
use crate::template::ast::Dialect;
use crate::template::load;

/// Who has given the templates what they are given, and so what messages call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The arguments of a command: `-only=…`.
    CommandLine,
    /// The inputs of the GitHub Action: `only: …`.
    Workflow,
}

impl Asker {
    /// A pattern that selects builds.
    fn pattern(self, option: &str, text: &str) -> String {
        match self {
            Self::CommandLine => format!("`-{option}={text}`"),
            Self::Workflow => format!("`{text}` of the input `{option}`"),
        }
    }

    /// A warning for each pattern that selects nothing.
    pub fn unmatched(self, unmatched: &Unmatched) -> Diagnostics {
        unmatched.warnings(|option, text| self.pattern(option, text))
    }

    /// An error for a variable that no template has.
    fn undeclared(self, name: &str, declared: &BTreeSet<String>) -> Diagnostic {
        let summary = match self {
            Self::CommandLine => "Undefined -var variable".to_owned(),
            Self::Workflow => format!("no template has a variable `{name}`"),
        };
        let error = Diagnostic::error(code::UNDECLARED_VARIABLE, summary);
        let error = match self {
            Self::CommandLine => {
                error.because(format!("None of the templates has a {name:?} variable."))
            }
            Self::Workflow => error.because("a value is given for it"),
        };
        error.help(match did_you_mean(name, declared.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it: variable \"{name}\" {{}}"),
        })
    }
}

/// The same templates, each with only those values for variables that it has. What none has is an
/// error.
pub fn share(
    templates: Vec<TemplateArguments>,
    asker: Asker,
) -> (Vec<TemplateArguments>, Diagnostics) {
    let mut declared = BTreeSet::new();
    // A legacy template takes any variable; and what cannot be read says so when it is.
    let mut takes_all = false;
    let all: Vec<_> = templates
        .iter()
        .map(|template| {
            let Some(own) = variables(template) else {
                takes_all = true;
                return template.clone();
            };
            let var = template.var.iter().filter(|(name, _)| own.contains(name)).cloned().collect();
            declared.extend(own);
            TemplateArguments { var, ..template.clone() }
        })
        .collect();
    let given = templates.first().into_iter().flat_map(|template| &template.var);
    let names: BTreeSet<&str> = given.map(|(name, _)| name.as_str()).collect();
    let lost = names.into_iter().filter(|name| !takes_all && !declared.contains(*name));
    (all, Diagnostics(lost.map(|name| asker.undeclared(name, &declared)).collect()))
}

/// The variables that a template has; `None` if it takes any.
fn variables(template: &TemplateArguments) -> Option<BTreeSet<String>> {
    // Standard input can be read only once.
    if load::is_stdin(&template.template) {
        return None;
    }
    let (read, _) = load::load(&template.load_request(), &mut SourceMap::default()).ok()?;
    let names = read.variables.into_iter().map(|variable| variable.name.value);
    (read.dialect == Dialect::Hcl).then(|| names.collect())
}
