//! User variables of legacy templates: texts that may call functions and refer to each other.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::interpolate::{self, Dot, Scope};
use crate::secret::Redactor;
use crate::source::Span;
use crate::template::ast::{Expr, ExprKind, Template, Variable};

use super::Inputs;

/// A value before it is rendered.
struct Raw {
    text: String,
    /// Where it was written, if that is in a file.
    span: Option<Span>,
}

/// The user variables, rendered; sensitive ones are registered with `redactor`.
pub fn evaluate(
    template: &Template,
    inputs: &Inputs,
    redactor: &Redactor,
) -> (BTreeMap<String, String>, Diagnostics) {
    let mut found = Diagnostics::default();
    let mut raw = BTreeMap::new();
    for variable in &template.variables {
        if let Some(default) = &variable.default
            && let Some(text) = plain_text(default)
        {
            let raw_default = Raw { text, span: Some(default.span) };
            raw.insert(variable.name.value.clone(), raw_default);
        }
    }
    for assignment in inputs.var_files.iter().flatten() {
        if let Some(text) = plain_text(&assignment.value) {
            let span = Some(assignment.value.span);
            raw.insert(assignment.name.value.clone(), Raw { text, span });
        }
    }
    for (name, text) in &inputs.vars {
        raw.insert(name.clone(), Raw { text: text.clone(), span: None });
    }
    for variable in &template.variables {
        if !raw.contains_key(&variable.name.value) {
            found.push(unset(variable));
        }
    }
    let values = resolve(raw, template, inputs, &mut found);
    for variable in template.variables.iter().filter(|variable| variable.sensitive) {
        if let Some(value) = values.get(&variable.name.value) {
            redactor.register(value);
        }
    }
    (values, found)
}

/// A text, number or bool as text; `None` for null.
fn plain_text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::String(text) | ExprKind::Number(text) => Some(text.clone()),
        ExprKind::Bool(known) => Some(known.to_string()),
        _ => None,
    }
}

fn unset(variable: &Variable) -> Diagnostic {
    let name = &variable.name.value;
    Diagnostic::error(code::UNSET_VARIABLE, format!("required variable not set: {name}"))
        .at(variable.name.span)
        .because("this variable has no default and no value was given")
        .help(format!("set it with -var {name}=… or in a file given with -var-file"))
}

/// Renders the values in passes over their sorted names: a value waits for the variables that it
/// refers to.
fn resolve(
    mut waiting: BTreeMap<String, Raw>,
    template: &Template,
    inputs: &Inputs,
    found: &mut Diagnostics,
) -> BTreeMap<String, String> {
    let mut scope = Scope {
        environment: inputs.environment.clone(),
        user_variables: Arc::default(),
        in_variables: true,
        build_name: None,
        build_type: None,
        template_dir: Some(template.dir.clone()),
        build_data: None,
    };
    let mut resolved: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let ready: Vec<String> = waiting
            .iter()
            .filter(|(_, raw)| user_references(&raw.text).iter().all(|n| !waiting.contains_key(n)))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            break;
        }
        scope.user_variables = Arc::new(resolved.clone());
        for name in ready {
            let Some(raw) = waiting.remove(&name) else { continue };
            match render(&raw.text, &scope) {
                Ok(text) => {
                    resolved.insert(name, text);
                }
                Err(error) => {
                    let summary =
                        format!("error interpolating default value for '{name}': {error}");
                    let diagnostic = Diagnostic::error(code::INTERPOLATION, summary).at(raw.span);
                    found.push(diagnostic.because("this text cannot be rendered"));
                    // Whoever refers to it should not fail a second time.
                    resolved.insert(name, raw.text);
                }
            }
        }
    }
    for (name, raw) in waiting {
        found.push(unresolvable(&name, &raw));
    }
    resolved
}

/// It refers to itself, or to others that refer back.
fn unresolvable(name: &str, raw: &Raw) -> Diagnostic {
    let others = user_references(&raw.text).join("`, `");
    Diagnostic::error(code::CYCLE, format!("Failed to interpolate {name:?}: {:?}", raw.text))
        .at(raw.span)
        .because(format!("this refers to `{others}`, which in the end refers back to it"))
        .help("give one of them a value that does not come from the others")
}

/// The variables that `text` refers to with `{{user …}}`.
pub fn user_references(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\{\{[^}]*?\buser\s+[`"]([^`"]*)[`"]"#).ok());
    let Some(pattern) = PATTERN.as_ref().filter(|_| text.contains("{{")) else {
        return Vec::new();
    };
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// Renders `text`; fields like `{{ .Name }}`, which have a meaning only where the variable is
/// used, stay.
fn render(text: &str, scope: &Scope) -> Result<String, interpolate::Error> {
    let kept = match Regex::new(r"\{\{\s*\.\w+\s*\}\}") {
        Ok(field) => field.replace_all(text, "{{`$0`}}"),
        Err(_) => text.into(),
    };
    interpolate::Template::parse(&kept)?.render(scope, &Dot::new())
}
