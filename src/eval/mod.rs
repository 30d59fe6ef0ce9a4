//! Expressions → values: variables, locals, and the bodies that refer to them.
//!
//! [`evaluate`] takes the inputs in and evaluates variables and locals once; the [`Values`] that it
//! makes turn every body of the template into plain configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Node;
use crate::diagnostic::Diagnostics;
use crate::env::Environment;
use crate::interpolate::BuildData;
use crate::secret::Redactor;
use crate::template::ast::{Body, Expr, Template};
use crate::template::load::VarAssignment;

/// What a run gives to the variables of a template.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// `-var NAME=VALUE`, in order; later ones win.
    pub vars: Vec<(String, String)>,
    /// Variable files in order of precedence, automatic ones first; later ones win.
    pub var_files: Vec<Vec<VarAssignment>>,
    /// `PKR_VAR_…`, the clock, and what `env` reads.
    pub environment: Arc<Environment>,
    /// Whether a variable file that sets an undeclared variable is worth a warning.
    pub warn_undeclared: bool,
}

/// Where in the template an expression stands, as far as that decides what it may refer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// `source.type` and `source.name`: in sources, provisioners and post-processors.
    pub source: Option<(&'a str, &'a str)>,
    /// `build.name`.
    pub build_name: Option<&'a str>,
    /// Names that the builder adds to `build.*`; see [`Component::BUILD_DATA`](crate::component::Component::BUILD_DATA).
    pub generated: &'a [&'a str],
    /// The machine that runs. Before it does, each of `build.*` is the string `<unknown>`.
    pub build_data: Option<&'a BuildData>,
}

/// The evaluated variables and locals of a template. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Values {}

/// A variable or local as `inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its value as it is printed; a sensitive one is masked.
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
    _template: &Template,
    _inputs: &Inputs,
    _redactor: &Redactor,
) -> Result<(Values, Diagnostics), Diagnostics> {
    Ok((Values::default(), Diagnostics::default()))
}

impl Values {
    /// The plain configuration that `body` says: attributes by name, and the blocks of one type as
    /// a list of maps under that type, `dynamic` ones unrolled.
    pub fn body(&self, body: &Body, _place: &Place<'_>) -> Result<Node, Diagnostics> {
        Ok(Node::empty(body.span))
    }

    /// The plain value of `expr`.
    pub fn expr(&self, expr: &Expr, _place: &Place<'_>) -> Result<Node, Diagnostics> {
        Ok(Node::empty(expr.span))
    }

    /// The user variables of a legacy template, for `{{user}}`.
    pub fn user_variables(&self) -> Arc<BTreeMap<String, String>> {
        Arc::default()
    }

    /// What `inspect` shows.
    pub fn listing(&self) -> Listing {
        Listing::default()
    }
}
