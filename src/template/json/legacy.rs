//! Legacy JSON templates → [`Template`].

use std::collections::HashMap;
use std::path::Path;

use indexmap::IndexMap;

use super::{Kind, Member, Value};
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::source::{Span, Spanned};
use crate::template::ast::{
    Attribute, Body, Build, ComponentBlock, Dialect, Expr, ExprKind, Source, SourceUse, Syntax,
    Template, Variable,
};
use crate::template::load::VarAssignment;

/// The keys at the root of a template. Their case does not matter.
const ROOT_KEYS: &[&str] = &[
    "builders",
    "provisioners",
    "error-cleanup-provisioner",
    "post-processors",
    "variables",
    "sensitive-variables",
    "min_packer_version",
    "description",
    "push",
    "comments",
];

/// The blocks that only HCL2 has: their presence tells a misnamed file.
const HCL_BLOCKS: &[&str] = &["source", "build", "variable", "locals", "packer", "data"];

/// What a template's file holds. `Err` where parts are missing in the result because of mistakes.
pub(in crate::template) fn template(root: Value, dir: &Path) -> (Template, Diagnostics) {
    let mut lowering = Lowering::default();
    root.refuse_duplicates(&mut lowering.diagnostics);
    let template = lowering.template(root, dir);
    (template, lowering.diagnostics)
}

/// What a variable file holds: one object of strings. `null` is the empty one, as Packer
/// reads it.
pub(in crate::template) fn var_file(root: Value) -> Result<Vec<VarAssignment>, Diagnostics> {
    let mut lowering = Lowering::default();
    root.refuse_duplicates(&mut lowering.diagnostics);
    let members = lowering.object(root, "a variable file").unwrap_or_default();
    let mut assignments = Vec::new();
    for Member { key: name, value } in members {
        let value = match value.kind {
            Kind::Null => Value { kind: Kind::String(String::new()), ..value },
            _ => value,
        };
        if let Some(text) = lowering.string(&value, &format!("the value of `{}`", name.value)) {
            assignments.push(VarAssignment { name, value: text_expr(text) });
        }
    }
    lowering.diagnostics.into_result(assignments).map(|(assignments, _)| assignments)
}

fn text_expr(text: Spanned<String>) -> crate::template::ast::Expr {
    Value { kind: Kind::String(text.value), span: text.span }.into_expr()
}

/// Whether an expression is what an option wants.
type Fits = fn(&ExprKind) -> bool;

/// The options of a post-processor that are not weakly typed, and what they must be.
const STRICT: &[(&str, Fits, &str)] = &[
    ("name", |value| matches!(value, ExprKind::String(_)), "a string"),
    ("keep_input_artifact", |value| matches!(value, ExprKind::Bool(_)), "`true` or `false`"),
    ("only", are_strings, "a list of strings"),
    ("except", are_strings, "a list of strings"),
];

fn are_strings(value: &ExprKind) -> bool {
    let is_string = |item: &Expr| matches!(item.kind, ExprKind::String(_));
    matches!(value, ExprKind::List(items) if items.iter().all(is_string))
}

#[derive(Default)]
struct Lowering {
    diagnostics: Diagnostics,
}

impl Lowering {
    fn template(&mut self, root: Value, dir: &Path) -> Template {
        let span = root.span;
        let mut parts = self.root(root);
        let mut take = |key: &str| parts.shift_remove(key).filter(|v| v.kind != Kind::Null);
        let (builders, provisioners) = (take("builders"), take("provisioners"));
        let (error_cleanup, chains) = (take("error-cleanup-provisioner"), take("post-processors"));
        let (variables, sensitive) = (take("variables"), take("sensitive-variables"));
        let (description, version) = (take("description"), take("min_packer_version"));

        let sources = self.builders(builders);
        let build = Build {
            name: None,
            description: None,
            sources: sources.iter().map(source_use).collect(),
            provisioners: self.provisioners(provisioners),
            error_cleanup: error_cleanup
                .and_then(|value| self.component(value, "`error-cleanup-provisioner`")),
            post_processors: self.post_processors(chains),
            hcp_registry: None,
            written: None,
            span,
        };
        let mut variables = self.variables(variables);
        self.sensitive(sensitive, &mut variables);
        Template {
            dialect: Dialect::Json,
            dir: dir.to_owned(),
            description: description.and_then(|value| self.string(&value, "`description`")),
            required_versions: version.into_iter().filter_map(|v| self.version(&v)).collect(),
            required_plugins: Vec::new(),
            variables,
            locals: Vec::new(),
            data: Vec::new(),
            sources,
            builds: vec![build],
            hcp_registry: None,
        }
    }

    /// The parts of the template by their names in small letters; says the keys that are none.
    fn root(&mut self, root: Value) -> IndexMap<String, Value> {
        let mut parts: IndexMap<String, Value> = IndexMap::new();
        for Member { key, value } in self.object(root, "a template").unwrap_or_default() {
            let name = key.value.to_lowercase();
            if key.value.starts_with('_') {
                self.string(&value, &format!("the comment `{}`", key.value));
            } else if !ROOT_KEYS.contains(&name.as_str()) {
                self.unknown_root_key(&key);
            } else if let Some(first) = parts.get(&name) {
                let error =
                    Diagnostic::error(code::JSON_DUPLICATE, format!("`{name}` stands twice"));
                let error = error.at(key.span).because("again here; case does not matter");
                self.diagnostics.push(error.label(first.span, "this is the first one"));
            } else {
                parts.insert(name, value);
            }
        }
        let mut take = |key: &str| parts.shift_remove(key).filter(|v| v.kind != Kind::Null);
        let (comments, push) = (take("comments"), take("push"));
        for comment in self.list(comments, "`comments`") {
            for Member { value, .. } in self.object(comment, "a comment").unwrap_or_default() {
                self.string(&value, "a comment");
            }
        }
        if let Some(push) = push {
            let warning = Diagnostic::warning(code::JSON_ROOT_KEY, "`push` has no effect");
            let warning = warning.at(push.span).because("the service that it was for is gone");
            self.diagnostics.push(warning.help("remove it"));
            self.object(push, "`push`");
        }
        parts
    }

    fn unknown_root_key(&mut self, key: &Spanned<String>) {
        let summary = format!("a template has no key `{}`", key.value);
        let error = Diagnostic::error(code::JSON_ROOT_KEY, summary).at(key.span);
        let name = key.value.to_lowercase();
        self.diagnostics.push(match did_you_mean(&name, ROOT_KEYS.iter().copied()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if HCL_BLOCKS.contains(&name.as_str()) => {
                error.help("an HCL2 template in JSON is named *.pkr.json")
            }
            None => error.help(format!("a comment's key begins with `_`: `_{}`", key.value)),
        });
    }

    fn builders(&mut self, value: Option<Value>) -> Vec<Source> {
        let mut sources: Vec<Source> = Vec::new();
        let mut names: HashMap<String, Span> = HashMap::new();
        for (index, item) in self.list(value, "`builders`").into_iter().enumerate() {
            let what = format!("builder {}", index + 1);
            let Some(mut block) = self.component(item, &what) else { continue };
            let name = match block.body.attributes.shift_remove("name") {
                None => block.kind.clone(),
                Some(name) => match name.value.kind {
                    ExprKind::String(text) | ExprKind::Number(text) if !text.is_empty() => {
                        Spanned::new(text, name.value.span)
                    }
                    ExprKind::String(_) | ExprKind::Null => block.kind.clone(),
                    _ => {
                        self.shape(name.value.span, format!("the name of {what} must be a string"));
                        continue;
                    }
                },
            };
            let first = *names.entry(name.value.clone()).or_insert(name.span);
            if first != name.span {
                self.same_name(&name, first);
            }
            sources.push(Source { kind: block.kind, name, body: block.body });
        }
        sources
    }

    fn same_name(&mut self, name: &Spanned<String>, first: Span) {
        let summary = format!("two builders are named `{}`", name.value);
        let error = Diagnostic::error(code::DUPLICATE, summary).at(name.span);
        self.diagnostics.push(
            error.because("the second one").label(first, "the first one").help(
                "give one of them another `name`; without one, a builder has its type's name",
            ),
        );
    }

    fn provisioners(&mut self, value: Option<Value>) -> Vec<ComponentBlock> {
        let items = self.list(value, "`provisioners`").into_iter().enumerate();
        let mut component =
            |(index, item)| self.component(item, &format!("provisioner {}", index + 1));
        items.filter_map(&mut component).collect()
    }

    /// Each item is a chain: a type, an object, or a list of these.
    fn post_processors(&mut self, value: Option<Value>) -> Vec<Vec<ComponentBlock>> {
        let mut chains = Vec::new();
        for (index, item) in self.list(value, "`post-processors`").into_iter().enumerate() {
            let index = index + 1;
            let items = match item.kind {
                Kind::Array(items) => items,
                _ => vec![item],
            };
            let chain: Vec<_> = items
                .into_iter()
                .enumerate()
                .filter_map(|(inner, item)| self.post_processor(item, index, inner + 1))
                .collect();
            if !chain.is_empty() {
                chains.push(chain);
            }
        }
        chains
    }

    fn post_processor(
        &mut self,
        value: Value,
        index: usize,
        inner: usize,
    ) -> Option<ComponentBlock> {
        let what = format!("post-processor {index}.{inner}");
        match value.kind {
            Kind::String(kind) => Some(ComponentBlock {
                kind: Spanned::new(kind, value.span),
                body: Body::empty(value.span, Syntax::Legacy),
            }),
            Kind::Array(_) => {
                let summary = format!("{what} is a list inside of a list");
                let error = self.shape_error(value.span, summary);
                self.diagnostics.push(error.help("a chain holds post-processors, not chains"));
                None
            }
            _ => {
                let block = self.component(value, &what)?;
                self.check_strictly(&block.body, &what);
                Some(block)
            }
        }
    }

    /// What every post-processor has is not weakly typed, as all other options are.
    fn check_strictly(&mut self, body: &Body, what: &str) {
        for (name, fits, wanted) in STRICT {
            let Some(Attribute { value, .. }) = body.attributes.get(*name) else { continue };
            if !matches!(value.kind, ExprKind::Null) && !fits(&value.kind) {
                let summary = format!("the `{name}` of {what} must be {wanted}");
                let error = self.shape_error(value.span, summary);
                self.diagnostics.push(error.because("nothing is converted here"));
            }
        }
    }

    /// An object with a `type`. All its other keys are left to the plan.
    fn component(&mut self, value: Value, what: &str) -> Option<ComponentBlock> {
        let span = value.span;
        let mut attributes = IndexMap::new();
        let mut kind = None;
        for Member { key, value } in self.object(value, what)? {
            if key.value == "type" {
                kind = Some(self.string(&value, &format!("the `type` of {what}"))?);
            } else {
                let attribute = Attribute { name: key.span, value: value.into_expr() };
                // A duplicate has been said.
                attributes.entry(key.value).or_insert(attribute);
            }
        }
        let Some(kind) = kind.filter(|kind| !kind.value.is_empty()) else {
            let open = Span::new(span.file, span.start as usize, span.start as usize + 1);
            let error = self.shape_error(open, format!("{what} lacks its `type`"));
            self.diagnostics.push(error.because("in this object").help("add `\"type\": \"…\"`"));
            return None;
        };
        Some(ComponentBlock {
            kind,
            body: Body { attributes, ..Body::empty(span, Syntax::Legacy) },
        })
    }

    fn variables(&mut self, value: Option<Value>) -> Vec<Variable> {
        let Some(value) = value else { return Vec::new() };
        let mut variables = Vec::new();
        for Member { key: name, value } in self.object(value, "`variables`").unwrap_or_default() {
            let default = match value.kind {
                Kind::Null => None,
                Kind::String(_) => Some(value.into_expr()),
                Kind::Bool(_) | Kind::Number(_) => {
                    let summary = format!("the variable `{}` must be a string", name.value);
                    let error = self.shape_error(value.span, summary);
                    self.diagnostics.push(error.help("write the value in double quotes"));
                    continue;
                }
                _ => {
                    let summary = format!("the variable `{}` must be a string", name.value);
                    let error = self.shape_error(value.span, summary);
                    self.diagnostics.push(error.because(format!("this is {}", value.kind_name())));
                    continue;
                }
            };
            variables.push(Variable {
                name,
                type_expr: None,
                default,
                description: None,
                sensitive: false,
                validations: Vec::new(),
            });
        }
        variables
    }

    /// Marks the variables that are named; a name that is no variable is of no consequence.
    fn sensitive(&mut self, names: Option<Value>, variables: &mut [Variable]) {
        for value in self.list(names, "`sensitive-variables`") {
            let Some(name) = self.string(&value, "an item of `sensitive-variables`") else {
                continue;
            };
            for variable in variables.iter_mut().filter(|v| v.name.value == name.value) {
                variable.sensitive = true;
            }
        }
    }

    /// The least version, as the constraint that HCL2 would write.
    fn version(&mut self, value: &Value) -> Option<Spanned<String>> {
        let version = self.string(value, "`min_packer_version`")?;
        if version.value.is_empty() {
            return None;
        }
        Some(Spanned::new(format!(">= {}", version.value), version.span))
    }

    fn list(&mut self, value: Option<Value>, what: &str) -> Vec<Value> {
        match value {
            None => Vec::new(),
            Some(Value { kind: Kind::Array(items), .. }) => items,
            Some(other) => {
                let error = self.shape_error(other.span, format!("{what} must be a list"));
                let error = error.because(format!("this is {}", other.kind_name()));
                self.diagnostics.push(error.help("write it in brackets: [ … ]"));
                Vec::new()
            }
        }
    }

    fn object(&mut self, value: Value, what: &str) -> Option<Vec<Member>> {
        match value.kind {
            Kind::Object(members) => Some(members),
            _ => {
                let error = self.shape_error(value.span, format!("{what} must be an object"));
                self.diagnostics.push(error.because(format!("this is {}", value.kind_name())));
                None
            }
        }
    }

    fn string(&mut self, value: &Value, what: &str) -> Option<Spanned<String>> {
        match &value.kind {
            Kind::String(text) => Some(Spanned::new(text.clone(), value.span)),
            _ => {
                let error = self.shape_error(value.span, format!("{what} must be a string"));
                self.diagnostics.push(error.because(format!("this is {}", value.kind_name())));
                None
            }
        }
    }

    fn shape(&mut self, span: Span, summary: String) {
        let error = self.shape_error(span, summary);
        self.diagnostics.push(error);
    }

    fn shape_error(&self, span: Span, summary: String) -> Diagnostic {
        Diagnostic::error(code::JSON_SHAPE, summary).at(span)
    }
}

fn source_use(source: &Source) -> SourceUse {
    SourceUse {
        kind: source.kind.clone(),
        name: source.name.clone(),
        local_name: None,
        extra: None,
    }
}
