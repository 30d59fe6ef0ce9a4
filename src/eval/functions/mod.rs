//! The functions of the language: one file per family, one table entry per function.
//!
//! An entry names the parameters; the caller counts, converts and checks the arguments against
//! them, so that an implementation sees only what it declared.

mod collection;
mod control;
mod crypto;
mod csv;
mod encoding;
mod filesystem;
mod format;
mod host;
mod json;
mod list;
mod map;
mod network;
mod number;
mod re2;
mod regex;
mod service;
mod set;
mod string;
mod table;
mod time;
mod yaml;
mod yaml_writer;

use super::expr::{Eval, Evaluator};
use super::number::{Number, NumberError};
use super::types::Type;
use super::value::{Data, Value};
use crate::budget::Exceeded;
use crate::source::Span;
use crate::template::ast::Expr;

pub use host::{Available, Host};
pub(super) use json::encode as json_encode;
pub use table::{find, names};

/// A function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name in templates.
    pub name: &'static str,
    /// What it gives back, in a sentence.
    pub about: &'static str,
    /// The parameters that every call has.
    pub params: &'static [Param],
    /// The parameter that takes all further arguments.
    pub rest: Option<Param>,
    /// The type of its result.
    pub result: ResultType,
    /// What it does.
    pub run: Run,
    /// Whether it takes values with something unknown inside; otherwise its result is unknown.
    pub partial: bool,
    /// Whether its result may be shown even where its arguments may not.
    pub public: bool,
    /// Whether its result consists of parts of its arguments, of which each is as secret as it was.
    pub parts: bool,
    /// Whether it takes no longer where its arguments are larger.
    pub constant: bool,
}

/// The type of a function's result. It is known even while an argument is not, so that misuse of the
/// result is found before a machine runs.
#[derive(Clone, Copy)]
pub enum ResultType {
    /// Always this one.
    Always(Want),
    /// What the arguments decide, of which some may be unknown, and why some have no result.
    By(fn(&[Value]) -> Result<Type, CallError>),
}

/// How a function is given its arguments.
#[derive(Clone, Copy)]
pub enum Run {
    /// Evaluated, converted and checked.
    Values(fn(&Call<'_>) -> Outcome),
    /// As they were written.
    Expressions(fn(&Evaluator<'_>, Span, &[Expr]) -> Eval),
}

/// A call with its arguments ready.
pub struct Call<'a> {
    /// The arguments; those of [`Function::rest`] at the end.
    pub args: Vec<Value>,
    /// What functions reach beside their arguments.
    pub host: &'a Host,
}

/// What a function returns.
pub type Outcome = Result<Value, CallError>;

/// Why a function refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The argument with this number, counted from 0, is wrong.
    Argument(usize, String),
    /// The arguments are fine one by one, but the call failed.
    Failed(String),
    /// imgbake does not have it.
    NotBuilt(String),
    /// It would cost more than there is.
    Exceeded(Exceeded),
}

impl CallError {
    /// The call failed because of `cause`.
    pub fn failed(cause: impl ToString) -> Self {
        Self::Failed(cause.to_string())
    }

    /// Argument `at` is wrong because of `cause`.
    pub fn argument(at: usize, cause: impl ToString) -> Self {
        Self::Argument(at, cause.to_string())
    }
}

impl From<String> for CallError {
    fn from(cause: String) -> Self {
        Self::Failed(cause)
    }
}

impl From<&str> for CallError {
    fn from(cause: &str) -> Self {
        Self::Failed(cause.to_owned())
    }
}

impl From<Exceeded> for CallError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

impl From<NumberError> for CallError {
    fn from(error: NumberError) -> Self {
        Self::failed(error)
    }
}

/// A parameter: its name in errors, the type that arguments are converted to, and what it accepts.
#[derive(Clone, Copy)]
pub struct Param {
    /// Its name in errors.
    pub name: &'static str,
    /// What arguments are converted to.
    pub want: Want,
    /// Whether null is accepted.
    pub null: bool,
    /// Whether a value that is itself unknown is accepted.
    pub unknown: bool,
    /// Whether a value without a type, such as a plain `null`, is accepted; otherwise it makes the
    /// result unknown.
    pub untyped: bool,
}

/// The types that parameters and results have.
#[derive(Clone, Copy)]
pub enum Want {
    Any,
    Bool,
    Number,
    String,
    List,
    ListOfBool,
    ListOfNumber,
    ListOfString,
    Set,
    SetOfString,
}

impl Want {
    /// The type that it stands for.
    pub fn ty(self) -> Type {
        match self {
            Self::Any => Type::Any,
            Self::Bool => Type::Bool,
            Self::Number => Type::Number,
            Self::String => Type::String,
            Self::List => Type::List(Type::Any.into()),
            Self::ListOfBool => Type::List(Type::Bool.into()),
            Self::ListOfNumber => Type::List(Type::Number.into()),
            Self::ListOfString => Type::List(Type::String.into()),
            Self::Set => Type::Set(Type::Any.into()),
            Self::SetOfString => Type::Set(Type::String.into()),
        }
    }
}

impl Param {
    /// A parameter that wants a `want`.
    pub const fn new(name: &'static str, want: Want) -> Self {
        Self { name, want, null: false, unknown: false, untyped: false }
    }

    /// A text.
    pub const fn string(name: &'static str) -> Self {
        Self::new(name, Want::String)
    }

    /// A number.
    pub const fn number(name: &'static str) -> Self {
        Self::new(name, Want::Number)
    }

    /// Anything.
    pub const fn any(name: &'static str) -> Self {
        Self::new(name, Want::Any)
    }

    /// Null as well.
    pub const fn or_null(self) -> Self {
        Self { null: true, ..self }
    }

    /// What is not known as well.
    pub const fn or_unknown(self) -> Self {
        Self { unknown: true, ..self }
    }

    /// What has no type as well.
    pub const fn or_untyped(self) -> Self {
        Self { untyped: true, ..self }
    }
}

impl Function {
    /// A function of a fixed number of values.
    pub const fn new(
        name: &'static str,
        about: &'static str,
        params: &'static [Param],
        run: fn(&Call<'_>) -> Outcome,
    ) -> Self {
        Self {
            name,
            about,
            params,
            rest: None,
            result: ResultType::Always(Want::Any),
            run: Run::Values(run),
            partial: false,
            public: false,
            parts: false,
            constant: false,
        }
    }

    /// A function that takes more arguments of one kind at the end.
    pub const fn variadic(
        name: &'static str,
        about: &'static str,
        params: &'static [Param],
        rest: Param,
        run: fn(&Call<'_>) -> Outcome,
    ) -> Self {
        Self { rest: Some(rest), ..Self::new(name, about, params, run) }
    }

    /// Its result is always a `want`.
    pub const fn result(self, want: Want) -> Self {
        Self { result: ResultType::Always(want), ..self }
    }

    /// The type of its result is what `ty` makes of the arguments.
    pub const fn gives_by(self, ty: fn(&[Value]) -> Result<Type, CallError>) -> Self {
        Self { result: ResultType::By(ty), ..self }
    }

    /// Takes values with something unknown inside.
    pub const fn partial(self) -> Self {
        Self { partial: true, ..self }
    }

    /// Says nothing of its arguments that must not be shown.
    pub const fn public(self) -> Self {
        Self { public: true, ..self }
    }

    /// Gives parts of its arguments as they are.
    pub const fn parts(self) -> Self {
        Self { parts: true, ..self }
    }

    /// Takes no longer where its arguments are larger.
    pub const fn constant(self) -> Self {
        Self { constant: true, ..self }
    }

    /// The parameter that takes argument number `at`.
    pub fn param(&self, at: usize) -> Option<&Param> {
        self.params.get(at).or(self.rest.as_ref())
    }
}

impl Call<'_> {
    /// Pays for work beyond that which the sizes of arguments and result tell.
    pub fn pay(&self, units: usize) -> Result<(), CallError> {
        Ok(self.host.budget.pay(units)?)
    }

    /// Pays for a text of so many bytes before it is made.
    pub fn pay_text(&self, bytes: usize) -> Result<(), CallError> {
        Ok(self.host.budget.pay_text(bytes)?)
    }

    /// Argument `at`, which is a text.
    pub fn text(&self, at: usize) -> &str {
        self.args.get(at).and_then(Value::as_str).unwrap_or_default()
    }

    /// Argument `at`, which is a number.
    pub fn number(&self, at: usize) -> Number {
        match self.args.get(at).map(|value| &value.data) {
            Some(Data::Number(number)) => number.clone(),
            _ => Number::from(0),
        }
    }

    /// Argument `at`, which must be a whole number of 64 bits.
    pub fn whole(&self, at: usize) -> Result<i64, CallError> {
        Ok(self.number(at).to_i64()?)
    }

    /// The items of argument `at`, if it is a list, set or tuple.
    pub fn items(&self, at: usize) -> &[Value] {
        self.args.get(at).and_then(Value::items).map_or(&[], |items| items)
    }
}
