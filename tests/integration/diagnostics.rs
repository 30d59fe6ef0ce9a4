//! What people see of mistakes: sixty of them, each as it is drawn. A change here is a change of
//! what users read: look at it as they would.

use crate::support::Program;

/// A build that needs nothing; mistakes stand before it.
const BUILD: &str = r#"
source "null" "x" {
  communicator = "none"
}
build {
  sources = ["null.x"]
}
"#;

/// What is said of these files.
fn said(files: &[(&str, &str)], arguments: &[&str]) -> String {
    let program = Program::new();
    for (name, text) in files {
        program.write(name, text);
    }
    let run = program.run(["validate"].into_iter().chain(arguments.iter().copied()));
    assert_eq!(run.stdout.replace("The configuration is valid.\n", ""), "");
    run.stderr.replace(&program.dir().display().to_string(), "[dir]")
}

/// Of an HCL2 template.
fn hcl(text: &str) -> String {
    said(&[("t.pkr.hcl", text)], &["-lint=off", "t.pkr.hcl"])
}

/// Of one that ends with [`BUILD`].
fn before_build(text: &str) -> String {
    hcl(&format!("{text}{BUILD}"))
}

/// Of one expression.
fn expression(text: &str) -> String {
    before_build(&format!(
        r#"variable "region" {{
  default = "eu-west-1"
}}
variable "zones" {{
  default = ["a", "b"]
}}
variable "token" {{
  default   = "hunter22"
  sensitive = true
}}
locals {{
  tags  = {{ Name = "web", Team = "ops" }}
  value = {text}
}}
"#
    ))
}

/// Of a source with these options.
fn source(kind: &str, options: &str) -> String {
    hcl(&format!(
        "source \"{kind}\" \"x\" {{\n{options}\n}}\nbuild {{\n  sources = [\"{kind}.x\"]\n}}\n"
    ))
}

/// Of what stands in a build.
fn in_build(text: &str) -> String {
    hcl(&format!(
        "source \"null\" \"x\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"null.x\"]\n{text}\n}}\n"
    ))
}

/// Of a legacy template.
fn json(text: &str) -> String {
    said(&[("t.json", text)], &["-lint=off", "t.json"])
}

/// Holds each drawing against its snapshot, by the name of the case.
macro_rules! snapshots {
    ($($(#[$attribute:meta])* $name:ident: $drawn:expr;)*) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $name() {
                insta::assert_snapshot!($drawn);
            }
        )*
    };
}

// Texts.
snapshots! {
    no_such_file: said(&[], &["missing.pkr.hcl"]);
    no_such_variable_file: said(&[("t.pkr.hcl", BUILD)], &["-var-file=prod.pkrvars.hcl", "t.pkr.hcl"]);
    json_missing_comma: json("{\n  \"builders\": [\n    { \"type\": \"null\" \"communicator\": \"none\" }\n  ]\n}\n");
    json_trailing_comma: json("{\n  \"builders\": [{ \"type\": \"null\", \"communicator\": \"none\" },]\n}\n");
    json_root_key: json("{\n  \"builders\": [{ \"type\": \"null\", \"communicator\": \"none\" }],\n  \"provisoners\": []\n}\n");
    json_without_type: json("{\n  \"builders\": [{ \"communicator\": \"none\" }]\n}\n");
    json_duplicate_key: json("{\n  \"builders\": [{ \"type\": \"null\", \"communicator\": \"none\", \"communicator\": \"ssh\" }]\n}\n");
    hcl_argument_without_value: before_build("locals {\n  a =\n}\n");
    hcl_unclosed_block: hcl("source \"null\" \"x\" {\n  communicator = \"none\"\n\nbuild {\n  sources = [\"null.x\"]\n}\n");
    hcl_unclosed_quote: before_build("locals {\n  a = \"x\n}\n");
    hcl_single_quotes: before_build("locals {\n  a = 'x'\n}\n");
    hcl_two_mistakes: before_build("locals {\n  a = [1 2]\n  b = 1 +\n}\n");
    block_that_does_not_exist: before_build("varaible \"x\" {\n}\n");
    argument_that_does_not_exist: before_build("variable \"x\" {\n  defualt = 1\n}\n");
    label_missing: before_build("variable {\n}\n");
    defined_twice_in_two_files: said(
        &[
            ("a.pkr.hcl", "variable \"x\" {\n  default = 1\n}\n"),
            ("b.pkr.hcl", &format!("variable \"x\" {{\n  default = 2\n}}\n{BUILD}")),
        ],
        &["-lint=off", "."],
    );
    mistakes_of_all_files: said(
        &[
            ("a.pkr.hcl", "locals {\n  a = [\n}\n"),
            ("b.pkr.hcl", "biuld {\n}\n"),
            ("c.pkr.hcl", "locals {\n  c = 'x'\n}\n"),
        ],
        &["-lint=off", "."],
    );
    version_not_met: before_build("packer {\n  required_version = \"< 1.0\"\n}\n");
    #[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
    plugin_not_built_in: before_build("packer {\n  required_plugins {\n    amazn = {\n      source  = \"github.com/hashicorp/amazn\"\n      version = \"~> 1.0\"\n    }\n  }\n}\n");
    wide_characters_are_underlined: before_build("locals {\n  a = \"e\u{301}日本\" + local.nope\n}\n");
}

// Values.
snapshots! {
    unknown_variable: expression("\"x-${var.regoin}\"");
    unknown_local: expression("local.tag");
    unknown_root: expression("vars.region");
    unknown_function: expression("uper(var.region)");
    unknown_attribute: expression("local.tags.Naem");
    function_of_packer_not_built: expression("consul_key(\"a/b\")");
    too_few_arguments: expression("replace(var.region, \"-\")");
    too_many_arguments: expression("upper(var.region, 1)");
    wrong_argument: expression("upper(var.zones)");
    function_fails: expression("jsondecode(var.region)");
    text_plus_number: expression("var.region + 1");
    secret_operand_is_not_shown: expression("var.token + 1");
    zero_by_zero: expression("0 / (length(var.zones) - 2)");
    undeclared_variable: expression("upper(var.account)");
    index_out_of_range: expression("var.zones[2]");
    index_with_a_name: expression("var.zones[\"a\"]");
    attribute_of_a_text: expression("var.region.name");
    list_in_a_text: expression("\"zones: ${var.zones}\"");
    condition_no_bool: expression("var.region ? 1 : 2");
    branches_of_two_types: expression("true ? [1] : { a = 1 }");
    for_over_a_text: expression("[for z in var.region : z]");
    key_given_twice: expression("{ for z in var.zones : \"k\" => z }");
    unset_variable: before_build("variable \"region\" {\n  type = string\n}\n");
    default_of_wrong_type: before_build("variable \"ports\" {\n  type    = list(number)\n  default = [\"ssh\"]\n}\n");
    type_that_does_not_exist: before_build("variable \"ports\" {\n  type    = list(nubmer)\n  default = [22]\n}\n");
    validation_fails: before_build("variable \"region\" {\n  default = \"us-east-1\"\n  validation {\n    condition     = startswith(var.region, \"eu-\")\n    error_message = \"The region must be in Europe.\"\n  }\n}\n");
    locals_in_a_circle: before_build("locals {\n  a = local.b\n  b = local.c\n  c = local.a\n}\n");
    undeclared_after_var: said(&[("t.pkr.hcl", &format!("variable \"region\" {{\n  default = 1\n}}\n{BUILD}"))], &["-lint=off", "-var=regoin=x", "t.pkr.hcl"]);
    undeclared_in_a_file: said(
        &[("t.pkr.hcl", BUILD), ("p.pkrvars.hcl", "region = \"x\"\n")],
        &["-lint=off", "-var-file=p.pkrvars.hcl", "t.pkr.hcl"],
    );
    legacy_variables_in_a_circle: json("{\n  \"variables\": { \"a\": \"{{user `b`}}\", \"b\": \"{{user `a`}}\" },\n  \"builders\": [{ \"type\": \"null\", \"communicator\": \"none\" }]\n}\n");
    legacy_function_that_does_not_exist: json("{\n  \"builders\": [{ \"type\": \"file\", \"target\": \"{{timestmp}}\", \"content\": \"x\" }]\n}\n");
}

// Components and the plan.
snapshots! {
    #[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
    unknown_builder: source("amazon-esb", "");
    builder_of_a_plugin: source("lxc", "  config_file = \"lxc.conf\"");
    unknown_provisioner: in_build("  provisioner \"shel\" {\n    inline = [\"true\"]\n  }");
    unknown_option: source("null", "  comunicator = \"none\"");
    option_not_built: source("qemu", "  ssh_public_key = \"x\"");
    option_of_wrong_type: source("null", "  ssh_host     = \"192.0.2.1\"\n  ssh_username = \"root\"\n  ssh_password = \"root\"\n  ssh_port     = \"ssh\"\n  ssh_timeout  = \"5 minutes\"");
    #[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
    option_of_a_block: source("amazon-ebs", "  ami_name      = \"web\"\n  region        = \"eu-west-1\"\n  instance_type = \"t3.micro\"\n  ssh_username  = \"admin\"\n  source_ami_filter {\n    owner = [\"self\"]\n  }");
    #[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
    options_missing: source("amazon-ebs", "  ami_name = \"web\"");
    options_that_exclude_each_other: source("file", "  target  = \"a\"\n  source  = \"t.pkr.hcl\"\n  content = \"x\"");
    source_that_does_not_exist: hcl("source \"null\" \"web\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.wbe\"]\n}\n");
    only_of_a_block: in_build("  provisioner \"shell-local\" {\n    only   = [\"null.y\"]\n    inline = [\"true\"]\n  }");
    only_of_the_command_line: said(&[("t.pkr.hcl", BUILD)], &["-lint=off", "-only=null.y", "t.pkr.hcl"]);
    nothing_to_build: hcl("locals {\n  a = 1\n}\n");
}
