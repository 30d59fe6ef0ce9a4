//! What of a `build` is only known with values: `dynamic` blocks directly in it, as `dynamic
//! "provisioner"`, whose place the blocks take that they make, and its own arguments.
//!
//! `dynamic` blocks inside of a component's own body are unrolled with it, by `body`.

use crate::budget::Budget;
use crate::config::{Node, NodeKind};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, code};
use crate::source::Spanned;
use crate::template::ast::{Block, Body, Build, Expr, ExprKind, Template};
use crate::template::{BUILD_ARGUMENTS, build_of};

use super::body::node;
use super::dynamic::Dynamic;
use super::expr::{Eval, Evaluator, Roots, too_much};
use super::functions::Host;
use super::value::{Data, Value};
use super::{Inner, Values};

/// Puts what the `dynamic` blocks of its builds make, and what their arguments say, into `template`. The values that come back
/// know what the expressions in those blocks mean by their iterators. A block that cannot be made is
/// left out; the reason comes back.
pub fn unroll(mut template: Template, values: Values) -> (Template, Values, Diagnostics) {
    if template.builds.iter().all(|build| build.written.is_none()) {
        return (template, values, Diagnostics::default());
    }
    let Inner { roots, host, user_variables } = &*values.0;
    let mut unroller = Unroller { roots: roots.clone(), host, found: Diagnostics::default() };
    for build in &mut template.builds {
        let Some(written) = build.written.take() else { continue };
        let mut body = unroller.body(&written.body);
        unroller.settle_arguments(&mut body);
        let (made, found) = build_of(Block { body, ..written.clone() });
        // What is to be warned of has been said when the template was read.
        unroller.found.extend(found.into_iter().filter(|one| one.severity == Severity::Error));
        *build = Build { written: Some(written), ..made };
    }
    let Unroller { roots, found, .. } = unroller;
    let inner = Inner { roots, host: host.clone(), user_variables: user_variables.clone() };
    (template, Values(inner.into()), found.without_repetitions())
}

struct Unroller<'a> {
    roots: Roots,
    host: &'a Host,
    found: Diagnostics,
}

impl Unroller<'_> {
    /// `body` of a `build` or of `post-processors` without `dynamic` blocks.
    fn body(&mut self, body: &Body) -> Body {
        let blocks = body.blocks.iter().flat_map(|block| self.block(block)).collect();
        Body { blocks, ..body.clone() }
    }

    fn block(&mut self, block: &Block) -> Vec<Block> {
        match (block.kind.value.as_str(), block.labels.as_slice()) {
            ("dynamic", [kind]) => match self.made(block, kind) {
                Ok(made) => made.iter().flat_map(|block| self.block(block)).collect(),
                Err(errors) => {
                    self.found.extend(errors);
                    Vec::new()
                }
            },
            ("post-processors", _) => vec![Block { body: self.body(&block.body), ..block.clone() }],
            _ => vec![block.clone()],
        }
    }

    /// The blocks that `block` makes.
    fn made(&mut self, block: &Block, kind: &Spanned<String>) -> Eval<Vec<Block>> {
        let dynamic = Dynamic::read(block, &kind.value)?;
        let elements = self.evaluator().elements(&dynamic)?;
        let written = dynamic.content.span.end - dynamic.content.span.start;
        elements
            .into_iter()
            .map(|element| {
                self.evaluator().pay(Budget::WORD + written as usize, block.span)?;
                let element = self.roots.add_element(element);
                let labels = self.labels(&dynamic, element)?;
                let mut body = dynamic.content.clone();
                bind(&mut body, dynamic.iterator, element);
                if kind.value == "source" {
                    self.settle_name(&mut body)?;
                }
                Ok(Block { kind: kind.clone(), labels, body, span: block.span })
            })
            .collect()
    }

    fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(&self.roots, self.host)
    }

    /// The labels of the block for `element`.
    fn labels(&self, dynamic: &Dynamic<'_>, element: usize) -> Eval<Vec<Spanned<String>>> {
        let Some(labels) = dynamic.labels else { return Ok(Vec::new()) };
        let span = labels.value.span;
        let refused = |cause: String| {
            let summary = "Invalid dynamic block label";
            Diagnostic::error(code::WRONG_TYPE, summary).at(span).because(cause)
        };
        let given = self.evaluator().eval(&made(&labels.value, dynamic.iterator, element))?;
        let (Data::List(_, items) | Data::Tuple(items)) = &given.data else {
            return Err(refused(format!(
                "A list of strings is required, not {}.",
                given.type_name()
            ))
            .into());
        };
        let label = |item: &Value| {
            let text =
                self.evaluator().as_string(item).map_err(|cause| refused(cause.to_string()))?;
            self.host.protect(&text).map_err(|exceeded| too_much(exceeded, span))?;
            match text.as_str() {
                Some(text) => Ok(Spanned::new(text.to_owned(), span)),
                None => Err(refused("This value is not known, or null.".to_owned()).into()),
            }
        };
        items.iter().map(label).collect()
    }

    /// The arguments of `build` say what there is to plan: they become literals.
    fn settle_arguments(&mut self, body: &mut Body) {
        for name in BUILD_ARGUMENTS {
            let Some(attribute) = body.attributes.get_mut(name) else { continue };
            match self.settled(name, &attribute.value) {
                Ok(literal) => attribute.value = literal,
                Err(errors) => {
                    self.found.extend(errors);
                    body.attributes.shift_remove(name);
                }
            }
        }
    }

    /// The literal of the value of `expr`, which is the argument `name`.
    fn settled(&self, name: &str, expr: &Expr) -> Eval<Expr> {
        let value = self.evaluator().eval(expr)?;
        self.evaluator().pay_for(&value, expr.span)?;
        if !value.is_wholly_known() {
            let summary = format!("the `{name}` of a build is not known");
            return Err(Diagnostic::error(code::WRONG_TYPE, summary)
                .at(expr.span)
                .because("a data source that was not asked decides it")
                .help("with -evaluate-datasources, `validate` asks data sources")
                .into());
        }
        literal(&node(&value, expr)).ok_or_else(|| {
            let summary = format!("the `{name}` of a build cannot be {}", value.type_name());
            let error = Diagnostic::error(code::WRONG_TYPE, summary).at(expr.span);
            error.because("texts are wanted here").into()
        })
    }

    /// The name of a source is wanted before anything is planned: only a literal will do.
    fn settle_name(&self, body: &mut Body) -> Eval<()> {
        let Some(name) = body.attributes.get_mut("name") else { return Ok(()) };
        let value = self.evaluator().eval(&name.value)?;
        if let Ok(Some(text)) = self.evaluator().as_string(&value).as_ref().map(Value::as_str) {
            name.value.kind = ExprKind::String(text.to_owned());
        }
        Ok(())
    }
}

/// The expression that says `node`; of maps there is none.
fn literal(node: &Node) -> Option<Expr> {
    let kind = match &node.kind {
        NodeKind::Null => ExprKind::Null,
        NodeKind::Bool(value) => ExprKind::Bool(*value),
        NodeKind::Number(text) => ExprKind::Number(text.clone()),
        NodeKind::String(text) => ExprKind::String(text.clone()),
        NodeKind::List(items) => ExprKind::List(items.iter().map(literal).collect::<Option<_>>()?),
        NodeKind::Map(_) | NodeKind::Unknown => return None,
    };
    Some(Expr { kind, span: node.span })
}

/// Tells all expressions in `body` what they mean by `iterator`.
fn bind(body: &mut Body, iterator: &str, element: usize) {
    for attribute in body.attributes.values_mut() {
        attribute.value = made(&attribute.value, iterator, element);
    }
    for block in &mut body.blocks {
        bind(&mut block.body, iterator, element);
    }
}

fn made(expr: &Expr, iterator: &str, element: usize) -> Expr {
    let (iterator, of) = (iterator.to_owned(), Box::new(expr.clone()));
    Expr { kind: ExprKind::Made { iterator, element, of }, span: expr.span }
}
