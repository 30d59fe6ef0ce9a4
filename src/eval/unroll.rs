//! `dynamic` blocks directly in `build`, as `dynamic "provisioner"`: the blocks that they make
//! take their place.
//!
//! Those inside of a component's own body are unrolled with it, by `body`.

use crate::budget::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, code};
use crate::source::Spanned;
use crate::template::ast::{Block, Body, Build, Expr, ExprKind, Template};
use crate::template::build_of;

use super::dynamic::Dynamic;
use super::expr::{Eval, Evaluator, Roots};
use super::functions::Host;
use super::value::{Data, Value};
use super::{Inner, Values};

/// Puts what the `dynamic` blocks of its builds make into `template`. The values that come back
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
        let body = unroller.body(&written.body);
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
            match text.as_str() {
                Some(text) => Ok(Spanned::new(text.to_owned(), span)),
                None => Err(refused("This value is not known, or null.".to_owned()).into()),
            }
        };
        items.iter().map(label).collect()
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
