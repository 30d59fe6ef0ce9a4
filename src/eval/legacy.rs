//! User variables of legacy templates: texts that may call functions and refer to each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::diagnostic::{Diagnostic, Diagnostics, Frontend, code};
use crate::interpolate::{self, Dot, Scope};
use crate::secret::{Redactor, Weakness};
use crate::source::Span;
use crate::template::ast::{Expr, ExprKind, Template, Variable};

use super::variables::not_masked;
use super::{Inputs, undeclared};

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
            found.push(unset(variable, inputs.environment.asker));
        }
    }
    let given: Vec<String> = inputs.vars.iter().map(|(name, _)| name.clone()).collect();
    let values = resolve(raw, template, inputs, &mut found);
    found.extend(undeclared::check(template, &given, &values));
    for variable in template.variables.iter().filter(|variable| variable.sensitive) {
        if let Some(value) = values.get(&variable.name.value) {
            redactor.register(value);
            let weakness = Weakness::of(value).filter(|one| *one != Weakness::Empty);
            found.extend(weakness.map(|one| not_masked("variable", &variable.name, one)));
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

fn unset(variable: &Variable, asker: Frontend) -> Diagnostic {
    let name = &variable.name.value;
    Diagnostic::error(code::UNSET_VARIABLE, format!("required variable not set: {name}"))
        .at(variable.name.span)
        .because("this variable has no default and no value was given")
        .help(asker.ways_to_set(name))
}

/// Renders the values by their names, but for those that wait for others that they refer to.
fn resolve(
    mut waiting: BTreeMap<String, Raw>,
    template: &Template,
    inputs: &Inputs,
    found: &mut Diagnostics,
) -> BTreeMap<String, String> {
    let mut scope = Scope {
        user_variables: Some(Arc::default()),
        in_variables: true,
        template_dir: Some(template.dir.clone()),
        budget: inputs.budget.clone(),
        ..Scope::new(inputs.environment.clone())
    };
    let mut order = Order::of(&waiting);
    while let Some(name) = order.ready.pop_first() {
        let Some(raw) = waiting.remove(&name) else { continue };
        order.resolve(&name);
        let text = render(&raw.text, &scope).unwrap_or_else(|error| {
            let summary = format!("error interpolating default value for '{name}': {error}");
            let code = error.code_or(code::INTERPOLATION);
            let diagnostic = Diagnostic::error(code, summary).at(raw.span);
            let help = error.help;
            found.push(Diagnostic { help, ..diagnostic.because("this text cannot be rendered") });
            // Whoever refers to it should not fail a second time.
            raw.text
        });
        Arc::make_mut(scope.user_variables.get_or_insert_default()).insert(name, text);
    }
    for (name, raw) in waiting {
        found.push(unresolvable(&name, &raw));
    }
    Arc::unwrap_or_clone(scope.user_variables.unwrap_or_default())
}

/// Which variables can be rendered next.
struct Order {
    ready: BTreeSet<String>,
    /// How many others each of the rest waits for.
    missing: HashMap<String, usize>,
    /// Who waits for a variable.
    waiting: HashMap<String, Vec<String>>,
}

impl Order {
    fn of(raw: &BTreeMap<String, Raw>) -> Self {
        let (ready, missing, waiting) = (BTreeSet::new(), HashMap::new(), HashMap::new());
        let mut order = Self { ready, missing, waiting };
        for (name, Raw { text, .. }) in raw {
            let needs: BTreeSet<String> = user_references(text).into_iter().collect();
            let needs: Vec<String> = needs.into_iter().filter(|n| raw.contains_key(n)).collect();
            if needs.is_empty() {
                order.ready.insert(name.clone());
            } else {
                order.missing.insert(name.clone(), needs.len());
            }
            for need in needs {
                order.waiting.entry(need).or_default().push(name.clone());
            }
        }
        order
    }

    /// Whoever waits for nothing but `name` is ready now.
    fn resolve(&mut self, name: &str) {
        for waiting in self.waiting.remove(name).unwrap_or_default() {
            if let Some(missing) = self.missing.get_mut(&waiting) {
                *missing -= 1;
                if *missing == 0 {
                    self.ready.insert(waiting);
                }
            }
        }
    }
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
    static FIELD: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\{\{\s*\.\w+\s*\}\}").ok());
    let kept = match FIELD.as_ref() {
        Some(field) => field.replace_all(text, "{{`$0`}}"),
        None => text.into(),
    };
    interpolate::Template::parse(&kept)?.render(scope, &Dot::new())
}
