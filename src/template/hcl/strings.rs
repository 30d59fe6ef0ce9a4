//! `hcl-edit`'s string templates → ours: strip markers and the indentation of `<<-` eat white space.
//!
//! HCL does both on the row of pieces that a template is written as, whatever directives make of it.

use std::ops::Range;

use hcl_edit::Decorated;
use hcl_edit::Ident;
use hcl_edit::template::{
    Directive, Element, ForDirective, HeredocTemplate, IfDirective, Strip, Template,
};

use super::lower::Lowering;
use crate::template::ast::{Expr, ExprKind, TemplatePart};

/// A piece of a template.
enum Piece {
    /// Text of the literal with this number; it ends with its line at the latest.
    Text(usize, String),
    /// `${ … }` or `%{ … }`, and whether it eats the white space before and after it.
    Sequence(Strip),
}

/// How the text of a literal becomes pieces.
type Cut<'c> = &'c dyn Fn(&hcl_edit::Spanned<String>) -> Vec<String>;

impl Lowering<'_> {
    /// `"…"`.
    pub fn quoted(&mut self, template: &Template) -> ExprKind {
        // Inside of directives, `hcl-edit` leaves escapes as they are.
        let pieces = pieces(template, &|literal| vec![unescape(&self.text[self.range(literal)])]);
        self.template(template, pieces)
    }

    /// `<<EOF` or `<<-EOF`, which reaches over `range`.
    pub fn heredoc(&mut self, heredoc: &HeredocTemplate, range: &Range<usize>) -> ExprKind {
        let mut pieces = self.lines(&heredoc.template);
        if self.text[range.start..].starts_with("<<-") {
            remove_indentation(&mut pieces);
        }
        self.template(&heredoc.template, pieces)
    }

    /// The whole text.
    pub fn bare_template(&mut self, template: &Template) -> Expr {
        let pieces = self.lines(template);
        Expr { kind: self.template(template, pieces), span: self.whole() }
    }

    /// The pieces of a template without quotes: no escapes but `$${` and `%%{`.
    fn lines(&self, template: &Template) -> Vec<Piece> {
        let unescaped = |line: &str| line.replace("$${", "${").replace("%%{", "%{");
        pieces(template, &|literal| {
            self.text[self.range(literal)].split_inclusive('\n').map(unescaped).collect()
        })
    }

    fn template(&mut self, template: &Template, pieces: Vec<Piece>) -> ExprKind {
        let mut texts: Vec<String> = Vec::new();
        for piece in pieces {
            if let Piece::Text(literal, text) = piece {
                texts.resize_with(texts.len().max(literal + 1), String::new);
                texts[literal] += &text;
            }
        }
        let mut parts = self.parts(template, &mut texts.into_iter());
        match parts.as_mut_slice() {
            [] => ExprKind::String(String::new()),
            [TemplatePart::Text(text)] => ExprKind::String(std::mem::take(text)),
            _ => ExprKind::Template(parts),
        }
    }

    /// The parts of a template, with the texts that are left of its literals.
    fn parts(
        &mut self,
        template: &Template,
        texts: &mut std::vec::IntoIter<String>,
    ) -> Vec<TemplatePart> {
        let mut parts = Vec::new();
        for element in template {
            match element {
                Element::Literal(_) => {
                    let text = texts.next().filter(|text| !text.is_empty());
                    parts.extend(text.map(TemplatePart::Text));
                }
                Element::Interpolation(of) => {
                    parts.push(TemplatePart::Interpolation(self.expression(&of.expr)));
                }
                Element::Directive(directive) => parts.push(match directive.as_ref() {
                    Directive::If(directive) => self.if_part(directive, texts),
                    Directive::For(directive) => self.for_part(directive, texts),
                }),
            }
        }
        parts
    }

    fn if_part(
        &mut self,
        directive: &IfDirective,
        texts: &mut std::vec::IntoIter<String>,
    ) -> TemplatePart {
        let no = directive.else_expr.as_ref();
        TemplatePart::If {
            condition: self.expression(&directive.if_expr.cond_expr),
            yes: self.parts(&directive.if_expr.template, texts),
            no: no.map(|no| self.parts(&no.template, texts)).unwrap_or_default(),
            span: self.place(directive),
        }
    }

    fn for_part(
        &mut self,
        directive: &ForDirective,
        texts: &mut std::vec::IntoIter<String>,
    ) -> TemplatePart {
        let name = |name: &Decorated<Ident>| name.as_str().to_owned();
        let of = &directive.for_expr;
        TemplatePart::For {
            key: of.key_var.as_ref().map(name),
            value: name(&of.value_var),
            collection: self.expression(&of.collection_expr),
            body: self.parts(&of.template, texts),
            span: self.place(directive),
        }
    }
}

/// The row of pieces that a template is written as, after strip markers.
fn pieces(template: &Template, cut: Cut<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    flatten(template, cut, &mut 0, &mut pieces);
    for at in 0..pieces.len() {
        let Piece::Sequence(strip) = pieces[at] else {
            continue;
        };
        if matches!(strip, Strip::Start | Strip::Both)
            && let Some(Piece::Text(_, before)) = at.checked_sub(1).map(|at| &mut pieces[at])
        {
            before.truncate(before.trim_end().len());
        }
        if matches!(strip, Strip::End | Strip::Both)
            && let Some(Piece::Text(_, after)) = pieces.get_mut(at + 1)
        {
            *after = after.trim_start().to_owned();
        }
    }
    pieces
}

fn flatten(template: &Template, cut: Cut<'_>, literals: &mut usize, pieces: &mut Vec<Piece>) {
    for element in template {
        match element {
            Element::Literal(literal) => {
                pieces.extend(cut(literal).into_iter().map(|text| Piece::Text(*literals, text)));
                *literals += 1;
            }
            Element::Interpolation(of) => pieces.push(Piece::Sequence(of.strip)),
            Element::Directive(directive) => match directive.as_ref() {
                Directive::If(of) => {
                    pieces.push(Piece::Sequence(of.if_expr.strip));
                    flatten(&of.if_expr.template, cut, literals, pieces);
                    if let Some(no) = &of.else_expr {
                        pieces.push(Piece::Sequence(no.strip));
                        flatten(&no.template, cut, literals, pieces);
                    }
                    pieces.push(Piece::Sequence(of.endif_expr.strip));
                }
                Directive::For(of) => {
                    pieces.push(Piece::Sequence(of.for_expr.strip));
                    flatten(&of.for_expr.template, cut, literals, pieces);
                    pieces.push(Piece::Sequence(of.endfor_expr.strip));
                }
            },
        }
    }
}

/// The text that a piece of a quoted string stands for; its escapes are right.
fn unescape(literal: &str) -> String {
    let mut text = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(at) = rest.find(['\\', '$', '%']) {
        text.push_str(&rest[..at]);
        let (character, length) = match &rest.as_bytes()[at..] {
            [b'\\', b'n', ..] => ('\n', 2),
            [b'\\', b'r', ..] => ('\r', 2),
            [b'\\', b't', ..] => ('\t', 2),
            [b'\\', b'u', ..] => (unicode(&rest[at + 2..], 4), 6),
            [b'\\', b'U', ..] => (unicode(&rest[at + 2..], 8), 10),
            [b'\\', escaped, ..] => (char::from(*escaped), 2),
            [sign @ b'$', b'$', b'{', ..] | [sign @ b'%', b'%', b'{', ..] => {
                text.push(char::from(*sign));
                ('{', 3)
            }
            _ => (char::from(rest.as_bytes()[at]), 1),
        };
        text.push(character);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    text + rest
}

/// The character of these hex digits, which are known to be one.
fn unicode(text: &str, digits: usize) -> char {
    let code = text.get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Takes from every line of a `<<-` heredoc the white space that all of them begin with. A line that
/// begins with a sequence has none; a blank line does not count.
fn remove_indentation(pieces: &mut [Piece]) {
    let mut line_begins = true;
    let mut first_pieces = Vec::new();
    let mut indentation = usize::MAX;
    for (index, piece) in pieces.iter().enumerate() {
        let text = match piece {
            Piece::Text(_, text) if text.is_empty() => continue,
            Piece::Text(_, text) => text.as_str(),
            Piece::Sequence(_) => "",
        };
        let own = text.chars().take_while(|c| c.is_whitespace()).count();
        let blank = text.ends_with('\n') && text.trim_start().is_empty();
        if line_begins && !blank {
            indentation = indentation.min(own);
            first_pieces.push(index);
        }
        line_begins = text.ends_with('\n');
    }
    for index in first_pieces {
        if let Piece::Text(_, text) = &mut pieces[index] {
            *text = text.chars().skip(indentation).collect();
        }
    }
}
