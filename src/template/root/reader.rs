//! Checks that all blocks share: known names, labels, literals, definitions that are unique.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::source::{Span, Spanned};
use crate::template::ast::{Attribute, Block, Body, ExprKind};
use crate::template::hcl::is_identifier;
use crate::template::load::Reading;

/// A kind of block and the names of its labels.
pub(in crate::template) struct BlockShape {
    pub kind: &'static str,
    pub labels: &'static [&'static str],
}

impl BlockShape {
    pub const fn new(kind: &'static str, labels: &'static [&'static str]) -> Self {
        Self { kind, labels }
    }
}

/// What has been defined and said so far, over all files of a template.
#[derive(Default)]
pub(super) struct Reader {
    pub diagnostics: Diagnostics,
    /// Whether parts of the texts could not be read: then nothing can be said to be missing.
    incomplete: bool,
    reading: Reading,
    /// Whether errors are warnings here.
    lenient: bool,
    defined: HashMap<(&'static str, String), Span>,
}

impl Reader {
    pub fn new(incomplete: bool, reading: Reading) -> Self {
        Self { incomplete, reading, ..Self::default() }
    }

    pub fn say(&mut self, diagnostic: Diagnostic) {
        let diagnostic = if self.lenient { diagnostic.into_warning() } else { diagnostic };
        self.diagnostics.push(diagnostic);
    }

    /// Reads a part that only those need who build.
    pub fn as_far_as_needed<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        self.lenient = self.reading == Reading::Loose;
        let result = read(self);
        self.lenient = false;
        result
    }

    /// Says and takes out of `body` what `place` does not have.
    pub fn check(
        &mut self,
        body: &mut Body,
        place: &str,
        arguments: &[&str],
        blocks: &[BlockShape],
    ) {
        let unset: Vec<&str> =
            arguments.iter().copied().filter(|name| !body.attributes.contains_key(*name)).collect();
        let all_blocks = blocks.iter().map(|shape| shape.kind);
        let unknown = |name: &String, _: &mut Attribute| !arguments.contains(&name.as_str());
        for (name, attribute) in body.attributes.extract_if(.., unknown) {
            let summary = format!("{place} has no argument `{name}`");
            let mut error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(attribute.name);
            if let Some(near) = did_you_mean(&name, unset.iter().copied()) {
                error = error.help(format!("did you mean `{near}`?"));
            } else if all_blocks.clone().any(|kind| kind == name) {
                error = error.help(format!("`{name}` is a block: write `{name} {{ … }}`"));
            }
            self.say(error);
        }
        let known = std::mem::take(&mut body.blocks);
        body.blocks = known
            .into_iter()
            .filter(|block| self.check_block(block, place, arguments, blocks))
            .collect();
    }

    fn check_block(
        &mut self,
        block: &Block,
        place: &str,
        arguments: &[&str],
        blocks: &[BlockShape],
    ) -> bool {
        let kind = block.kind.value.as_str();
        if let Some(shape) = blocks.iter().find(|shape| shape.kind == kind) {
            return self.check_labels(block, shape);
        }
        let summary = format!("{place} has no block `{kind}`");
        let mut error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(block.kind.span);
        if let Some(near) = did_you_mean(kind, blocks.iter().map(|shape| shape.kind)) {
            error = error.help(format!("did you mean `{near}`?"));
        } else if arguments.contains(&kind) {
            error = error.help(format!("`{kind}` is an argument: write `{kind} = …`"));
        }
        self.say(error);
        false
    }

    fn check_labels(&mut self, block: &Block, shape: &BlockShape) -> bool {
        let kind = shape.kind;
        let usage = || {
            let labels: String = shape.labels.iter().map(|name| format!("\"{name}\" ")).collect();
            format!("write `{kind} {labels}{{ … }}`")
        };
        if let Some(missing) = shape.labels.get(block.labels.len()) {
            let summary = format!("a `{kind}` block lacks its {missing}");
            let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(block.span);
            self.say(error.help(usage()));
        } else if let Some(extra) = block.labels.get(shape.labels.len()) {
            let count = match shape.labels {
                [] => "no label".to_owned(),
                [one] => format!("only one label, its {one}"),
                labels => format!("only {} labels: {}", labels.len(), labels.join(", ")),
            };
            let summary = format!("a `{kind}` block has {count}");
            let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(extra.span);
            self.say(error.because("one label too many").help(usage()));
        } else {
            return true;
        }
        false
    }

    /// Says and takes out all blocks of `body`.
    pub fn no_blocks(&mut self, body: &mut Body, place: &str) {
        for block in std::mem::take(&mut body.blocks) {
            let kind = &block.kind.value;
            let summary = format!("{place} holds no blocks");
            let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(block.kind.span);
            self.say(error.help(format!("for an object, write `{kind} = {{ … }}`")));
        }
    }

    /// Says where `block`, which is `dynamic "KIND"`, makes none of `blocks`.
    pub fn dynamic(&mut self, block: &Block, blocks: &[BlockShape]) {
        let Some(kind) = block.labels.first() else { return };
        let mut kinds = blocks.iter().map(|shape| shape.kind).filter(|kind| *kind != "dynamic");
        if kinds.clone().any(|known| known == kind.value) {
            return;
        }
        let summary = format!("`dynamic` can make no `{}` block here", kind.value);
        let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(kind.span);
        self.say(match did_you_mean(&kind.value, kinds.by_ref()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        });
    }

    /// Takes a block that `place` has only once; a second one is said.
    pub fn only_one(&mut self, first: &mut Option<Block>, block: Block, place: &str) {
        let Some(first) = first else {
            *first = Some(block);
            return;
        };
        let summary = format!("{place} has only one `{}`", block.kind.value);
        let error = Diagnostic::error(code::DUPLICATE, summary).at(block.span);
        self.say(error.because("a second one").label(first.span, "the first one"));
    }

    pub fn missing(&mut self, span: Span, argument: &str, what: &str) {
        if self.incomplete {
            return;
        }
        let summary = format!("the argument `{argument}` is missing");
        let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(span);
        self.say(error.help(format!("add `{argument} = …`: {what}")));
    }

    /// Takes the definition of a name; a second one of the same name is said.
    pub fn define(&mut self, what: &'static str, name: &str, span: Span) {
        let first = *self.defined.entry((what, name.to_owned())).or_insert(span);
        if first != span {
            let summary = format!("the {what} `{name}` is defined twice");
            let error = Diagnostic::error(code::DUPLICATE, summary).at(span);
            let error = error.because("defined again here").label(first, "defined here first");
            let error = error.help(match first.file == span.file {
                true => "remove or rename one of the two",
                false => "remove or rename one of the two; or, where each file of the directory is a template of its own, give a pattern like `images/*.pkr.hcl` in place of the directory",
            });
            let is_forgiven = self.reading == Reading::Loose && first.file != span.file;
            self.say(if is_forgiven { error.into_warning() } else { error });
        }
    }

    /// [`define`](Self::define) for a block whose labels are a type and a name.
    pub fn define_pair(&mut self, block: &Block, what: &'static str) {
        if let [kind, name] = block.labels.as_slice() {
            self.identifier(kind, "a type");
            self.identifier(name, &format!("a {what}"));
            self.define(what, &format!("{}.{}", kind.value, name.value), block.span);
        }
    }

    /// Says where a name cannot be written in a reference.
    pub fn identifier(&mut self, name: &Spanned<String>, what: &str) -> bool {
        let valid = is_identifier(&name.value);
        if !valid {
            let summary = format!("`{}` cannot be the name of {what}", name.value);
            let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(name.span);
            self.say(
                error.because("a name has letters, digits, `_` and `-`, and begins with a letter"),
            );
        }
        valid
    }

    /// Takes an argument that must be written out, not computed. Numbers and booleans are read as
    /// their text, as HCL does where a string is wanted.
    pub fn take_string(&mut self, body: &mut Body, name: &str) -> Option<Spanned<String>> {
        let value = body.attributes.shift_remove(name)?.value;
        let text = match value.kind {
            ExprKind::String(text) | ExprKind::Number(text) => text,
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::Null => return None,
            _ => {
                self.not_literal(value.span, name, "a string");
                return None;
            }
        };
        Some(Spanned::new(text, value.span))
    }

    /// Takes an argument that must be `true` or `false`.
    pub fn take_bool(&mut self, body: &mut Body, name: &str) -> Option<bool> {
        let value = body.attributes.shift_remove(name)?.value;
        match &value.kind {
            ExprKind::Bool(value) => return Some(*value),
            ExprKind::String(text) if text == "true" => return Some(true),
            ExprKind::String(text) if text == "false" => return Some(false),
            ExprKind::Null => {}
            _ => self.not_literal(value.span, name, "`true` or `false`"),
        }
        None
    }

    pub fn not_literal(&mut self, span: Span, name: &str, what: &str) {
        let summary = format!("`{name}` must be {what}, written out");
        let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(span);
        self.say(error.because("variables and functions cannot be used here"));
    }
}
