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
fn scratch_oracle_syntax() {
    let tsv = std::fs::read_to_string("/work/shared/oracle/expressions.tsv").unwrap();
    for line in tsv.lines() {
        let c: Vec<&str> = line.split('\t').collect();
        let expr: String = serde_json::from_str(c[3]).unwrap();
        let expected: String = serde_json::from_str(c[4]).unwrap();
        let text = format!("locals {{\n  oracle = {expr}\n}}\n");
        let (_, said, _) = body(&text);
        match c[2] {
            "ok" if !said.is_empty() => eprintln!("OKFAIL {} {:?} -> {said:?}", c[0], expr),
            "error" if !said.is_empty() => eprintln!(
                "ERR {} {:?} {:?} | {said:?}",
                c[0],
                expr,
                expected.chars().take(110).collect::<String>()
            ),
            _ => {}
        }
    }
    for dir in std::fs::read_dir("/work/shared/oracle/templates").unwrap() {
        let dir = dir.unwrap().path();
        for f in std::fs::read_dir(&dir).unwrap() {
            let f = f.unwrap().path();
            if f.extension().is_some_and(|e| e == "hcl") {
                let (_, said, _) = body(&std::fs::read_to_string(&f).unwrap());
                if !said.is_empty() {
                    eprintln!("FILE {f:?} {said:?}");
                }
            }
        }
    }
}
