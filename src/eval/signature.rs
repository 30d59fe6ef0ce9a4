//! Functions as documentation shows them.

use std::fmt;

use serde::Serialize;

use super::functions::{Available, Function, Param, find, names};

/// What a function is called with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// What it gives back.
    pub about: &'static str,
    /// The parameters that every call has.
    pub params: Vec<Parameter>,
    /// The parameter that takes all further arguments.
    pub rest: Option<Parameter>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name in errors.
    pub name: &'static str,
    /// What arguments are converted to: `list of string`.
    pub r#type: String,
}

impl From<&Param> for Parameter {
    fn from(param: &Param) -> Self {
        Self { name: param.name, r#type: param.want.ty().to_string() }
    }
}

/// The signature of the function `name`, if there is one.
pub fn signature(name: &str) -> Option<Signature> {
    let function = find(name, Available::All).or_else(|| find(name, Available::Env))?;
    Some(function.into())
}

impl From<&Function> for Signature {
    fn from(function: &Function) -> Self {
        Self {
            name: function.name,
            about: function.about,
            params: function.params.iter().map(Parameter::from).collect(),
            rest: function.rest.as_ref().map(Parameter::from),
        }
    }
}

/// The names of all functions.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    names(Available::All).chain(names(Available::Env))
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |param: &Parameter| format!("{}: {}", param.name, param.r#type);
        let rest = self.rest.as_ref().map(|param| format!("{}…", shown(param)));
        let params: Vec<String> = self.params.iter().map(shown).chain(rest).collect();
        write!(f, "{}({})", self.name, params.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_shows_the_parameters_and_their_types() {
        let shown = |name| signature(name).map(|signature| signature.to_string());
        assert_eq!(shown("upper").as_deref(), Some("upper(str: string)"));
        assert_eq!(
            shown("join").as_deref(),
            Some("join(separator: string, lists: list of string…)")
        );
        assert!(function_names().any(|name| name == "env"));
        assert_eq!(shown("uper"), None);
    }
}
