use super::*;

fn body(text: &str) -> (Body, Vec<String>, SourceMap) {
    let mut sources = SourceMap::default();
    let file = sources.add("t.pkr.hcl", text);
    let (body, diagnostics) = parse_file(file, &sources);
    let said = diagnostics
        .0
        .iter()
        .map(|d| {
            let at = sources.position(d.span.unwrap());
            format!("{}:{} {}", at.line, at.column, d.summary)
        })
        .collect();
    (body, said, sources)
}

#[test]
fn a_missing_comma_hides_no_other_mistake() {
    let (_, said, _) = body("a = [\n  1\n  2\n]\nb: 3\nc = 'x'\n");
    assert_eq!(
        said,
        [
            "3:3 a comma is missing between the items of a list",
            "5:1 an argument takes `=`, not `:`",
            "6:5 single quotes are not valid",
        ]
    );
}
