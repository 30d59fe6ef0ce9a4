//! Several templates that are given the same: what fits one of them need not fit the others, and what
//! fits none is said once.

use std::collections::BTreeSet;

use super::front::TemplateArguments;
use crate::diagnostic::{Diagnostic, Diagnostics, Frontend, code, did_you_mean};
use crate::plan::Unmatched;
use crate::source::SourceMap;
use crate::template::ast::Dialect;
use crate::template::load;

/// A warning for each pattern that selects nothing.
pub fn unmatched(unmatched: &Unmatched, asker: Frontend) -> Diagnostics {
    unmatched.warnings(|option, text| asker.pattern(option, text))
}

/// An error for a variable that no template has.
fn undeclared(asker: Frontend, name: &str, declared: &BTreeSet<String>) -> Diagnostic {
    let (summary, cause) = match asker {
        Frontend::CommandLine => (
            "Undefined -var variable".to_owned(),
            format!("None of the templates has a {name:?} variable."),
        ),
        Frontend::Workflow => {
            (format!("no template has a variable `{name}`"), "a value is given for it".to_owned())
        }
    };
    let error = Diagnostic::error(code::UNDECLARED_VARIABLE, summary).because(cause);
    error.help(match did_you_mean(name, declared.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declare it: variable \"{name}\" {{}}"),
    })
}

/// The same templates, each with only those values for variables that it has. What none has is an
/// error.
pub fn share(
    templates: Vec<TemplateArguments>,
    asker: Frontend,
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
            let mut template = template.clone();
            template.variables.var.retain(|(name, _)| own.contains(name));
            declared.extend(own);
            template
        })
        .collect();
    let given = templates.first().into_iter().flat_map(|template| &template.variables.var);
    let names: BTreeSet<&str> = given.map(|(name, _)| name.as_str()).collect();
    let lost = names.into_iter().filter(|name| !takes_all && !declared.contains(*name));
    (all, Diagnostics(lost.map(|name| undeclared(asker, name, &declared)).collect()))
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
