use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn scope() -> Scope {
    let vars = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
    let started: Timestamp = "2024-03-07T15:04:09.25Z".parse().unwrap();
    let user = [("region", "us-east-1"), ("empty", "")];
    Scope {
        environment: Arc::new(Environment::new(vars, PathBuf::from("/work"), started)),
        user_variables: Some(Arc::new(user.map(|(k, v)| (k.to_owned(), v.to_owned())).into())),
        build_name: Some("web".into()),
        build_type: Some("amazon-ebs".into()),
        template_dir: Some(PathBuf::from("/templates")),
        ..Scope::for_tests()
    }
}

fn dot() -> Dot {
    let dot = json!({
        "Path": "/tmp/x.sh",
        "Count": 3,
        "Nothing": null,
        "Tags": { "b": "2", "a": "1" },
        "List": ["x", "y"],
    });
    serde_json::from_value(dot).unwrap()
}

fn render_in(scope: &Scope, text: &str) -> Result<String, Error> {
    Template::parse(text)?.render(scope, &dot())
}

fn rendered(text: &str) -> String {
    render_in(&scope(), text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    let error = render_in(&scope(), text).expect_err(text);
    format!("{}: {}", error.offset, error.message)
}

/// Each pair: a template and its text.
fn check(pairs: &[(&str, &str)]) {
    for (text, expected) in pairs {
        assert_eq!(rendered(text), *expected, "{text}");
    }
}

#[test]
fn text_fields_and_pipelines_render() {
    check(&[
        ("plain", "plain"),
        ("", ""),
        ("}} is only text", "}} is only text"),
        ("a {{ .Path }} b", "a /tmp/x.sh b"),
        ("{{.Tags.a}}{{$.Tags.b}}", "12"),
        ("{{.Tags}} {{.List}}", "map[a:1 b:2] [x y]"),
        (
            "{{`raw \\n`}} {{\"a\\tb\\\"\"}} {{'x'}} {{3.5}} {{0x10}} {{1_000}}",
            "raw \\n a\tb\" 120 3.5 16 1000",
        ),
        ("{{ true }} {{ false }} {{1e6}} {{1e21}} {{-2}}", "true false 1000000 1e+21 -2"),
        ("{{ .Path | upper | printf \"%s!\" }}", "/TMP/X.SH!"),
        ("{{ (index .List 1) | upper }}{{ (.Tags).a }}", "Y1"),
        ("{{ printf\n\"%d\"\n7 }}", "7"),
    ]);
}

#[test]
fn trim_markers_and_comments_take_white_space() {
    check(&[
        ("a \n {{- ` b ` -}} \n c", "a b c"),
        ("a {{- /* note */ -}} b", "ab"),
        ("a {{/* note */}} b", "a  b"),
        ("{{ 3 -}} \t x", "3x"),
        ("x{{-3}}", "x-3"),
    ]);
}

#[test]
fn control_structures_choose_and_repeat() {
    check(&[
        ("{{if .Path}}y{{else}}n{{end}}", "y"),
        ("{{if .Missing}}a{{else if eq .Count 3}}b{{else}}c{{end}}", "b"),
        ("{{if and .Path (not .Nothing)}}y{{end}}", "y"),
        ("{{with .Tags}}{{.a}}{{else}}none{{end}}", "1"),
        ("{{with .Nothing}}x{{else with .Tags}}{{.b}}{{end}}", "2"),
        ("{{range .List}}[{{.}}]{{end}}", "[x][y]"),
        ("{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}", "0=x 1=y "),
        ("{{range $k, $v := .Tags}}{{$k}}{{$v}}{{end}}", "a1b2"),
        ("{{range .Missing}}x{{else}}empty{{end}}", "empty"),
        ("{{range .List}}{{if eq . \"y\"}}{{break}}{{end}}{{.}}{{end}}", "x"),
        ("{{range .List}}{{if eq . \"x\"}}{{continue}}{{end}}{{.}}{{end}}", "y"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
    ]);
}

#[test]
fn builtins_do_as_in_go() {
    check(&[
        ("{{and 1 0}} {{or 0 `x`}} {{not 0}}", "0 x true"),
        (
            "{{eq 1 2 1}} {{ne `a` `b`}} {{lt 1 2}} {{le 2 2}} {{gt `b` `a`}} {{ge 1 2}}",
            "true true true true true false",
        ),
        ("{{len `é`}} {{len .List}} {{index .Tags `a`}} {{slice `abcd` 1 3}}", "2 2 1 bc"),
        ("{{print 1 2 `a` `b` 3}}|{{println `a` 1}}", "1 2ab3|a 1\n"),
        (
            "{{printf `%5d|%-5s|%05d|%x|%q|%v|%t|%%` 42 `ab` -7 `hi` `q` true false}}",
            "   42|ab   |-0007|6869|\"q\"|true|false|%",
        ),
        ("{{printf `%d %s` `x`}}", "%!d(string=x) %!s(MISSING)"),
        ("{{printf `%.2f %e %g` 3.14159 1234.5 0.5}}", "3.14 1.234500e+03 0.5"),
        ("{{printf `a` 1}}", "a%!(EXTRA int=1)"),
        ("{{html `<a href='x'>&\"`}}", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;"),
        ("{{js `it's <b>`}}", "it\\'s \\u003Cb\\u003E"),
        ("{{urlquery `a b/c~*`}}", "a+b%2Fc~%2A"),
    ]);
}

#[test]
fn engine_functions_know_the_run() {
    check(&[
        ("{{timestamp}}", "1709823849"),
        ("{{isotime}}", "2024-03-07T15:04:09Z"),
        ("{{isotime \"2006-01-02\"}} {{isotime `Jan _2`}}", "2024-03-07 Mar  7"),
        ("{{strftime \"%Y%m%d %H:%M:%S %L %q %%\"}}", "20240307 15:04:09 .250 %q %"),
        (
            "{{build_name}} {{build_type}} {{template_dir}} {{pwd}}",
            "web amazon-ebs /templates /work",
        ),
        ("{{packer_version}}", "1.16.0"),
        ("{{user `region`}}{{user `nobody`}}", "us-east-1"),
        ("{{upper `a`}}{{lower `B`}}{{upper `ß`}}", "Abß"),
        ("{{split `a-b` `-` 0}}{{split `a-b` `-` 1}}", "ab"),
        (
            "{{replace `a` `b` 1 `aaa`}} {{replace `a` `b` -1 `aaa`}} {{replace_all `a` `b` `aca`}}",
            "baa bbb bcb",
        ),
        ("{{ `a:b é` | clean_resource_name }}", "a-b --"),
    ]);
    let uuid = rendered("{{uuid}}");
    assert!(uuid.starts_with("65e9d769-") && uuid.len() == 36, "{uuid}");
    assert_ne!(uuid, rendered("{{uuid}}"));
}

#[test]
fn go_layouts_show_every_part_of_a_time() {
    let time: Timestamp = "2024-03-07T15:04:09.25Z".parse().unwrap();
    for (layout, expected) in [
        ("Monday Mon January Jan Month", "Thursday Thu March Mar Month"),
        ("1 01 2 02 _2 002 __2", "3 03 7 07  7 067  67"),
        ("15 3 03 4 04 5 05 PM pm", "15 3 03 4 04 9 09 PM pm"),
        ("2006 06 _2006", "2024 24 _2024"),
        ("MST Z0700 Z07:00 -0700 -07:00 -07", "UTC Z Z +0000 +00:00 +00"),
        ("05.000 05.999 05,000000 .0x", "09.250 09.25 09,250000 .2x"),
    ] {
        assert_eq!(time::format(layout, time), expected, "{layout}");
    }
}

#[test]
fn variables_section_allows_env_and_keeps_fields() {
    let scope = Scope { in_variables: true, ..scope() };
    assert_eq!(render_in(&scope, "{{env `HOME`}}{{env `NONE`}}").unwrap(), "/root");
    assert_eq!(
        render_in(&scope, "{{ .Path }}{{.A.B}}-{{user `region`}}").unwrap(),
        "{{ .Path }}{{.A.B}}-us-east-1"
    );
    let error = render_in(&scope, "{{user `nobody`}}").unwrap_err();
    assert_eq!(error.message, "error calling user: variable not set: nobody");
    let error = render_in(&scope, "{{vault `a` `b`}}").unwrap_err();
    assert!(error.message.contains("not built"), "{error}");
}

#[test]
fn build_data_is_a_place_holder_until_the_machine_runs() {
    let before = Scope { build_data: Some(BuildData::new()), ..scope() };
    assert_eq!(render_in(&before, "{{build `ID`}}").unwrap(), "{{.ID}}");
    let data = BuildData::from([("ID".to_owned(), json!("i-1")), ("Port".to_owned(), json!(22))]);
    let during = Scope { build_data: Some(data), ..scope() };
    assert_eq!(render_in(&during, "{{build `ID`}}:{{build `Port`}}").unwrap(), "i-1:22");
    assert!(render_in(&during, "{{build `No`}}").is_err());
    assert!(refused("{{build `ID`}}").contains("Error validating build variable"));
}

#[test]
fn mistakes_are_said_with_their_place() {
    for (text, expected) in [
        ("a {{ shout `x` }}", "5: function \"shout\" not defined"),
        ("{{ timestmp }}", "3: function \"timestmp\" not defined; did you mean `timestamp`?"),
        (
            "{{ clean_ami_name `x` }}",
            "3: function \"clean_ami_name\" not defined; did you mean `clean_resource_name`?",
        ),
        ("{{ end }}", "0: unexpected {{end}}"),
        ("x{{ else }}", "1: unexpected {{else}}"),
        ("a{{if .X}}b", "3: this `if` lacks its {{end}}"),
        ("a {{ .X ", "2: this `{{` lacks its `}}`"),
        ("{{ \"x }}", "3: this string lacks its closing `\"`"),
        ("{{ `x }}", "3: this string lacks its closing backquote"),
        ("{{ $x }}", "3: undefined variable \"$x\""),
        ("{{}}", "2: a value is missing in an action"),
        ("{{ (1 }}", "3: this `(` lacks its `)`"),
        ("{{ 1 | 2 }}", "7: only a function can stand after `|`"),
        ("{{ nil }}", "3: nil is not a command"),
        ("{{ 12x }}", "3: bad number `12x`"),
        ("{{ template `x` }}", "3: `template` is not built in imgbake yet"),
        (
            "{{ user `a` `b` }}",
            "3: error calling user: wrong number of args for user: want 1 got 2",
        ),
        ("{{ isotime `2006` `01` }}", "3: error calling isotime: too many values, 1 needed: 2"),
        (
            "{{ vault `a` `b` }}",
            "3: error calling vault: Vault vars are only allowed in the variables section",
        ),
        ("{{ env `HOME` }}", "3: error calling env: env vars are not allowed here"),
        (
            "{{ sed `s/a/b/` `a` }}",
            "3: error calling sed: it no longer exists: use `replace` or `replace_all`",
        ),
        ("{{ .Path.x }}", "3: can't evaluate field x in type string"),
        (
            "{{ split `a` `-` 1 }}",
            "3: error calling split: the substring 1 was unavailable using the separator value, -, only 1 values were found",
        ),
        (
            "{{ eq 1 `a` }}",
            "3: error calling eq: incompatible types for comparison: int and string",
        ),
        ("{{ .Path `x` }}", "9: this is no function and takes no arguments"),
        ("{{.Missing}}", "2: `{{.Missing}}` has no value"),
        ("{{.Nothing}}", "2: `{{.Nothing}}` has no value"),
        ("{{.Tags.zz}}", "2: `{{.Tags.zz}}` has no value"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn hostile_texts_are_refused_not_obeyed() {
    let deep = "{{ ".to_owned() + &"(".repeat(100_000) + " }}";
    assert!(refused(&deep).contains("nested too deep"));
    let ifs = "{{if 1}}".repeat(100_000);
    assert!(refused(&ifs).contains("nested too deep"));
    let chain = "{{if 0}}{{else if 0}}".to_owned() + &"{{else if 0}}".repeat(100_000);
    assert!(refused(&chain).contains("nested too deep"));
    let loops = "{{range 1000000}}{{range 1000000}}x{{end}}{{end}}";
    assert!(refused(loops).contains("too much work"));
    let doubling = "{{$x := `xxxxxxxxxxxxxxxx`}}".to_owned() + &"{{$x = print $x $x}}".repeat(60);
    assert!(refused(&doubling).contains("too large"));
    let wide = "{{printf `".to_owned() + &"%1000000d".repeat(70) + "`" + &" 1".repeat(70) + "}}";
    assert!(refused(&wide).contains("too large"));
    assert_eq!(rendered("{{printf `%999999999d` 1}}"), "%!(NOVERB)%!(EXTRA int=1)");
    let names = (0..2000).map(|n| format!("{{{{$x{n} := 1}}}}")).collect::<String>();
    assert!(refused(&names).contains("too many variables"));
}

proptest! {
    #[test]
    fn no_text_makes_the_engine_panic(text in "([{}$|().`\"' \\-=:a-z0-9/*,%]|\\{\\{|\\}\\}|if |end|else|range |é){0,40}") {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.render(&scope(), &dot());
        }
    }

    #[test]
    fn text_without_actions_is_itself(text in "[^{]*") {
        prop_assert_eq!(rendered(&text), text);
    }
}
