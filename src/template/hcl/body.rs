//! Bodies: arguments and blocks, to the end of the text or of the block.

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::cursor::{Abandoned, Parsed, Parser};
use crate::diagnostic::{Diagnostic, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{Attribute, Block, Body};

impl Parser<'_> {
    /// The body of a whole file.
    pub fn file(&mut self) -> Body {
        self.eat("\u{feff}");
        let mut body = self.empty_body();
        loop {
            self.items(&mut body);
            if self.at_end() {
                body.span = self.span(0, self.at);
                return body;
            }
            let error = self.error_here("this `}` closes nothing");
            self.diagnostics.push(error.help("remove it, or add the block that it should end"));
            self.at += 1;
        }
    }

    fn empty_body(&self) -> Body {
        Body { attributes: IndexMap::new(), blocks: Vec::new(), span: self.span(self.at, self.at) }
    }

    /// Arguments and blocks up to a `}` or the end of the text. What cannot be read is said, and
    /// reading goes on behind it.
    fn items(&mut self, body: &mut Body) {
        loop {
            self.skip_lines();
            if self.at_end() || self.looking_at("}") {
                return;
            }
            let start = self.at;
            if self.item(body).and_then(|what| self.end_of_line(what)).is_err() {
                self.recover(start);
            }
        }
    }

    /// One argument or block; says which.
    fn item(&mut self, body: &mut Body) -> Parsed<&'static str> {
        let start = self.at;
        let Some(name) = self.name() else {
            return self.no_item();
        };
        let name = Spanned::new(name.to_owned(), self.span_from(start));
        self.skip_space();
        if self.looking_at("=") && !self.looking_at("==") {
            self.at += 1;
            self.argument(body, name)?;
            return Ok("an argument");
        }
        if self.looking_at(":") {
            let error = self.error_at(name.span, "an argument takes `=`, not `:`");
            self.diagnostics.push(error.help(format!("write `{} = …`", name.value)));
            self.at += 1;
            self.argument(body, name)?;
            return Ok("an argument");
        }
        let block = self.block(name)?;
        body.blocks.push(block);
        Ok("a block")
    }

    fn argument(&mut self, body: &mut Body, name: Spanned<String>) -> Parsed<()> {
        let value = self.expression()?;
        let attribute = Attribute { name: name.span, value };
        match body.attributes.entry(name.value) {
            Entry::Vacant(free) => {
                free.insert(attribute);
            }
            Entry::Occupied(first) => {
                let summary = format!("the argument `{}` is set twice", first.key());
                let error = Diagnostic::error(code::DUPLICATE, summary).at(name.span);
                let error =
                    error.because("set again here").label(first.get().name, "set here first");
                self.diagnostics.push(error.help("remove one of the two"));
            }
        }
        Ok(())
    }

    /// After a block's type: labels and the inside in braces.
    fn block(&mut self, kind: Spanned<String>) -> Parsed<Block> {
        let mut labels = Vec::new();
        loop {
            self.skip_space();
            let start = self.at;
            if let Some(label) = self.name() {
                labels.push(Spanned::new(label.to_owned(), self.span_from(start)));
            } else if self.looking_at("\"") {
                labels.push(self.label()?);
            } else if self.looking_at("{") {
                break;
            } else {
                return self.no_block(&kind, &labels);
            }
        }
        let span = labels.last().map_or(kind.span, |last| kind.span.to(last.span));
        let body = self.deeper(Self::braces)?;
        Ok(Block { kind, labels, body, span })
    }

    /// A quoted label: no `${ … }`.
    fn label(&mut self) -> Parsed<Spanned<String>> {
        let label = self.quoted()?;
        match label.kind {
            crate::template::ast::ExprKind::String(text) => Ok(Spanned::new(text, label.span)),
            _ => {
                let error = self.error_at(label.span, "a label cannot be computed");
                self.refuse(error.because("`${ … }` and `%{ … }` are not allowed in a label"))
            }
        }
    }

    /// `{ … }`, on several lines or with one argument on one line.
    fn braces(&mut self) -> Parsed<Body> {
        let open = self.at;
        self.at += 1;
        let mut body = self.empty_body();
        self.skip_space();
        if !self.at_line_end() && !self.looking_at("}") {
            self.single_line(&mut body)?;
        } else {
            self.items(&mut body);
        }
        if !self.eat("}") {
            return self.unclosed(open);
        }
        body.span = self.span_from(open);
        Ok(body)
    }

    fn single_line(&mut self, body: &mut Body) -> Parsed<()> {
        let start = self.at;
        let what = self.item(body)?;
        self.skip_space();
        if what == "an argument" && self.looking_at("}") {
            return Ok(());
        }
        let error = match what {
            "a block" => self.error(start, start + 1, "a block on one line cannot hold a block"),
            _ => self.error_here("a block on one line holds one argument only"),
        };
        self.refuse(error.help("put each argument and each brace on its own line"))
    }

    /// Says where the block was opened; only for the innermost, as the others lack their brace
    /// because of it.
    fn unclosed<T>(&mut self, open: usize) -> Parsed<T> {
        if !self.brace_is_missing {
            self.brace_is_missing = true;
            let error = self.error(open, open + 1, "this block is not closed");
            self.diagnostics.push(
                error
                    .because("no `}` for this `{` before the end of the file")
                    .help("braces may be wrong further inside of it"),
            );
        }
        Err(Abandoned)
    }

    fn end_of_line(&mut self, what: &str) -> Parsed<()> {
        self.skip_space();
        if self.at_line_end() {
            return Ok(());
        }
        if matches!(self.peek(), Some('=' | ',' | ';')) || what == "a block" {
            let found = self.found();
            let error = self.error_here(format!("{what} ends with its line"));
            return self.refuse(error.because(format!("expected a newline, found {found}")));
        }
        let found = self.found();
        let error = self.error_here("a value is followed by something else");
        let error = error.because(format!("expected a newline, found {found}"));
        self.refuse(error.help("a text belongs in quotes, a list in brackets"))
    }

    fn no_item<T>(&mut self) -> Parsed<T> {
        let found = self.found();
        let error = self.error_here("an argument or a block is expected here");
        let error = error.because(format!("expected a name, found {found}"));
        let error = match self.peek() {
            Some('"') => error.help("names of arguments are not quoted"),
            _ => error,
        };
        self.refuse(error)
    }

    fn no_block<T>(&mut self, kind: &Spanned<String>, labels: &[Spanned<String>]) -> Parsed<T> {
        let name = &kind.value;
        let found = self.found();
        if labels.is_empty() {
            let error = self.error_at(kind.span, format!("`{name}` is neither argument nor block"));
            return self.refuse(
                error.because(format!("expected `=` or `{{` after it, found {found}")).help(
                    format!("write `{name} = …` for an argument, `{name} {{ … }}` for a block"),
                ),
            );
        }
        let error = self.error_here(format!("the block `{name}` lacks its `{{`"));
        self.refuse(
            error
                .because(format!("expected `{{`, found {found}"))
                .help("the brace stands on the line of the block's name"),
        )
    }

    fn error_at(&self, span: Span, summary: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code::HCL_SYNTAX, summary).at(span)
    }
}
