use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::template::ast::{ExprKind, TemplatePart};

fn body(text: &str) -> (Body, Vec<String>) {
    let mut sources = SourceMap::default();
    let file = sources.add("t.pkr.hcl", text);
    let (body, diagnostics) = parse_file(file, &sources);
    let said = |diagnostic: &crate::diagnostic::Diagnostic| {
        let at = sources.position(diagnostic.span.expect("every mistake has a place"));
        format!("{}:{} {}", at.line, at.column, diagnostic.summary)
    };
    (body, diagnostics.0.iter().map(said).collect())
}

/// The mistakes of `value` as an argument's value in the second line of a block, at column 8.
fn mistakes(value: &str) -> Vec<String> {
    body(&format!("locals {{\n  a = {value}\n}}\n")).1
}

/// The tree of an expression, written so that its shape can be seen.
fn shape(text: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("expr", text);
    let expr = parse_expression(text, Origin::File(file, 0), sources.budget()).expect(text);
    let mut written = String::new();
    write_expr(&expr, &mut written);
    written
}

fn write_expr(expr: &Expr, to: &mut String) {
    let mut node = |name: &str, parts: &[&Expr]| {
        *to += name;
        to.push('(');
        for (at, part) in parts.iter().enumerate() {
            *to += if at > 0 { " " } else { "" };
            write_expr(part, to);
        }
        to.push(')');
    };
    match &expr.kind {
        ExprKind::Null => *to += "null",
        ExprKind::Bool(value) => *to += &value.to_string(),
        ExprKind::Number(text) => *to += text,
        ExprKind::String(text) => write!(to, "{text:?}").unwrap(),
        ExprKind::Variable(name) => *to += name,
        ExprKind::SplatItem => to.push('_'),
        ExprKind::List(items) => node("list", &items.iter().collect::<Vec<_>>()),
        ExprKind::Object(entries) => {
            node("object", &entries.iter().flat_map(|(k, v)| [k, v]).collect::<Vec<_>>());
        }
        ExprKind::GetAttr { of, name } => node(&format!(".{}", name.value), &[of]),
        ExprKind::Index { of, key } => node("index", &[of, key]),
        ExprKind::Splat { of, each } => node("splat", &[of, each]),
        ExprKind::Call { name, args, expand } => {
            let name = format!("{}{}", name.value, if *expand { "..." } else { "" });
            node(&name, &args.iter().collect::<Vec<_>>());
        }
        ExprKind::Conditional { condition, yes, no } => node("?", &[condition, yes, no]),
        ExprKind::Unary { operator, operand } => node(&format!("{operator:?}"), &[operand]),
        ExprKind::Binary { operator, left, right } => {
            node(&format!("{operator:?}"), &[left, right])
        }
        ExprKind::For(of) => {
            let names = format!("for {:?},{} {}", of.key, of.value, of.grouped);
            let mut parts = vec![&of.collection];
            parts.extend(&of.result_key);
            parts.push(&of.result);
            parts.extend(&of.condition);
            node(&names, &parts);
        }
        ExprKind::Parenthesis(inner) => node("", &[inner]),
        ExprKind::Template(parts) => write_parts(parts, to),
        ExprKind::Made { .. } => unreachable!("no text says it"),
    }
}

fn write_parts(parts: &[TemplatePart], to: &mut String) {
    to.push('"');
    for part in parts {
        match part {
            TemplatePart::Text(text) => to.extend(text.escape_debug()),
            TemplatePart::Interpolation(expr) => {
                to.push('<');
                write_expr(expr, to);
                to.push('>');
            }
            TemplatePart::If { condition, yes, no, .. } => {
                *to += "<if ";
                write_expr(condition, to);
                write_parts(yes, to);
                write_parts(no, to);
                to.push('>');
            }
            TemplatePart::For { key, value, collection, body, .. } => {
                write!(to, "<for {key:?},{value} ").unwrap();
                write_expr(collection, to);
                write_parts(body, to);
                to.push('>');
            }
        }
    }
    to.push('"');
}

fn check(pairs: &[(&str, &str)]) {
    for (text, expected) in pairs {
        assert_eq!(shape(text), *expected, "{text}");
    }
}

#[test]
fn operators_bind_as_in_hcl() {
    check(&[
        ("1 + 2 * 3", "Add(1 Multiply(2 3))"),
        ("1 - 2 - 3", "Subtract(Subtract(1 2) 3)"),
        ("a || b && !c == d", "Or(a And(b Equal(Not(c) d)))"),
        ("-a.b + 1", "Add(Negate(.b(a)) 1)"),
        ("a ? b : c ? d : e", "?(a b ?(c d e))"),
        ("a >= 1 != b < 2", "NotEqual(GreaterOrEqual(a 1) Less(b 2))"),
        ("(1\n+\n2)", "(Add(1 2))"),
        ("1e400", "1e400"),
        ("0.10", "0.10"),
    ]);
}

#[test]
fn accesses_and_splats_reach_as_far_as_in_hcl() {
    check(&[
        ("a.b[0].c", ".c(index(.b(a) 0))"),
        ("a.0.b", ".b(index(a 0))"),
        ("a[*].b[0]", "splat(a index(.b(_) 0))"),
        ("a.*.b[0]", "index(splat(a .b(_)) 0)"),
        ("a.*.b.0", "splat(a index(.b(_) 0))"),
        ("a[\"k\"]", "index(a \"k\")"),
        ("f(a...)", "f...(a)"),
        ("f(\n  a,\n  b,\n)", "f(a b)"),
    ]);
}

#[test]
fn collections_and_for_are_read() {
    check(&[
        ("[1, # one\n 2,\n]", "list(1 2)"),
        ("{ a = 1, \"b\" : 2\n (c) = 3 }", "object(\"a\" 1 \"b\" 2 (c) 3)"),
        (
            "{ true = 1, root-device = 2, a = 3, a = 4 }",
            "object(\"true\" 1 \"root-device\" 2 \"a\" 3 \"a\" 4)",
        ),
        ("[for x in y : x if x > 1]", "for None,x false(y x Greater(x 1))"),
        ("{for k, v in y : k => v...}", "for Some(\"k\"),v true(y k v)"),
        ("format(\"x\")", "format(\"x\")"),
    ]);
}

#[test]
fn objects_in_lists_are_read() {
    check(&[(
        "[\n  { a = \"x\", b = 2, c = [\"db\", \"eu\"] },\n  { a = 1 }, # one\n]",
        "list(object(\"a\" \"x\" \"b\" 2 \"c\" list(\"db\" \"eu\")) object(\"a\" 1))",
    )]);
}

#[test]
fn strings_are_unescaped_and_templates_split() {
    check(&[
        (r#""a\n\t\"\\é\U0001F600""#, "\"a\\n\\t\\\"\\\\é😀\""),
        (r#""$${a} %%{b} $$ 100% $x""#, "\"${a} %{b} $$ 100% $x\""),
        (r#""${a}""#, "\"<a>\""),
        (r#""x${f("y")}z""#, "\"x<f(\"y\")>z\""),
        (r#""$$${a}""#, "\"$${a}\""),
        (r#""a ${~ b ~} c""#, "\"a<b>c\""),
        (r#""%{ if a }\\ \u00e9\"%%{b}%{ endif }""#, "\"<if a\"\\\\ é\\\"%{b}\"\"\">\""),
        (r#""%{ if a }x\n%{ else }y%{ endif }""#, "\"<if a\"x\\n\"\"y\">\""),
        (r#""%{ for k, v in m }${v}%{ endfor }""#, "\"<for Some(\"k\"),v m\"<v>\">\""),
    ]);
}

#[test]
fn heredocs_lose_their_indentation_as_in_hcl() {
    check(&[
        ("<<EOT\n  a \\n\"\nEOT\n", "\"  a \\\\n\\\"\\n\""),
        ("<<-EOT\n    four\n      six\n    four\n    EOT\n", "\"four\\n  six\\nfour\\n\""),
        ("<<-EOT\n  text\n\n    after\n  EOT\n", "\"text\\n\\n  after\\n\""),
        ("<<-EOT\n\ttab\n    spaces\nEOT\n", "\"tab\\n   spaces\\n\""),
        ("<<-EOT\n  start\n    ${~ a ~}\n  finish\n  EOT\n", "\"  start\\n<a>  finish\\n\""),
        ("<<-EOT\n  ${a}\n    rest\n  EOT\n", "\"<a>\\n  rest\\n\""),
        (
            "<<EOT\n%{ for h in x ~}\n${h}\n%{ endfor ~}\ndone\nEOT\n",
            "\"<for None,h x\"<h>\\n\">done\\n\"",
        ),
        ("<<EOT\nnot: EOT\n EOT2\nEOT\n", "\"not: EOT\\n EOT2\\n\""),
        ("f(<<EOT\nx\nEOT\n, 1)", "f(\"x\\n\" 1)"),
    ]);
}

#[test]
fn every_mistake_of_a_file_is_said_where_it_is() {
    let (body, said) = body(
        "a = [\n  1\n  2\n]\nb: 3\nc = 'x'\nsource \"null\" x y = {\n}\nd = \"open\nd = 1\n\
         block {\n  one = 1 }\nlast = 1\nlast = 2\n",
    );
    assert_eq!(
        said,
        [
            "3:3 a comma is missing between the items of a list",
            "5:1 an argument takes `=`, not `:`",
            "6:5 single quotes are not valid",
            "7:19 the block `source` lacks its `{`",
            "9:10 a string is not closed on its line",
            "12:11 a value is followed by something else",
            "14:1 the argument `last` is set twice",
        ]
    );
    assert!(body.attributes.contains_key("d") && body.attributes.contains_key("last"));
}

#[test]
fn mistakes_in_expressions_are_said_where_hcl_says_them() {
    for (value, expected) in [
        ("0x1F", "2:8 a value is followed by something else"),
        ("5.", "2:9 an attribute's name is missing after the dot"),
        ("[1, 2", "3:1 a list lacks its closing `]`"),
        ("true & false", "2:12 there are no operators on bits"),
        ("[for x in y x]", "2:19 a `for` lacks the `:` after its collection"),
        ("{for x in y : x}", "2:22 a `for` that makes an object needs a key"),
        ("a.*.*.b", "2:11 `.*` cannot stand inside of another `.*`"),
        ("x.0.1", "2:9 `.` and a fraction are no index"),
        ("{ a.b = 1 }", "2:9 a reference as an object's key is ambiguous"),
        ("\"${1 2}\"", "2:12 a `${ … }` lacks its closing `}`"),
        ("\"\\q\"", "2:8 this escape does not exist"),
        ("\"\\uD83D\"", "2:8 this escape is no character"),
        ("\"%{ if a }open\"", "2:8 this `if` is not ended"),
        ("\"%{ for x in y }%{ endif }\"", "2:22 an `endif` is not expected here"),
        ("max(a..., 5)", "2:17 a call with `...` lacks its closing `)`"),
    ] {
        assert!(
            mistakes(value).iter().any(|said| said_near(said, expected)),
            "{value}: {:?}",
            mistakes(value)
        );
    }
}

/// Whether the words are the expected ones; columns may differ by what stands before `value`.
fn said_near(said: &str, expected: &str) -> bool {
    said.split_once(' ').map(|(_, words)| words) == expected.split_once(' ').map(|(_, words)| words)
}

#[test]
fn what_is_no_token_is_said_wherever_it_stands() {
    assert_eq!(body("a = [1,\nb = \"x\n").1, ["2:7 a string is not closed on its line"]);
    assert_eq!(body("a = 1 2 'x'\n").1, ["1:9 single quotes are not valid"]);
    assert_eq!(body("a = 'x'\n").1, ["1:5 single quotes are not valid"]);
}

#[test]
fn an_unclosed_block_is_said_once() {
    assert_eq!(body("a {\n b {\n  c = 1\n").1, ["2:4 this block is not closed"]);
    assert_eq!(body("a {\n}\n}\n").1, ["3:1 this `}` closes nothing"]);
}

#[test]
fn what_is_easily_misread_is_read_as_hcl_does() {
    check(&[
        ("{ a = 1e400, b = 1e-400 }", "object(\"a\" 1e400 \"b\" 1e-400)"),
        ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
        ("- 1", "Negate(1)"),
        ("\"${1e400}\"", "\"<1e400>\""),
        ("{ a = 1, a = 2, \"a\" = 3 }", "object(\"a\" 1 \"a\" 2 \"a\" 3)"),
        ("[for x in\n a\n && b : # why\n x\n ? 1 : 2]", "for None,x false(And(a b) ?(x 1 2))"),
        ("{ a = [1] # one\n\n b = f(2)\n}", "object(\"a\" list(1) \"b\" f(2))"),
        ("<<E\nE) x\n  E2\nE\n", "\"E) x\\n  E2\\n\""),
        ("<<E\r\na\r\nE\r\n", "\"a\\r\\n\""),
        ("a::b(1)", "a::b(1)"),
        ("list.*.a.0[1].b", ".b(index(splat(list index(.a(_) 0)) 1))"),
        ("1 # one", "1"),
        ("a /* b */\n// c\n", "a"),
        ("\n <<E\nx\nE\n", "\"x\\n\""),
    ]);
}

#[test]
fn places_are_those_of_the_text() {
    let text = "é = { a = \"x\", a = - 1 } # é\nb {\n  c = var.d\n}\n";
    let (body, said) = body(text);
    assert!(said.is_empty(), "{said:?}");
    let at = |span: crate::source::Span| &text[span.start as usize..span.end as usize];
    let value = &body.attributes["é"].value;
    assert_eq!(at(value.span), "{ a = \"x\", a = - 1 }");
    let ExprKind::Object(entries) = &value.kind else { panic!("{value:?}") };
    assert_eq!(at(entries[1].0.span), "a");
    assert_eq!(at(entries[1].1.span), "- 1");
    let block = &body.blocks[0];
    assert_eq!(at(block.body.span), "{\n  c = var.d\n}");
    let ExprKind::GetAttr { name, .. } = &block.body.attributes["c"].value.kind else { panic!() };
    assert_eq!(at(name.span), ".d");
}

#[test]
fn a_mistake_hides_no_other_one() {
    let (body, said) = body(
        "a {\n  b = \"x\n  c = 'y'\n  d = 1\n}\ne = f(\"y\n  g = 2\nh = \"z${ 1 2 }\"\ni = 3\n",
    );
    assert_eq!(
        said,
        [
            "2:9 a string is not closed on its line",
            "3:7 single quotes are not valid",
            "6:9 a string is not closed on its line",
        ]
    );
    assert_eq!(body.blocks[0].body.attributes.len(), 1);
}

#[test]
fn a_large_text_is_read_in_linear_time_or_refused() {
    let some = |pattern: &str| pattern.repeat((1 << 19) / pattern.len());
    let much = |pattern: &str| pattern.repeat((4 << 20) / pattern.len());
    for (text, refused) in [
        (format!("a = <<E\n{}E\n", some("some text\n")), false),
        (format!("a = \"{}\"\n", some("some text ")), false),
        (format!("a = [{}]\n", much("1,")), true),
        (format!("a = {{{}}}\n", "k = 1,".repeat(30_000)), false),
        (much("/*"), true),
        (much("a b {}\n"), true),
        (much("\"a\n"), true),
    ] {
        let began = std::time::Instant::now();
        let (_, said) = body(&text);
        assert_eq!(!said.is_empty(), refused, "{} {:?}", &text[..20], said.first());
        assert!(began.elapsed().as_secs() < 60, "{}: {:?}", &text[..20], began.elapsed());
    }
}

#[test]
fn hostile_nesting_is_refused_not_obeyed() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}1", "-".repeat(100_000)),
        format!("a = {}", "(".repeat(100_000)),
        format!("a = {}", "{ b = ".repeat(100_000)),
        format!("a = {}1", "!".repeat(100_000)),
        format!("a = {}", "[for b in ".repeat(100_000)),
        format!("a = {}", "b ? c : ".repeat(100_000)),
        format!("a = {}", "b(".repeat(100_000)),
        format!("a = b{}", "[0]".repeat(100_000)),
        format!("a = {}", "\"${".repeat(100_000)),
        "a {\n".repeat(100_000),
        format!("a = 1{}", " + 1".repeat(100_000)),
        format!("a = b{}", ".c".repeat(100_000)),
        format!("a = \"{}\"", "%{ if x }".repeat(100_000)),
    ] {
        let (_, said) = body(&text);
        assert!(!said.is_empty(), "{}", &text[..40]);
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        text in "([a-c0-9\\[\\]{}()\"'$%~.,:=\n <>!&|*+?/#é\\\\-]|\\$\\{|%\\{|<<-?E\n|\nE\n|for |if |\\.\\.\\.|\" ){0,60}"
    ) {
        body(&text);
    }

    #[test]
    fn every_span_is_inside_of_the_text(text in "[a-c]{1,3} = [a-c0-9\\[\\]\"${}., é]{0,30}\n") {
        let (body, _) = body(&text);
        for attribute in body.attributes.values() {
            prop_assert!(attribute.value.span.end as usize <= text.len());
            prop_assert!(attribute.name.end <= attribute.value.span.start);
        }
    }
}
