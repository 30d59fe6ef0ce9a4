use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::format;
use crate::template::hcl::scan::scan;

/// Each pair is a text and its canonical style, as Packer writes it.
const PAIRS: &[(&str, &str)] = &[
    // Brackets that are opened together indent once.
    ("a = f({\nb = [\n1,\n]\n})\n", "a = f({\n  b = [\n    1,\n  ]\n})\n"),
    ("a = [1, [\n2, [\n3]],\n4]\nc = 1\n", "a = [1, [\n  2, [\n  3]],\n4]\nc = 1\n"),
    // Names align with their neighbours; an empty line and a value of several lines part them.
    ("a=1\nbcd=2\n\nlonger=3\n", "a   = 1\nbcd = 2\n\nlonger = 3\n"),
    ("a=1\nbcd=[\n2\n]\nef=3\n", "a = 1\nbcd = [\n  2\n]\nef = 3\n"),
    ("foo = <<EOT\nEOT\nb = 1\n", "foo = <<EOT\nEOT\nb   = 1\n"),
    // So do comments, in columns that a reader sees.
    ("a=1 # x\nbcd=\"日本\" // y\n", "a   = 1    # x\nbcd = \"日本\" // y\n"),
    ("a = {\n} # x\nb = [ # y\n1] # z\n", "a = {\n}     # x\nb = [ # y\n1]    # z\n"),
    ("a {\n /* x\n  y */ b=1\n}", "a {\n  /* x\n  y */ b = 1\n}"),
    // Blanks between tokens.
    ("a=-1+-b\nc=a -b\n", "a = -1 + -b\nc = a - b\n"),
    ("a=! b&&!c\n", "a = !b && !c\n"),
    ("a=[for x in[1]:x...]\n", "a = [for x in [1] : x...]\n"),
    ("a=n :: f ( 1 ,2 )[ 0 ] . c\n", "a = n::f(1, 2)[0].c\n"),
    ("a=\"${ {b=1} }${ c}%{if d ~}%{ endif }\"\n", "a = \"${ { b = 1 } }${c}%{if d~}%{endif}\"\n"),
    // What the style makes of these is odd, but it is the style.
    ("a=\"${-1}\"\n", "a = \"${- 1}\"\n"),
    ("a={for k,v in b:k=>-v}\n", "a = { for k, v in b : k => - v }\n"),
    // The end of the text stays as it is, a byte order mark goes.
    ("\u{feff}a=1  ", "a = 1  "),
    ("  \t\n\tb=1\r\n", "\nb = 1\r\n"),
];

#[test]
fn texts_get_the_style_of_the_usual_tool() {
    for (text, styled) in PAIRS {
        assert_eq!(format(text), *styled, "{text:?}");
    }
}

#[test]
fn two_tokens_never_become_one() {
    assert_eq!(format("a = b . 0 . 1\n"), "a = b . 0 . 1\n");
    assert_eq!(format("a = !  = 1\n"), "a = ! = 1\n");
}

fn tokens(text: &str) -> Vec<String> {
    scan(text).map(|token| format!("{:?} {}", token.kind, &text[token.start..token.end])).collect()
}

/// What the style promises of any text.
fn keeps_its_promises(text: &str) -> Result<(), TestCaseError> {
    let styled = format(text);
    prop_assert_eq!(tokens(&styled), tokens(text));
    prop_assert_eq!(format(&styled), styled);
    Ok(())
}

const WORDS: &str = r#"a in for é 1 2.5 . .. ... - ! = == => + * / < << && ? : :: , [ ] ( ) { } " ${ %{~ } ~} "x" "${ \ $ ~ ' /*e*/ 👩‍👧"#;
const BREAKS: &[&str] =
    &["<<E\n", "<<-E\n", " E\n", "\n", "\r\n", "\r", "# c\n", "// d\n", "/*\n*/", "\u{301}"];

/// Words and signs in any order.
fn soup() -> impl Strategy<Value = String> {
    let words: Vec<&str> = WORDS.split(' ').chain(BREAKS.iter().copied()).collect();
    vec((select(words), "[ \t]{0,2}"), 0..30).prop_map(|words| {
        words.into_iter().map(|(word, blanks)| word.to_owned() + &blanks).collect()
    })
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = select(&["a", "var.b", "1", "-2.5e3", "\"c\"", "\"é ${d}\"", "null", "[]", "{}"]);
    let blanks = "( |  |\t| /\\* x \\*/ )?";
    leaf.prop_map(str::to_owned).prop_recursive(4, 32, 4, move |inner| {
        let operator = select(&["+", "-", "*", "==", "&&", "<="]);
        let breaks = select(&["", " ", "\n", " # y\n", "\n\n"]);
        prop_oneof![
            (inner.clone(), blanks, operator, blanks, inner.clone())
                .prop_map(|(a, x, sign, y, b)| format!("{a}{x}{sign}{y}{b}")),
            (breaks.clone(), vec(inner.clone(), 1..4), breaks.clone())
                .prop_map(|(x, items, y)| format!("[{x}{}{y}]", items.join(&format!(",{x}")))),
            (breaks, vec(inner.clone(), 1..4), blanks).prop_map(|(x, items, y)| {
                let entries = items.iter().enumerate();
                let entries: Vec<String> = entries.map(|(i, a)| format!("k{i}{y}={a}")).collect();
                format!("{{{x}{}\n}}", entries.join("\n"))
            }),
            (inner.clone(), blanks).prop_map(|(a, x)| format!("f{x}({x}{a}{x}).g")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[for i in {a}: {b}]")),
            (inner.clone(), blanks)
                .prop_map(|(a, x)| format!("\"x${{{x}{a}{x}}}%{{if {a}}}y%{{endif}}\"")),
            inner.prop_map(|a| format!("<<-EOT\n  one ${{ {a} }}\n two\n  EOT\n")),
        ]
    })
}

/// A body that keeps to the grammar, its blanks aside.
fn body() -> impl Strategy<Value = String> {
    let argument = ("[a-z_]{1,9}", "[ \t]{0,3}", expression(), "(  # c| // d)?").prop_map(
        |(name, blanks, value, comment)| format!("{blanks}{name}{blanks}={value}{comment}\n"),
    );
    let line = prop_oneof![4 => argument, 1 => "[ \t]{0,2}(# [a-z]{3})?\r?\n"];
    vec(line, 0..6).prop_map(|lines| lines.concat()).prop_recursive(3, 24, 3, |inner| {
        (inner.clone(), "[ \t]{0,2}", inner).prop_map(|(a, blanks, b)| {
            format!("{a}{blanks}source  \"a\"{blanks}\"b\"{blanks}{{\n{b}{blanks}}}\n")
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_keeps_its_tokens_and_is_done_after_one_pass(text in soup()) {
        keeps_its_promises(&text)?;
    }

    #[test]
    fn any_template_keeps_its_tokens_and_is_done_after_one_pass(text in body()) {
        keeps_its_promises(&text)?;
    }
}
