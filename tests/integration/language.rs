//! What templates of real users say, and what they are told: each row is one mistake that was made, or
//! one text that Packer takes. The larger ones are in `tests/fixtures/language`.

use crate::support::{Program, Run, fixture};

/// A program among the fixtures.
fn program() -> Program {
    let program = Program::new();
    program.copy(&fixture("language"));
    program
}

/// `validate` of one fixture, with these flags.
fn validate(flags: &[&str], template: &str) -> Run {
    let arguments = ["validate", "-lint=off"].into_iter().chain(flags.iter().copied());
    program().run(arguments.chain([template]))
}

/// `validate` of a text.
fn validated(name: &str, text: &str) -> Run {
    let program = Program::new();
    program.write(name, text);
    program.run(["validate", "-lint=off", name])
}

/// A build of `null.n` with these blocks in it.
fn build(blocks: &str) -> Run {
    let text = format!(
        "source \"null\" \"n\" {{\n  communicator = \"none\"\n}}\n\
         build {{\n  sources = [\"null.n\"]\n{blocks}\n}}\n"
    );
    validated("t.pkr.hcl", &text)
}

/// A valid AMI with these options more.
fn ami(options: &str) -> Run {
    let text = format!(
        "source \"amazon-ebs\" \"a\" {{\n  region        = \"us-east-1\"\n  ami_name      = \
         \"web-1\"\n  instance_type = \"t3.micro\"\n  source_ami    = \"ami-12345678\"\n  \
         ssh_username  = \"u\"\n{options}\n}}\nbuild {{\n  sources = [\"amazon-ebs.a\"]\n}}\n"
    );
    validated("t.pkr.hcl", &text)
}

/// That all of `texts` stand on standard error.
#[track_caller]
fn says(run: &Run, texts: &[&str]) {
    for text in texts {
        assert!(run.stderr.contains(text), "`{text}` is not in\n{}", run.stderr);
    }
}

#[test]
fn a_duration_without_a_unit_is_refused_with_the_unit_as_help() {
    let run = validate(&[], "number_as_duration.pkr.hcl").failed_with(1);
    says(&run, &["number_as_duration.pkr.hcl:6:20", "`5` is missing its unit", "write \"5s\""]);
    let run = validate(&[], "numbers_as_durations.pkr.hcl").failed_with(1);
    says(&run, &["write \"30s\"", "write \"60s\"", "write \"1s\""]);
    let json = |value: &str| {
        let text = format!(
            r#"{{"builders": [{{"type": "null", "communicator": "none"}}], "provisioners": [
                {{"type": "shell-local", "inline": ["true"], "pause_before": {value}}}]}}"#
        );
        validated("t.json", &text)
    };
    for wrong in ["5", "1.5", "\"5\""] {
        says(&json(wrong).failed_with(1), &["is missing its unit"]);
    }
    for right in ["0", "\"0\"", "\"5s\""] {
        json(right).succeeded();
    }
}

#[test]
fn words_of_the_json_language_are_refused_in_hcl2_with_the_word_that_it_has() {
    let run = validate(&[], "user_in_hcl2.pkr.hcl").failed_with(1);
    says(&run, &["error calling user", "write ${var.username}"]);
    assert!(!run.stderr.contains("L201"), "{}", run.stderr);
    let run = validate(&[], "json_words_in_hcl2.pkr.hcl").failed_with(1);
    says(&run, &["error calling env", "${var.HOME}"]);
    for (word, form) in [
        ("{{template_dir}}", "write ${path.root}"),
        ("{{vault `a/b` `c`}}", "write ${vault(\\\"a/b\\\", \\\"c\\\")}"),
        ("{{aws_secretsmanager `a`}}", "write ${aws_secretsmanager(\\\"a\\\", null)}"),
    ] {
        let run = build(&format!("  provisioner \"shell-local\" {{ inline = [\"{word}\"] }}"));
        says(&run.failed_with(1), &[&form.replace('\\', "")]);
    }
    for word in ["{{build_name}}", "{{build_type}}", "{{build `ID`}}", "{{timestamp}}", "{{pwd}}"] {
        build(&format!("  provisioner \"shell-local\" {{ inline = [\"{word}\"] }}")).succeeded();
    }
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_field_that_an_option_does_not_have_is_refused() {
    let run = ami("  tags = {\n    Source = \"{{ .SourceAMIname }}\"\n  }").failed_with(1);
    says(&run, &["there is no field `.SourceAMIname` here", "did you mean `.SourceAMIName`?"]);
    says(&ami("  ami_description = \"{{ .Foo }}\"").failed_with(1), &["the fields are: .BuildReg"]);
    let run = ami("  user_data = \"{{ .Foo }}\"").failed_with(1);
    says(&run, &["there is no field `.Foo` here", "write {{`{{ .Foo }}`}}"]);
    for fields in ["{{ .SourceAMI }}", "{{ .SourceAMITags.Release }}", "{{`{{ .Foo }}`}}"] {
        ami(&format!("  tags = {{\n    Source = \"{fields}\"\n  }}")).succeeded();
    }
    let run = |command: &str| {
        build(&format!(
            "  provisioner \"shell-local\" {{\n    inline = [\"true\"]\n    execute_command = \
             [\"sh\", \"-c\", \"{command}\"]\n  }}"
        ))
    };
    says(&run("{{.Vras}} {{.Script}}").failed_with(1), &["did you mean `.Vars`?"]);
    says(&run("{{if .Sudo}}sudo{{end}} {{.Script}}").failed_with(1), &["no field `.Sudo`"]);
    run("{{.Vars}} {{.Script}} {{.ID}} {{with $.Script}}{{.}}{{end}}").succeeded();
}

#[test]
fn a_fact_that_no_machine_has_is_refused_before_it_starts() {
    let run = build("  provisioner \"shell-local\" { inline = [\"{{build `Hots`}}\"] }");
    says(&run.failed_with(1), &["no machine has `Hots`", "did you mean `Host`?"]);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn what_a_build_is_called_and_made_from_may_be_computed() {
    for template in ["name", "name_local", "sources_prefix", "sources_var"] {
        validate(&[], &format!("{template}.pkr.hcl")).succeeded();
    }
    let shown = program().run(["inspect", "name_local.pkr.hcl"]).succeeded().stdout;
    assert!(shown.contains("  > img-X:\n\n  > Description: d-X\n"), "{shown}");
    let run = validate(&["-only=x.amazon-ebs.wep"], "name.pkr.hcl").succeeded();
    says(&run, &["the builds are: x.amazon-ebs.web"]);
    let run = validated(
        "t.pkr.hcl",
        "data \"http\" \"d\" { url = \"http://127.0.0.1:9/\" }\n\
         source \"null\" \"n\" { communicator = \"none\" }\n\
         build {\n  name    = data.http.d.body\n  sources = { a = \"null.n\" }\n}\n",
    );
    says(
        &run.failed_with(1),
        &["t.pkr.hcl:4:13", "the `name` of a build is not known", "t.pkr.hcl:5:13", "`sources`"],
    );
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn an_older_pin_of_a_built_in_plugin_is_a_warning() {
    let run = validate(&[], "pin.pkr.hcl").succeeded();
    says(&run, &["warning", "pin.pkr.hcl:5:17", "this asks for an older one; 1.8.3 is used"]);
    let newer = program().read("pin.pkr.hcl").replace("= 1.2.6", ">= 99.0.0");
    let run = validated("t.pkr.hcl", &newer).failed_with(1);
    says(&run, &["1.8.3 does not meet this"]);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_plugin_that_is_not_there_matters_only_to_builds_that_need_it() {
    for template in ["only2.pkr.hcl", "other_plugin.pkr.hcl"] {
        let run = validate(&["-only=amazon-ebs.web"], template).succeeded();
        assert_eq!(run.stderr, "");
        assert_eq!(validate(&["-syntax-only"], template).code, Some(0));
        assert_eq!(program().run(["inspect", template]).code, Some(0));
        let run = validate(&[], template).failed_with(1);
        says(&run, &["the builder `googlecompute`"]);
        let alone = program().with([("IMGBAKE_PLUGIN_MIRROR", "nowhere")]);
        let run = alone.run(["init", template]).failed_with(1);
        let failed = "Failed getting the \"github.com/hashicorp/googlecompute\" plugin";
        assert!(run.stdout.contains(failed), "{}{}", run.stdout, run.stderr);
    }
    let text = program().read("other_plugin.pkr.hcl");
    let run =
        validated("t.pkr.hcl", &text.replace("t3.micro", "").replace("ami_name ", "ami_nmae "));
    says(&run.failed_with(1), &["googlecompute", "ami_nmae"]);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_built_in_plugin_may_have_another_name() {
    let text = program().read("pin.pkr.hcl").replace("= 1.2.6", "~> 1");
    let text = text.replace("    amazon = {", "    aws = {").replace("amazon-ebs", "aws-ebs");
    let run = validated("t.pkr.hcl", &text).succeeded();
    assert_eq!(run.stderr, "");
}

#[test]
fn components_of_known_plugins_are_told_from_misspelt_ones() {
    for (component, source) in [
        ("digitalocean", "digitalocean/digitalocean"),
        ("hcloud", "hetznercloud/hcloud"),
        ("oracle-oci", "hashicorp/oracle"),
        ("tart-cli", "cirruslabs/tart"),
    ] {
        let text = format!(r#"{{"builders": [{{"type": "{component}"}}]}}"#);
        let run = validated("t.json", &text).failed_with(1);
        says(&run, &[&format!("the builder `{component}` is of the plugin `github.com/{source}`")]);
    }
    says(&build("  provisioner \"goss\" {}").failed_with(1), &["github.com/YaleUniversity/goss"]);
    says(&build("  provisioner \"shel\" {}").failed_with(1), &["did you mean `shell`?"]);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn an_empty_text_or_list_is_an_option_not_given() {
    validate(&[], "chk_empty.json").succeeded();
    validate(&[], "e35.json").succeeded();
    ami("  ssh_timeout = \"\"\n  security_group_ids = []\n  ebs_optimized = \"\"").succeeded();
    let run = build("  provisioner \"shell-local\" { inline = [] }").failed_with(1);
    says(&run, &["inline"]);
}

#[test]
fn null_is_a_value_in_variable_files_and_defaults() {
    let program = Program::new();
    let source = "source \"null\" \"n\" { communicator = \"none\" }\n";
    program.write(
        "t.pkr.hcl",
        format!(
            "variable \"a\" {{\n  type = string\n}}\nvariable \"b\" {{\n  default = null\n}}\n\
             variable \"c\" {{\n  type    = list(string)\n  default = null\n}}\n{source}\
             build {{\n  name    = var.a\n  sources = [\"null.n\"]\n}}\n"
        ),
    );
    program.write("v.json", "{\"a\": null, \"c\": null}");
    program.run(["validate", "-lint=off", "-var-file=v.json", "t.pkr.hcl"]).succeeded();
    let builders = r#""builders": [{"type": "null", "communicator": "none"}]"#;
    program.write("t.json", format!(r#"{{"variables": {{"a": null}}, {builders}}}"#));
    program.run(["validate", "-lint=off", "-var-file=v.json", "t.json"]).succeeded();
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn what_a_data_source_will_answer_fits_any_type() {
    validate(&[], "unknown_int.pkr.hcl").succeeded();
    validate(&[], "unknown_bool.pkr.hcl").succeeded();
    let run = validated(
        "t.pkr.hcl",
        "data \"http\" \"d\" { url = \"http://127.0.0.1:9/\" }\n\
         source \"null\" \"n\" {\n  communicator = \"none\"\n}\n\
         build {\n  sources = [\"null.n\"]\n  provisioner \"shell-local\" {\n\
         inline = [\"true\"]\n  pause_before = data.http.d.body\n\
         valid_exit_codes = [data.http.d.body]\n  }\n  post-processor \"checksum\" {\n\
         checksum_types = [data.http.d.body]\n  }\n}\n",
    );
    run.succeeded();
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn hcl2_types_are_not_weak() {
    says(&ami("  ebs_optimized = 7").failed_with(1), &["expected true or false, found a number"]);
    let text = "variable \"v\" {\n  type    = \"string\"\n  default = \"x\"\n}\n\
                source \"null\" \"n\" { communicator = \"none\" }\nbuild { sources = [\"null.n\"] }\n";
    says(&validated("t.pkr.hcl", text).failed_with(1), &["write `string`, without quotes"]);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn deprecated_keys_name_the_new_key_and_fix() {
    let run = validate(&[], "depr.json").failed_with(1);
    for (old, new) in [
        ("enhanced_networking", "ena_support"),
        ("ssh_wait_timeout", "ssh_timeout"),
        ("ssh_private_ip", "ssh_interface"),
        ("temporary_security_group_source_cidr", "temporary_security_group_source_cidrs"),
        ("filename", "output"),
    ] {
        let texts =
            [format!("`{old}` is deprecated"), format!("write `{new}`, or run `imgbake fix`")];
        says(&run, &[&texts[0], &texts[1]]);
    }
}

#[test]
fn a_legacy_template_named_as_hcl2_is_told_its_name() {
    for command in ["validate", "hcl2_upgrade", "fix"] {
        let run = program().run([command, "legacy.pkr.json"]).failed_with(1);
        says(&run, &["this is a legacy JSON template", "name it *.json, without `.pkr`"]);
    }
}

#[test]
fn single_quotes_in_an_action_are_told_what_to_be() {
    let run = validate(&[], "single_quotes.json").failed_with(1);
    says(&run, &["write a text in backquotes or double quotes"]);
    let text = program().read("single_quotes.json").replace("'r'", "'region'");
    says(&validated("t.json", &text).failed_with(1), &["single quotes hold no text"]);
}

#[test]
fn a_function_in_a_default_is_sent_to_a_local() {
    let run = validate(&[], "function_in_default.pkr.hcl").failed_with(1);
    says(&run, &["write `packer.version`"]);
    let text =
        program().read("function_in_default.pkr.hcl").replace("packer_version()", "upper(\"x\")");
    let run = validated("t.pkr.hcl", &text).failed_with(1);
    says(&run, &["The default of a variable can call only \"env\".", "locals {"]);
    let run = validated("t.pkr.hcl", &text.replace("${upper(\"x\")}", "${var.other}"));
    says(&run.failed_with(1), &["Variables may not be used here.", "give the value to a local"]);
}

#[test]
fn a_user_variable_that_nobody_declares_is_a_warning() {
    let run = validate(&[], "undeclared_user.json").succeeded();
    says(&run, &["the template has no variable `regoin`", "did you mean `region`?"]);
    let run = validate(&["-var=xyzzy=1"], "undeclared_user.json").succeeded();
    says(&run, &["`-var xyzzy=…` sets no variable of this template"]);
    let run = validate(&["-var=regoin=1"], "undeclared_user.json").succeeded();
    assert_eq!(run.stderr, "");
}

#[test]
fn a_variable_file_in_hcl_is_none_for_a_legacy_template() {
    let program = program();
    program.write("v.pkrvars.hcl", "region = \"x\"\n");
    let run = program.run(["validate", "-var-file=v.pkrvars.hcl", "undeclared_user.json"]);
    says(&run.failed_with(1), &["is a variable file for HCL2 templates", "named *.json"]);
}

/// Two templates in one directory, as people keep alternatives.
const TWICE: &str = "variable \"v\" {\n  default = \"x\"\n}\n\
    source \"null\" \"n\" {\n  communicator = \"none\"\n}\n\
    build {\n  sources = [\"null.n\"]\n\
    provisioner \"shell-local\" {\n    inline = [\"true\"]\n  }\n}\n";

#[test]
fn who_only_looks_at_a_template_does_not_ask_that_it_fits_together() {
    let program = Program::new();
    program.write("a.pkr.hcl", TWICE);
    program.write("b.pkr.hcl", TWICE);
    let cleanup = "  error-cleanup-provisioner \"shell-local\" {\n    inline = [\"true\"]\n  }\n";
    let odd = format!(
        "packer {{\n  required_version = \">= 99.0.0\"\n}}\nbuild {{\n  sources = [\"what\", \
         \"null.gone\"]\n{cleanup}{cleanup}}}\n"
    );
    program.write("c.pkr.hcl", odd);
    let run = program.run(["validate", "-syntax-only", "."]).succeeded();
    says(&run, &["the variable `v` is defined twice", "asks for another version"]);
    program.run(["inspect", "."]).succeeded();
    program.run(["validate", "."]).failed_with(1);
}

#[test]
fn a_broken_default_counts_even_for_those_who_only_look() {
    let program = Program::new();
    let text = TWICE.replace("default = \"x\"", "type = number\n  default = \"x\"");
    program.write("a.pkr.hcl", text);
    says(
        &program.run(["validate", "-syntax-only", "."]).failed_with(1),
        &["Invalid default value"],
    );
    says(&program.run(["inspect", "."]).failed_with(1), &["Invalid default value"]);
    program.write("a.pkr.hcl", TWICE.replace("default = \"x\"", "type = number"));
    program.run(["validate", "-syntax-only", "."]).succeeded();
}

#[test]
fn keys_beside_the_builds_have_their_types_and_an_empty_version_is_none() {
    for (key, wrong) in [
        (r#""comments": [{"a": 5}]"#, "a comment"),
        (r#""comments": {"a": "b"}"#, "`comments` must be a list"),
        (r#""comments": ["x"]"#, "a comment must be an object"),
        (r#""push": 5"#, "`push` must be an object"),
        (r#""comments": [{"a": "b"}], "push": {}, "min_packer_version": """#, ""),
        (r#""comments": null, "push": null"#, ""),
    ] {
        let text =
            format!(r#"{{"builders": [{{"type": "null", "communicator": "none"}}], {key}}}"#);
        let run = validated("t.json", &text);
        match wrong {
            "" => _ = run.succeeded(),
            _ => says(&run.failed_with(1), &[wrong]),
        }
    }
}

#[test]
fn an_iterator_is_a_bare_word_in_hcl_and_a_text_in_json() {
    let dynamic = "  dynamic \"provisioner\" {\n    for_each = [\"a\"]\n    iterator = ITERATOR\n    \
                   labels = [\"shell-local\"]\n    content {\n      inline = [it.value]\n    }\n  }";
    build(&dynamic.replace("ITERATOR", "it")).succeeded();
    let run = build(&dynamic.replace("ITERATOR", "\"it\"")).failed_with(1);
    says(&run, &["`iterator` must be a name"]);
}

#[test]
fn a_template_in_json_may_be_a_list_of_objects() {
    let text = r#"[{"source": {"null": {"n": {"communicator": "none"}}}},
                   {"build": {"sources": ["null.n"]}}]"#;
    validated("t.pkr.json", text).succeeded();
    let run = validated("t.pkr.json", "[1]").failed_with(1);
    says(&run, &["a template must be an object"]);
}
