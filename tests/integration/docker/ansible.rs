//! The provisioner `ansible` in a container: by the engine, without SSH.

use crate::support::{Dockerd, Program, Run};

/// A playbook that needs no Python there.
const PLAYBOOK: &str = "\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.raw: echo \"{{ packer_build_name }} $(id -un)\" > /tmp/said; cat /tmp/said
      register: said
    - ansible.builtin.debug: {msg: \"{{ inventory_hostname }}: {{ said.stdout }}\"}
";

fn play(options: &str, ansible: &str) -> Run {
    let program = Program::new().with(Dockerd::shared().environment());
    let temporary = program.path("tmp");
    std::fs::create_dir(&temporary).expect("a directory");
    let program = program.with([("TMPDIR", temporary.display().to_string())]);
    program.write("site.yml", PLAYBOOK);
    let text = format!(
        "source \"docker\" \"c\" {{\n  image = \"base:1\"\n  pull = false\n  discard = true\n{options}\n}}\n\
         build {{\n  sources = [\"docker.c\"]\n  provisioner \"ansible\" {{\n    \
         playbook_file = \"site.yml\"\n{ansible}\n  }}\n}}\n"
    );
    program.write("t.pkr.hcl", text);
    program.run(["build", "-color=false", "t.pkr.hcl"])
}

#[test]
fn a_playbook_runs_in_a_container_as_its_user() {
    let run = play("", "").succeeded();
    assert!(run.stdout.contains("default: c root"), "{}", run.stdout);
    let run = play("  exec_user = \"app\"", "    host_alias = \"box\"").succeeded();
    assert!(run.stdout.contains("box: c app"), "{}", run.stdout);
    let run = play("", "    user = \"app\"\n    use_proxy = false").succeeded();
    assert!(run.stdout.contains("default: c app"), "{}", run.stdout);
}

#[test]
fn a_template_of_other_hosts_enters_it_too() {
    let line = "    inventory_file_template = \"other ansible_host={{ .Host }}\"";
    let run = play("", line).succeeded();
    assert!(run.stdout.contains("other: c root"), "{}", run.stdout);
}

#[test]
fn the_proxy_does_not_lead_into_a_container() {
    let run = play("", "    use_proxy = true").failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("leave out `use_proxy`"), "{said}");
}
