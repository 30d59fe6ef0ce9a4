//! Lints: `validate` warns of what a template may do but its author rarely wants. That each fires on
//! its example, and not on the repaired one, is shown with the other codes in `explain`.

use crate::support::{Program, Run, fixture};

/// A build with a source that has these options besides.
fn ebs(options: &str) -> String {
    format!(
        r#"
source "amazon-ebs" "web" {{
  region        = "eu-west-1"
  ami_name      = "web"
  instance_type = "t3.micro"
  ssh_username  = "admin"
  source_ami    = "ami-0123456789abcdef0"
  metadata_options {{
    http_tokens = "required"
  }}
  launch_block_device_mappings {{
    device_name = "/dev/xvda"
    encrypted   = true
  }}
{options}
}}
build {{
  sources = ["amazon-ebs.web"]
}}
"#
    )
}

fn open(comment: &str) -> String {
    ebs(&format!("  temporary_security_group_source_cidrs = [\"::/0\"]{comment}"))
}

fn validate<'a>(template: &str, flags: impl IntoIterator<Item = &'a str>) -> Run {
    let program = Program::new();
    program.write("t.pkr.hcl", template);
    program.run(["validate"].into_iter().chain(flags).chain(["t.pkr.hcl"]))
}

/// Legacy JSON of one null builder, these provisioners and these variables.
fn legacy(variables: &str, provisioners: &str) -> Run {
    let program = Program::new();
    program.write(
        "t.json",
        format!(
            r#"{{ "variables": {variables},
  "builders": [{{ "type": "null", "communicator": "none" }}],
  "provisioners": {provisioners} }}"#
        ),
    );
    program.run(["validate", "t.json"]).succeeded()
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_lint_is_a_warning_and_the_template_stays_valid() {
    let run = validate(&open(""), []).succeeded();
    assert!(run.stdout.ends_with("The configuration is valid.\n"), "{}", run.stdout);
    insta::assert_snapshot!(run.stderr);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_comment_silences_a_lint_where_it_stands() {
    for comment in [" # imgbake:allow(L102)", " // a demo, imgbake:allow(L101, L102)"] {
        let run = validate(&open(comment), []).succeeded();
        assert_eq!(run.stderr, "", "{comment}");
    }
    let line_before = open("").replace("  temporary", "  # imgbake:allow(L102)\n  temporary");
    assert_eq!(validate(&line_before, []).succeeded().stderr, "");
    let other = validate(&open(" # imgbake:allow(L101)"), []).succeeded();
    assert!(other.stderr.contains("warning[L102]"), "{}", other.stderr);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_flag_silences_lints_or_makes_them_errors() {
    for flag in ["-lint=off", "-lint=-L102", "-lint=off,L101"] {
        assert_eq!(validate(&open(""), [flag]).succeeded().stderr, "", "{flag}");
    }
    for flag in ["-lint=deny", "-lint=deny:L102", "-lint=off,deny:l102"] {
        let run = validate(&open(""), [flag]).failed_with(1);
        assert!(run.stderr.contains("error[L102]"), "{flag}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{flag}");
    }
    let unknown = validate(&open(""), ["-lint=-L1O2"]).failed_with(1);
    assert!(unknown.stderr.contains("did you mean `L102`?"), "{}", unknown.stderr);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn records_of_the_usual_tool_have_lints_only_where_they_are_asked_for() {
    let silent = validate(&open(""), ["-machine-readable"]).succeeded();
    assert!(!silent.stdout.contains("L102"), "{}", silent.stdout);
    let asked = validate(&open(""), ["-machine-readable", "-lint=L102"]).succeeded();
    assert!(asked.stdout.contains("L102"), "{}", asked.stdout);
    assert_eq!(validate(&open(""), ["-syntax-only"]).succeeded().stderr, "");
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_secret_key_is_found_and_not_shown() {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let template =
        ebs(&format!("  access_key = \"AKIAIOSFODNN7EXAMPLE\"\n  secret_key = \"{secret}\""));
    for format in ["human", "json", "sarif", "github"] {
        let run = validate(&template, [&*format!("-format={format}")]).succeeded();
        let said = run.stdout + &run.stderr;
        assert_eq!(said.matches("secret key stands in").count(), 1, "{said}");
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_key_in_a_variable_file_is_found_too() {
    let program = Program::new();
    program.write("t.pkr.hcl", "variable \"key\" {}\nsource \"null\" \"x\" {\n  communicator = \"none\"\n}\nbuild {\n  name    = var.key\n  sources = [\"null.x\"]\n}\n".replace("  name    = var.key\n", ""));
    program.write("keys.pkrvars.hcl", "key = \"AKIAIOSFODNN7EXAMPLE\"\n");
    let run = program.run(["validate", "-var-file=keys.pkrvars.hcl", "t.pkr.hcl"]).succeeded();
    assert!(run.stderr.contains("keys.pkrvars.hcl:1:8"), "{}", run.stderr);
}

#[test]
fn names_are_used_wherever_an_expression_may_stand() {
    let template = r#"
variable "a" { default = 1 }
variable "b" { default = 2 }
variable "c" { default = [3] }
variable "d" { default = "x" }
variable "e" {
  default = 5
  validation {
    condition     = var.e > 1
    error_message = "It must be more."
  }
}
locals {
  used   = var.a + 1
  too    = { for k, v in var.c : k => v }
  unused = local.used
  too_2  = "%{ if var.b > 1 }${local.too[0]}%{ endif }"
}
source "null" "x" {
  communicator = "none"
}
build {
  sources = ["null.x"]
  provisioner "shell-local" {
    inline = ["echo ${var["d"]} ${local.too_2}"]
  }
}
"#;
    let run = validate(template, []).succeeded();
    assert_eq!(run.stderr.matches("nothing uses").count(), 2, "{}", run.stderr);
    for name in ["the variable `e`", "the local `unused`"] {
        assert!(run.stderr.contains(name), "{}", run.stderr);
    }
}

#[test]
fn a_legacy_variable_is_used_in_texts() {
    let run = legacy(
        r#"{ "a": "x", "b": "{{user `a`}}", "c": "{{ user `c2` }}", "c2": "", "d": "" }"#,
        r#"[{ "type": "shell-local", "inline": ["echo {{ user `b` | upper }}"] }]"#,
    );
    assert_eq!(run.stderr.matches("nothing uses the variable").count(), 2, "{}", run.stderr);
    assert!(run.stderr.contains("`c`") && run.stderr.contains("`d`"), "{}", run.stderr);
}

#[test]
fn a_sleep_is_no_wait_for_booting_but_at_the_beginning() {
    let sleeping =
        |commands| legacy("{}", &format!(r#"[{{ "type": "shell", "inline": [{commands}] }}]"#));
    for commands in [
        r#""sleep 30", "apt-get update""#,
        r#""while [ ! -f /var/lib/cloud/instance/boot-finished ]; do sleep 1; done""#,
    ] {
        let run = sleeping(commands);
        assert!(run.stderr.contains("warning[L301]"), "{commands}: {}", run.stderr);
    }
    for commands in [r#""systemctl restart nginx", "sleep 1""#, r#""sleepy""#] {
        assert_eq!(sleeping(commands).stderr, "", "{commands}");
    }
}

#[test]
fn what_is_taken_as_the_latest_is_named() {
    let run = legacy(
        "{}",
        r#"[{ "type": "shell-local", "inline": ["docker pull nginx:latest && npm i 'x@latest'", "echo latest: x"] }]"#,
    );
    assert_eq!(run.stderr.matches("warning[L105]").count(), 2, "{}", run.stderr);
    for word in ["`nginx:latest`", "`x@latest`"] {
        assert!(run.stderr.contains(word), "{}", run.stderr);
    }
    let qemu = |checksum: &str| {
        let template = format!(
            r#"
source "qemu" "x" {{
  disk_image   = true
  iso_url      = "https://images.example.org/trixie/latest/debian-13.qcow2"
  iso_checksum = "{checksum}"
  ssh_username = "root"
  ssh_password = "root"
}}
build {{
  sources = ["qemu.x"]
}}
"#
        );
        validate(&template, []).succeeded().stderr
    };
    let file = "file:https://images.example.org/trixie/latest/SHA256SUMS";
    assert!(qemu("none").contains("L105") && qemu(file).contains("L105"));
    assert!(!qemu(&format!("sha256:{}", "0".repeat(64))).contains("L105"));
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn volumes_are_encrypted_one_by_one_or_all_together() {
    let root = "  launch_block_device_mappings {
    device_name = \"/dev/xvda\"
    encrypted   = true
  }
";
    let without = |template: String| template.replace(root, "");
    let device = |encrypted: &str| {
        format!(
            "  launch_block_device_mappings {{\n    device_name = \"/dev/sdb\"\n{encrypted}\n  }}\n"
        )
    };
    let both = device("    encrypted = true") + &device("");
    for (options, count) in [
        (String::new(), 1),
        (device(""), 1),
        (device("    encrypted = true"), 0),
        (both, 1),
        ("  ami_groups = [\"all\"]".to_owned(), 0),
        ("  skip_create_ami = true".to_owned(), 0),
    ] {
        let run = validate(&without(ebs(&options)), ["-lint=pedantic"]).succeeded();
        assert_eq!(run.stderr.matches("warning[L107]").count(), count, "{options}: {}", run.stderr);
        assert_eq!(validate(&without(ebs(&options)), []).succeeded().stderr, "", "{options}");
    }
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn an_option_is_read_as_its_component_reads_it() {
    let program = Program::new();
    let warnings = |options: &str| {
        let template = format!(
            r#"{{ "variables": {{ "yes": "true", "no": "false" }},
  "builders": [{{ "type": "amazon-ebs", "region": "eu-west-1", "ami_name": "web-{{{{user `no`}}}}",
    "instance_type": "t3.micro", "ssh_username": "admin", "source_ami": "ami-0123456789abcdef0",
    "tags": {{ "x": "{{{{user `yes`}}}}" }}, {options} }}] }}"#
        );
        program.write("t.json", template);
        program.run(["validate", "-lint=pedantic", "t.json"]).succeeded().stderr
    };
    for encrypt_boot in ["true", "1", r#""1""#, r#""{{user `yes`}}""#] {
        let said = warnings(&format!(r#""encrypt_boot": {encrypt_boot}"#));
        assert_eq!(said, "", "{encrypt_boot}");
    }
    for encrypt_boot in ["false", "0", "null", r#""{{user `no`}}""#] {
        let said = warnings(&format!(r#""encrypt_boot": {encrypt_boot}"#));
        assert_eq!(said.matches("warning[L107]").count(), 1, "{encrypt_boot}: {said}");
    }
    let tokens = r#""encrypt_boot": 1, "metadata_options": { "http_tokens": "{{clean_resource_name `optional`}}" }"#;
    assert!(warnings(tokens).contains("warning[L106]"), "{}", warnings(tokens));
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_usual_template_has_one_lint_at_most() {
    let mut counts = Vec::new();
    for (project, template) in [
        ("01-first", "mended.json"),
        ("02-nginx-inline", "nginx.json"),
        ("03-nginx-script", "nginx.json"),
        ("04-custom-page", "nginx.json"),
        ("05-post-processors", "nginx.json"),
        ("06-variables-and-filter", "packer.json"),
        ("07-ansible-local", "packer.json"),
        ("08-node-exporter", "packer.json"),
        ("10-hcl2", "nginx.pkr.hcl"),
        ("11-parallel", "packer.json"),
    ] {
        let program = Program::new();
        program.copy(&fixture(&format!("tutorial/{project}")));
        let run = program.run(["validate", template]).succeeded();
        counts.push(run.stderr.matches("warning[L").count());
    }
    counts.sort_unstable();
    assert!(counts[counts.len() / 2] <= 1, "{counts:?}");
}
