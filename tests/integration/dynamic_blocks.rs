//! `dynamic` blocks directly in `build` make its sources, provisioners and post-processors.

use crate::support::Program;

/// A template that builds `null.probe` besides what `blocks` say.
fn template(blocks: &str) -> Program {
    let program = Program::new();
    let source = "source \"null\" \"probe\" {\n  communicator = \"none\"\n}\n";
    let build = format!("build {{\n  sources = [\"null.probe\"]\n{blocks}\n}}\n");
    program.write("t.pkr.hcl", format!("{source}{build}"));
    program
}

#[test]
fn made_provisioners_run_in_their_place_and_know_the_machine() {
    let program = template(
        r#"
  provisioner "shell-local" {
    inline = ["echo first >> log"]
  }
  dynamic "provisioner" {
    for_each = { a = ["x", "y"], b = ["z"] }
    iterator = host
    labels   = [host.key == "c" ? "breakpoint" : "shell-local"]
    content {
      name   = "of-${host.key}"
      inline = ["echo ${host.key} ${join("+", [for host in host.value : host])} ${source.name} ${build.PackerRunUUID} >> log"]
    }
  }
  provisioner "shell-local" {
    inline = ["echo last >> log"]
  }"#,
    );
    program.run(["build", "t.pkr.hcl"]).succeeded();
    let log = program.read("log");
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    let firsts: Vec<&str> = lines.iter().map(|words| words[0]).collect();
    assert_eq!(firsts, ["first", "a", "b", "last"]);
    assert_eq!(lines[1][1..3], ["x+y", "probe"]);
    assert_eq!(lines[2][1..3], ["z", "probe"]);
    assert_eq!(lines[1][3].len(), 36, "{log}");
}

#[test]
fn sources_can_be_made_under_names_of_their_own() {
    let program = template(
        r#"
  dynamic "source" {
    for_each = ["alba", "brno"]
    labels   = ["source.null.probe"]
    content {
      name     = source.value
      ssh_host = "${source.key}.example.org"
    }
  }
  provisioner "shell-local" {
    only   = ["null.brno"]
    inline = ["echo ${source.name} >> log"]
  }"#,
    );
    program.run(["build", "t.pkr.hcl"]).succeeded();
    assert_eq!(program.read("log"), "brno\n");
    let shown = program.run(["inspect", "t.pkr.hcl"]).succeeded().stdout;
    assert!(shown.contains("      null.probe\n\n      null.alba\n\n      null.brno\n"), "{shown}");
}

#[test]
fn chains_and_what_is_in_them_can_be_made() {
    let program = template(
        r#"
  dynamic "post-processors" {
    for_each = [["a", "b"], ["c"]]
    iterator = chain
    content {
      dynamic "post-processor" {
        for_each = chain.value
        labels   = ["shell-local"]
        content {
          inline = ["echo ${chain.key} ${post-processor.value} >> log"]
        }
      }
    }
  }
  post-processors {
    dynamic "post-processor" {
      for_each = []
      labels   = ["shell-local"]
      content {}
    }
    post-processor "shell-local" {
      inline = ["echo 2 d >> log"]
    }
  }"#,
    );
    program.run(["build", "t.pkr.hcl"]).succeeded();
    assert_eq!(program.read("log"), "0 a\n0 b\n1 c\n2 d\n");
}

#[test]
fn an_inner_iterator_shadows_an_outer_one_of_the_same_name() {
    let program = template(
        r#"
  dynamic "post-processors" {
    for_each = ["outer"]
    iterator = one
    content {
      dynamic "post-processor" {
        for_each = ["${one.value}-inner"]
        iterator = one
        labels   = ["shell-local"]
        content {
          inline = ["echo ${one.value} >> log"]
        }
      }
    }
  }"#,
    );
    program.run(["build", "t.pkr.hcl"]).succeeded();
    assert_eq!(program.read("log"), "outer-inner\n");
}

#[test]
fn all_that_is_wrong_with_them_is_said_at_once() {
    let program = template(
        r#"  dynamic "provisioner" {
    for_each = null
    labels   = ["shell-local"]
    content {}
  }
  dynamic "provisioner" {
    for_each = ["a"]
    labels   = [null]
    content {}
  }
  dynamic "provisioner" {
    for_each = ["a"]
    labels   = ["shell-local"]
    content {
      inline = [provisioner.name]
      inlin  = []
    }
  }"#,
    );
    let said = program.run(["validate", "t.pkr.hcl"]).failed_with(1).stderr;
    for place in ["7:16", "13:16", "20:28", "21:7"] {
        assert!(said.contains(&format!("t.pkr.hcl:{place}\n")), "{place}: {said}");
    }
    assert!(said.contains("\n4 errors\n"), "{said}");
}

#[test]
fn what_only_for_each_needs_is_used() {
    let program = template(
        r#"  dynamic "provisioner" {
    for_each = var.steps
    labels   = ["shell-local"]
    content {
      inline = ["true"]
    }
  }
}
variable "steps" {
  default = ["a"]"#,
    );
    let said = program.run(["validate", "t.pkr.hcl"]).succeeded().stderr;
    assert!(said.is_empty(), "{said}");
}
