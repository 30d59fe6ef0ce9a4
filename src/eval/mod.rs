//! Expressions → values: variables, locals, and the bodies that refer to them.
//!
//! [`evaluate`] takes the inputs in and evaluates variables and locals once; the [`Values`] that it
//! makes turn every body of the template into plain configuration. [`unroll()`] puts the blocks that
//! `dynamic` makes in a `build` into the template.
//!
//! | file | what is there |
//! |---|---|
//! | `value` `number` `types` `convert` `unify` | what a value is |
//! | `expr` `operator` `traverse` `loops` `template` `call` | how an expression becomes one |
//! | `functions/` | what can be called, one file per family |
//! | `variables` `legacy` `undeclared` `data` `graph` `place` `references` | what names mean |
//! | `glob` `go_format` `go_math` | what is done as Go does it |
//! | `body` `dynamic` `unroll` | values as configuration |
//! | `show` | values as people see them |
//! | `signature` | functions as documentation shows them |

mod body;
mod call;
mod convert;
mod data;
mod dynamic;
mod expr;
mod functions;
mod glob;
mod go_format;
mod go_math;
mod graph;
mod legacy;
mod loops;
mod number;
mod operator;
mod place;
mod references;
mod show;
mod signature;
mod template;
#[cfg(test)]
mod tests;
mod traverse;
mod types;
mod undeclared;
mod unify;
mod unroll;
mod value;
mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::budget::Budget;
use crate::config::Node;
use crate::diagnostic::{Diagnostics, code};
use crate::env::Environment;
use crate::interpolate::BuildData;
use crate::secret::Redactor;
use crate::template::ast::{Body, Dialect, Expr, Template};
use crate::template::load::VarAssignment;

pub use self::data::{Answer, DataSources, Output, OutputType, Outputs};
use self::expr::{Evaluator, Roots};
use self::functions::{Available, Host};
pub use self::graph::{data_needed, data_sources};
pub use self::legacy::user_references;
pub use self::references::{Reference, each as each_reference};
pub use self::signature::{Parameter, Signature, function_names, signature};
pub use self::unroll::unroll;
use self::value::Value;

/// What a run gives to the variables of a template.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// `-var NAME=VALUE`, in order; later ones win.
    pub vars: Vec<(String, String)>,
    /// Variable files in order of precedence, automatic ones first; later ones win.
    pub var_files: Vec<Vec<VarAssignment>>,
    /// `PKR_VAR_…`, the clock, and what `env` reads.
    pub environment: Arc<Environment>,
    /// Answers `data` blocks. Without it there is no `data` to refer to.
    pub data_sources: Option<Arc<dyn DataSources>>,
    /// Whether a variable file that sets an undeclared variable is worth a warning.
    pub warn_undeclared: bool,
    /// What evaluation is paid from.
    pub budget: Budget,
}

/// Where in the template an expression stands, as far as that decides what it may refer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// `source.type` and `source.name`: in sources, provisioners and post-processors.
    pub source: Option<(&'a str, &'a str)>,
    /// `build.name`, empty if the build has none. `None` in sources, which know of no build.
    pub build_name: Option<&'a str>,
    /// Names that the builder adds to `build.*`; its component declares them.
    pub generated: &'a [String],
    /// The machine that runs. Before it does, each of `build.*` is the string `<unknown>`.
    pub build_data: Option<&'a BuildData>,
}

/// The evaluated variables and locals of a template. Clones share them. The default has none.
#[derive(Clone, Debug, Default)]
pub struct Values(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    roots: Roots,
    host: Host,
    /// `None` in HCL2, which has none.
    user_variables: Option<Arc<BTreeMap<String, String>>>,
}

/// A variable or local as `inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its value in quotes, as it is printed; a sensitive one is masked.
    pub value: String,
}

/// What `inspect` shows of a template's values, each list sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Input variables.
    pub variables: Vec<Listed>,
    /// Locals.
    pub locals: Vec<Listed>,
}

/// Evaluates the variables and locals of `template`. Errors of all of them come back together;
/// sensitive values are registered with `redactor`.
pub fn evaluate(
    template: &Template,
    inputs: &Inputs,
    redactor: &Redactor,
) -> Result<(Values, Diagnostics), Diagnostics> {
    let (values, found) = evaluate_partly(template, inputs, redactor);
    found.into_result(values)
}

/// What is wrong with the variables of an HCL2 template, their defaults and the values that they are
/// given. That one has no value, or one that its rules refuse, is of no matter until it is used.
pub fn check_variables(template: &Template, inputs: &Inputs, redactor: &Redactor) -> Diagnostics {
    if template.dialect == Dialect::Json {
        return Diagnostics::default();
    }
    let (_, mut found) = variables::evaluate(template, inputs, &host(template, inputs, redactor));
    found.0.retain(|one| ![code::UNSET_VARIABLE, code::VALIDATION].contains(&one.code));
    found
}

fn host(template: &Template, inputs: &Inputs, redactor: &Redactor) -> Host {
    Host {
        environment: inputs.environment.clone(),
        dir: template.dir.clone(),
        redactor: redactor.clone(),
        available: Available::All,
        budget: inputs.budget.clone(),
    }
}

/// As [`evaluate`]; what has no value is unknown or missing in the result. For looking at, not for
/// building.
pub fn evaluate_partly(
    template: &Template,
    inputs: &Inputs,
    redactor: &Redactor,
) -> (Values, Diagnostics) {
    let host = host(template, inputs, redactor);
    let mut roots = Roots::default();
    let (user_variables, found) = match template.dialect {
        Dialect::Json => {
            let (variables, found) = legacy::evaluate(template, inputs, redactor);
            (Some(Arc::new(variables)), found)
        }
        Dialect::Hcl => (None, evaluate_hcl(template, inputs, &host, &mut roots)),
    };
    let inner = Inner { roots, host, user_variables };
    (Values(Arc::new(inner)), found)
}

/// Gives the root names of HCL2 their meaning.
fn evaluate_hcl(
    template: &Template,
    inputs: &Inputs,
    host: &Host,
    roots: &mut Roots,
) -> Diagnostics {
    let (variables, found) = variables::evaluate(template, inputs, host);
    roots.set("var", Value::object(variables));
    roots.set("local", Value::object::<&str>([]));
    place::set_fixed(roots, host);
    place::set(roots, &Place::default());
    graph::evaluate(template, inputs, roots, host, found)
}

impl Values {
    /// The plain configuration that `body` says: attributes by name, and the blocks of one type as
    /// a list of maps under that type, `dynamic` ones unrolled.
    pub fn body(&self, body: &Body, place: &Place<'_>) -> Result<Node, Diagnostics> {
        /// What else is done for each component.
        const COMPONENT: usize = 50;
        let roots = self.roots(place);
        let evaluator = Evaluator::new(&roots, &self.0.host);
        evaluator.pay(COMPONENT, body.span)?;
        evaluator.body_node(body)
    }

    /// The plain value of `expr`.
    pub fn expr(&self, expr: &Expr, place: &Place<'_>) -> Result<Node, Diagnostics> {
        let roots = self.roots(place);
        Evaluator::new(&roots, &self.0.host).expr_node(expr)
    }

    /// `expr` as the console prints it, paid from a `budget` of its own.
    pub fn printed(
        &self,
        expr: &Expr,
        place: &Place<'_>,
        budget: &Budget,
    ) -> Result<String, Diagnostics> {
        let roots = self.roots(place);
        let host = Host { budget: budget.clone(), ..self.0.host.clone() };
        let evaluator = Evaluator::new(&roots, &host);
        let value = evaluator.eval(expr)?;
        evaluator.pay_for(&value, expr.span)?;
        Ok(show::show(&value, &self.0.host.redactor))
    }

    /// What evaluation is paid from.
    pub fn budget(&self) -> &Budget {
        &self.0.host.budget
    }

    fn roots(&self, place: &Place<'_>) -> Roots {
        let mut roots = self.0.roots.clone();
        place::set(&mut roots, place);
        roots
    }

    /// The user variables of a legacy template, for `{{user}}`; `None` in HCL2.
    pub fn user_variables(&self) -> Option<Arc<BTreeMap<String, String>>> {
        self.0.user_variables.clone()
    }

    /// What `inspect` shows.
    pub fn listing(&self) -> Listing {
        let list = |root: &str| {
            let entries = self.0.roots.get(root).and_then(Value::entries);
            let Host { redactor, budget, .. } = &self.0.host;
            let listed = |(name, value): (&Arc<str>, &Value)| Listed {
                name: name.to_string(),
                value: match budget.pay(value.traits().weight) {
                    Ok(()) => go_format::quoted(&show::show(value, redactor)),
                    Err(exceeded) => format!("<{}>", exceeded.summary()),
                },
            };
            entries.into_iter().flat_map(|entries| entries.iter().map(listed)).collect()
        };
        Listing { variables: list("var"), locals: list("local") }
    }
}
