//! Expressions → values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::budget::{Budget, Exceeded, Limit};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::Span;
use crate::template::ast::{Expr, ExprKind};

use super::functions::{Available, Host};
use super::number::Number;
use super::show::brief;
use super::value::{Data, Traits, Value};

/// The outcome of an evaluation: a value or all that is wrong.
pub type Eval<T = Value> = Result<T, Diagnostics>;

/// What root names mean: `var`, `local`, `path`, …; and the elements that [`ExprKind::Made`] speaks
/// of.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    names: BTreeMap<Arc<str>, Value>,
    elements: Arc<Vec<Value>>,
}

impl Roots {
    /// Gives `name` a meaning.
    pub fn set(&mut self, name: &str, value: Value) {
        self.names.insert(name.into(), value);
    }

    /// Gives the attribute at `path` a value; the objects on the way are made.
    pub fn set_attribute(&mut self, path: &[&str], value: Value) {
        let [root, rest @ ..] = path else { return };
        set_in(self.names.entry((*root).into()).or_insert(Value::NULL), rest, value);
    }

    /// What `name` means.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.names.get(name)
    }

    /// Adds an element that a `dynamic` block goes through; its number comes back.
    pub fn add_element(&mut self, element: Value) -> usize {
        let elements = Arc::make_mut(&mut self.elements);
        elements.push(element);
        elements.len() - 1
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(AsRef::as_ref)
    }
}

fn set_in(object: &mut Value, path: &[&str], value: Value) {
    let [name, rest @ ..] = path else {
        *object = value;
        return;
    };
    if !matches!(object.data, Data::Object(_)) {
        *object = Value::object::<&str>([]);
    }
    if let Data::Object(entries) = &mut object.data {
        entries.update(name, |inside| set_in(inside, rest, value));
    }
}

/// A name bound by a `for`, and those bound around it.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
    pub(super) outer: Option<&'a Frame<'a>>,
}

/// What [`Frame`] calls the element inside of a splat; no expression can name it.
pub(super) const SPLAT_ITEM: &str = "*";

/// Evaluates expressions in one scope.
#[derive(Clone, Copy)]
pub struct Evaluator<'a> {
    roots: &'a Roots,
    frame: Option<&'a Frame<'a>>,
    pub(super) host: &'a Host,
    depth: usize,
}

/// The value of an expression that refers to nothing and calls nothing.
pub fn constant(expr: &Expr, budget: &Budget) -> Eval {
    let host = Host { budget: budget.clone(), ..Host::default() };
    Evaluator::new(&Roots::default(), &host).eval(expr)
}

impl<'a> Evaluator<'a> {
    /// An evaluator for expressions that may refer to `roots` and call what `host` has.
    pub fn new(roots: &'a Roots, host: &'a Host) -> Self {
        Self { roots, frame: None, host, depth: 0 }
    }

    /// The same, with the names of `frame` besides.
    pub(super) fn within(self, frame: &'a Frame<'a>) -> Self {
        Self { frame: Some(frame), ..self }
    }

    /// The innermost names bound.
    pub(super) fn frame(&self) -> Option<&'a Frame<'a>> {
        self.frame
    }

    /// The value of `expr`.
    pub fn eval(&self, expr: &Expr) -> Eval {
        self.pay(1, expr.span)?;
        let deeper = Self { depth: self.depth + 1, ..*self };
        Limit::DEPTH.check(deeper.depth).map_err(|exceeded| too_much(exceeded, expr.span))?;
        deeper.eval_kind(expr).map_err(|found| self.explain(expr, found))
    }

    /// Pays for work that the expression at `span` causes.
    pub(super) fn pay(&self, units: usize, span: Span) -> Result<(), Diagnostics> {
        self.host.budget.pay(units).map_err(|exceeded| too_much(exceeded, span))
    }

    /// Pays for going through `value`, or for making it, on behalf of the expression at `span`.
    pub(super) fn pay_for(&self, value: &Value, span: Span) -> Result<(), Diagnostics> {
        let Traits { weight, depth, .. } = value.traits();
        Limit::DEPTH.check(depth).map_err(|exceeded| too_much(exceeded, span))?;
        self.pay(weight, span)
    }

    /// Whether looking for more errors is of no use: after the budget is spent, everything is one.
    pub(super) fn is_hopeless(&self, found: &Diagnostics) -> bool {
        self.host.budget.left() == 0 || found.is_full()
    }

    fn eval_kind(&self, expr: &Expr) -> Eval {
        match &expr.kind {
            ExprKind::Null => Ok(Value::NULL),
            ExprKind::Bool(value) => Ok((*value).into()),
            ExprKind::Number(text) => self.eval_number(text, expr.span),
            ExprKind::String(text) => {
                self.pay(Budget::of_text(text.len()), expr.span)?;
                Ok(Value::string(text))
            }
            ExprKind::List(items) => self.eval_all(items).map(Value::tuple),
            ExprKind::Object(items) => self.eval_object(items),
            ExprKind::Template(parts) => self.eval_template(parts),
            ExprKind::Variable(name) => self.eval_variable(name, expr.span),
            ExprKind::GetAttr { of, name } => self.eval_attribute(of, name),
            ExprKind::Index { of, key } => self.eval_index(of, key),
            ExprKind::Splat { of, each } => self.eval_splat(of, each),
            ExprKind::SplatItem => self.eval_variable(SPLAT_ITEM, expr.span),
            ExprKind::Call { name, args, expand } => self.eval_call(expr.span, name, args, *expand),
            ExprKind::Conditional { condition, yes, no } => {
                self.eval_conditional(expr.span, condition, yes, no)
            }
            ExprKind::Unary { operator, operand } => self.eval_unary(expr.span, *operator, operand),
            ExprKind::Binary { operator, left, right } => {
                self.eval_binary(expr.span, *operator, left, right)
            }
            ExprKind::For(each) => self.eval_for(each),
            ExprKind::Parenthesis(inner) => self.eval(inner),
            ExprKind::Made { iterator, element, of } => self.eval_made(iterator, *element, of),
        }
    }

    fn eval_number(&self, text: &str, span: Span) -> Eval {
        Limit::DIGITS.check(text.len()).map_err(|exceeded| too_much(exceeded, span))?;
        let number = Number::parse(text).ok_or_else(|| {
            error(code::OPERATION, "Invalid number literal", span)
                .because("This is not a number in decimal notation.")
        })?;
        Ok(number.into())
    }

    /// All of `exprs`; the errors of all of them come back together.
    pub(super) fn eval_all(&self, exprs: &[Expr]) -> Eval<Vec<Value>> {
        let mut values = Vec::with_capacity(exprs.len());
        let mut found = Diagnostics::default();
        for expr in exprs {
            match self.eval(expr) {
                Ok(value) => values.push(value),
                Err(errors) => {
                    found.extend(errors);
                    if self.is_hopeless(&found) {
                        break;
                    }
                }
            }
        }
        if found.has_errors() { Err(found) } else { Ok(values) }
    }

    fn eval_object(&self, items: &[(Expr, Expr)]) -> Eval {
        let mut entries = BTreeMap::new();
        let mut found = Diagnostics::default();
        let (mut unknown, mut sensitive) = (false, false);
        for (key, value) in items {
            match self.eval_object_item(key, value) {
                Ok((Some(key), key_sensitive, value)) => {
                    sensitive |= key_sensitive;
                    entries.insert(key, value);
                }
                Ok((None, ..)) => unknown = true,
                Err(errors) => {
                    found.extend(errors);
                    if self.is_hopeless(&found) {
                        break;
                    }
                }
            }
        }
        if found.has_errors() {
            return Err(found);
        }
        let value = if unknown { Value::UNKNOWN } else { Value::object(entries) };
        Ok(value.marked(sensitive))
    }

    /// The key (`None`: not known), whether it is sensitive, and the value.
    fn eval_object_item(&self, key: &Expr, value: &Expr) -> Eval<(Option<Arc<str>>, bool, Value)> {
        let given = self.eval(key)?;
        let value = self.eval(value)?;
        if given.is_null() {
            return Err(error(code::WRONG_TYPE, "Null value as key", key.span)
                .because("Can't use a null value as a key.")
                .into());
        }
        let text = self.as_string(&given).map_err(|cause| {
            error(code::WRONG_TYPE, "Incorrect key type", key.span)
                .because(format!("Can't use this value as a key: {cause}."))
        })?;
        Ok((text.as_str().map(Arc::from), given.sensitive, value))
    }

    pub(super) fn as_string(&self, value: &Value) -> Result<Value, super::convert::ConvertError> {
        super::convert::convert(value, &super::types::Type::String)
    }

    fn eval_variable(&self, name: &str, span: Span) -> Eval {
        match self.bound(name).or_else(|| self.roots.get(name)) {
            Some(value) => Ok(value.clone()),
            None => Err(self.unknown_variable(name, span).into()),
        }
    }

    /// What a frame binds `name` to.
    fn bound(&self, name: &str) -> Option<&'a Value> {
        let mut frames = std::iter::successors(self.frame, |frame| frame.outer);
        frames.find(|frame| frame.name == name).map(|frame| frame.value)
    }

    /// An expression in a block that a `dynamic` block has made. What is bound inside of that block
    /// shadows the iterator.
    fn eval_made(&self, iterator: &str, element: usize, of: &Expr) -> Eval {
        match self.roots.elements.get(element) {
            Some(value) if self.bound(iterator).is_none() => {
                let frame = Frame { name: iterator, value, outer: self.frame };
                self.within(&frame).eval(of)
            }
            _ => self.eval(of),
        }
    }

    fn unknown_variable(&self, name: &str, span: Span) -> Diagnostic {
        let frames = std::iter::successors(self.frame, |frame| frame.outer);
        let bound = frames.map(|frame| frame.name);
        let names: Vec<&str> = bound.chain(self.roots.names()).collect();
        let suggestion = suggest(name, names);
        if !self.roots.names.is_empty() || self.frame.is_some() {
            let cause = format!("There is no variable named \"{name}\".{suggestion}");
            return error(code::UNKNOWN_NAME, "Unknown variable", span).because(cause);
        }
        let found = error(code::UNKNOWN_NAME, "Variables not allowed", span)
            .because("Variables may not be used here.");
        match self.host.available {
            Available::Env => found.help("give the value to a local: `locals { … = … }`"),
            _ => found,
        }
    }

    /// Adds to errors what the variables in `expr` are. The innermost expression with operands
    /// speaks; those around it have nothing to add.
    fn explain(&self, expr: &Expr, mut found: Diagnostics) -> Diagnostics {
        let is_worth_it = matches!(
            expr.kind,
            ExprKind::Binary { .. }
                | ExprKind::Unary { .. }
                | ExprKind::Call { .. }
                | ExprKind::Conditional { .. }
                | ExprKind::Index { .. }
                | ExprKind::GetAttr { .. }
                | ExprKind::Template(_)
                | ExprKind::For(_)
                | ExprKind::Splat { .. }
        );
        if !is_worth_it {
            return found;
        }
        // What an attribute was sought in helps; what stands beside a name that does not exist, not.
        let is_sought = matches!(expr.kind, ExprKind::GetAttr { .. });
        let mut operands = None;
        for diagnostic in &mut found.0 {
            let is_told = diagnostic.code != code::UNKNOWN_NAME || is_sought;
            if diagnostic.notes.is_empty() && is_told && diagnostic.code != code::TOO_MUCH {
                diagnostic.notes = operands.get_or_insert_with(|| self.operands(expr)).clone();
            }
        }
        found
    }

    /// The value of `expr`, which is written `text`; or, where it has none, of what it is sought in.
    fn nearest_value(&self, mut text: String, mut expr: &Expr) -> Option<(String, Value)> {
        loop {
            if let Ok(value) = self.eval_kind(expr) {
                return Some((text, value));
            }
            expr = match &expr.kind {
                ExprKind::GetAttr { of, .. } | ExprKind::Index { of, .. } => of,
                _ => return None,
            };
            text.truncate(text.rfind('.')?);
            // A root name alone says nothing: `var`.
            text.find('.')?;
        }
    }

    /// Whether anything that `expr` refers to must not be shown. Its own value may not tell: what is too
    /// weak to be masked makes no secret of the text around it.
    pub(super) fn refers_to_secrets(&self, expr: &Expr) -> bool {
        let mut found = false;
        super::references::each(expr, &mut |reference| {
            found = found
                || self
                    .nearest_value(reference.text(), reference.expr)
                    .is_some_and(|(_, value)| self.host.is_confidential(&value));
        });
        found
    }

    /// `with var.region = "eu-north-1"`, for each variable that stands directly in `expr`.
    fn operands(&self, expr: &Expr) -> Vec<String> {
        const MOST: usize = 4;
        let mut names = Vec::new();
        super::references::each(expr, &mut |reference| {
            if reference.is_traversal() && names.len() < MOST {
                names.push((reference.text(), reference.expr));
            }
        });
        names.dedup_by(|a, b| a.0 == b.0);
        names
            .into_iter()
            .filter_map(|(text, expr)| {
                let (text, value) = self.nearest_value(text, expr)?;
                Some(format!("with {text} = {}", brief(&value, &self.host.redactor)))
            })
            .collect()
    }
}

/// `found`, which may repeat values, without its words about them if one `is_confidential`.
pub(super) fn discreet(found: Diagnostic, is_confidential: bool) -> Diagnostic {
    match is_confidential {
        true => {
            Diagnostic { help: None, ..found.because("the value is sensitive, so it is not shown") }
        }
        false => found,
    }
}

/// What is said where the expression at `span` asks for too much.
pub(super) fn too_much(exceeded: Exceeded, span: Span) -> Diagnostics {
    Diagnostic::from(exceeded).at(span).into()
}

/// An error at `span`.
pub(super) fn error(code: crate::diagnostic::Code, summary: &str, span: Span) -> Diagnostic {
    Diagnostic::error(code, summary).at(span)
}

/// ` Did you mean "name"?`, or nothing.
pub(super) fn suggest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    names
        .into_iter()
        .find(|name| strsim::levenshtein(given, name) < 3)
        .map(|name| format!(" Did you mean \"{name}\"?"))
        .unwrap_or_default()
}
