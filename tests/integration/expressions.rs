//! Expressions give the answers that Packer gives: `tests/fixtures/oracle/` holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgbake::budget::Budget;
use imgbake::diagnostic::Diagnostics;
use imgbake::env::Environment;
use imgbake::eval::{self, Inputs, Place, Values};
use imgbake::secret::Redactor;
use imgbake::source::SourceMap;
use imgbake::template::ast::Expr;
use imgbake::template::hcl::{self, Origin};
use imgbake::template::load::{self, ConfigType, LoadRequest};
use jiff::Timestamp;
use proptest::prelude::*;

/// Answers that differ, and why.
const DIFFERENT: &[(u32, &str)] = &[(1606, "`upper` of a secret is still a secret here")];

/// Errors that are errors here too, in other words: those of the grammar, an index that is out of
/// range inside of a call, and a template file that is broken.
const OTHER_WORDS: &[u32] = &[
    16, 18, 28, 30, 32, 44, 64, 70, 74, 152, 154, 156, 158, 160, 226, 228, 260, 262, 264, 278, 290,
    320, 386, 388, 418, 426, 428, 430, 440, 442, 444, 446, 450, 504, 506, 522, 524, 526, 528, 1118,
    1138, 1146, 1156, 1580,
];

struct Case {
    id: u32,
    family: String,
    is_ok: bool,
    expression: String,
    expected: String,
}

fn oracle_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").canonicalize().unwrap()
}

fn cases() -> Vec<Case> {
    cases_of("expressions.tsv")
}

fn cases_of(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(oracle_dir().join(file)).unwrap();
    text.lines()
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            Case {
                id: columns[0].parse().unwrap(),
                family: columns[1].to_owned(),
                is_ok: columns[2] == "ok",
                expression: serde_json::from_str(columns[3]).unwrap(),
                expected: serde_json::from_str(columns[4]).unwrap(),
            }
        })
        .collect()
}

/// The values that the expressions refer to, and where the texts of the scope are.
fn scope() -> (Values, SourceMap) {
    let dir = oracle_dir();
    let request = LoadRequest::new(dir.join("scope.pkr.hcl"), ConfigType::Hcl2);
    let mut sources = SourceMap::default();
    let (template, _) = load::load(&request, &mut sources).unwrap();
    let vars = BTreeMap::from([("HOME".to_owned(), "/home/oracle".to_owned())]);
    let environment = Environment::new(vars, dir, Timestamp::now());
    let inputs = Inputs {
        vars: Vec::new(),
        var_files: Vec::new(),
        environment: Arc::new(environment),
        data_sources: None,
        warn_undeclared: true,
        budget: Default::default(),
    };
    let (values, _) = eval::evaluate(&template, &inputs, &Redactor::default()).unwrap();
    (values, sources)
}

/// One line is an expression; several lines are the value of an argument in a file.
fn parse(text: &str, sources: &mut SourceMap) -> Result<Expr, Diagnostics> {
    if !text.contains('\n') {
        let file = sources.add("console", text);
        return hcl::parse_expression(text, Origin::File(file, 0), &Budget::default());
    }
    let file = sources.add("expr.pkr.hcl", format!("locals {{\n  oracle = {text}\n}}\n"));
    let (body, found) = hcl::parse_file(file, sources);
    if found.has_errors() {
        return Err(found);
    }
    Ok(body.blocks[0].body.attributes["oracle"].value.clone())
}

fn answer(values: &Values, text: &str, sources: &mut SourceMap) -> Result<String, String> {
    let printed = parse(text, sources)
        .and_then(|expr| values.printed(&expr, &Place::default(), &Budget::default()));
    printed.map_err(|found| {
        let first = &found.0[0];
        format!("Error: {}\n{}", first.summary, first.cause.as_deref().unwrap_or_default())
    })
}

#[test]
fn every_expression_of_the_oracle_gives_its_answer() {
    let (values, mut sources) = scope();
    let cwd = oracle_dir().display().to_string();
    let (mut different, mut other_words) = (BTreeSet::new(), BTreeSet::new());
    let mut report = String::new();
    let cases = cases();
    for case in &cases {
        let given = answer(&values, &case.expression, &mut sources);
        let same = match &given {
            Ok(text) => case.is_ok && text.replace(&cwd, "<CWD>") == case.expected,
            Err(text) => !case.is_ok && *text == case.expected,
        };
        if same || is_go_runtime(case, &given) {
            continue;
        }
        let list = if given.is_err() && !case.is_ok { &mut other_words } else { &mut different };
        list.insert(case.id);
        report.push_str(&format!(
            "{} {}: {}\n  expected {:?}\n  given    {given:?}\n",
            case.id, case.family, case.expression, case.expected
        ));
    }
    let right = cases.len() - different.len();
    println!(
        "{right} of {} answers ({:.1} %), {} errors in other words",
        cases.len(),
        100.0 * right as f64 / cases.len() as f64,
        other_words.len()
    );
    let listed: BTreeSet<u32> = DIFFERENT.iter().map(|(id, _)| *id).collect();
    assert_eq!(different, listed, "answers that differ (left) and those listed:\n{report}");
    let listed: BTreeSet<u32> = OTHER_WORDS.iter().copied().collect();
    assert_eq!(other_words, listed, "errors in other words (left) and those listed:\n{report}");
}

/// What go-cty, HCL and go-cty-yaml answer, the libraries of Packer. Of errors only that there
/// is one counts.
#[test]
fn every_expression_gives_the_answer_of_the_usual_tools_libraries() {
    let (values, mut sources) = scope();
    let mut wrong = String::new();
    for case in cases_of("libraries.tsv") {
        let given = answer(&values, &case.expression, &mut sources);
        if given.is_ok() != case.is_ok || given.as_ref().is_ok_and(|text| *text != case.expected) {
            let Case { id, expression, expected, .. } = case;
            wrong.push_str(&format!(
                "{id}: {expression}\n  expected {expected:?}\n  given {given:?}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Go's own texts and compressed bytes: only the verdict counts.
fn is_go_runtime(case: &Case, given: &Result<String, String>) -> bool {
    if case.family != "go-runtime" {
        return false;
    }
    given.is_ok() == case.is_ok
}

/// Functions that take all sorts of values.
const FUNCTIONS: &[&str] = &[
    "abs",
    "ceil",
    "chunklist",
    "coalesce",
    "compact",
    "concat",
    "contains",
    "convert",
    "csvdecode",
    "distinct",
    "element",
    "flatten",
    "floor",
    "format",
    "formatdate",
    "formatlist",
    "indent",
    "index",
    "join",
    "jsondecode",
    "jsonencode",
    "keys",
    "length",
    "lookup",
    "max",
    "merge",
    "parseint",
    "pow",
    "range",
    "regex",
    "regexall",
    "replace",
    "reverse",
    "setproduct",
    "setunion",
    "slice",
    "sort",
    "split",
    "substr",
    "sum",
    "timeadd",
    "title",
    "trim",
    "try",
    "can",
    "values",
    "yamldecode",
    "yamlencode",
    "zipmap",
    "cidrhost",
    "cidrsubnet",
    "cidrsubnets",
    "base64decode",
    "textencodebase64",
    "unix_timestamp_parse",
];

/// Names and literals.
fn any_leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("var.zones".to_owned()),
        Just("var.disk".to_owned()),
        Just("var.nothing".to_owned()),
        Just("var.badges".to_owned()),
        Just("local.by_name".to_owned()),
        Just("packer.iterationID".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?(e[0-9]{1,3})?",
        "\"[a-zé%0-9 .:/-]{0,6}\"",
    ]
}

/// Expressions of all forms, most of them senseless.
fn any_expression() -> impl Strategy<Value = String> {
    let function = proptest::sample::select(FUNCTIONS);
    any_leaf().prop_recursive(5, 40, 3, move |inner| {
        let several = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            (function.clone(), several.clone(), any::<bool>()).prop_map(|(name, args, expand)| {
                let dots = if expand && !args.is_empty() { "..." } else { "" };
                format!("{name}({}{dots})", args.join(", "))
            }),
            several.prop_map(|items| format!("[{}]", items.join(", "))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{ a = {a}, (1) = {b} }}")),
            (inner.clone(), "[-+*/%]|==|!=|<|>=|&&|\\|\\|", inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            inner.clone().prop_map(|a| format!("{a}[*].name")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("[for k, v in {a} : [k, v, {b}] if v != {b}]")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("{{for k, v in {a} : k => {b}...}}")),
            inner.prop_map(|a| format!("\"x${{{a}}}%{{ for v in {a} }}${{v}}%{{ endfor }}\"")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_makes_the_evaluation_panic(text in any_expression()) {
        let (values, mut sources) = scope();
        let _ = answer(&values, &text, &mut sources);
    }
}
