//! Which Python is on the machine, and whether Ansible can use it there.

use std::path::Path;
use std::time::Duration;

use serde_yaml::Value;

use super::options::Options;
use super::version::{Version, read};
use crate::component::{Communicator, Exit, ProvisionContext};
use crate::config::Late;
use crate::peer::read_regular_text;

/// The oldest Python 3 that each Ansible takes on the machines that it changes, as its support matrix
/// says; Python 2.7 went with 2.17.
const OLDEST: [(Version, Version); 5] = [
    (Version(2, 20), Version(3, 9)),
    (Version(2, 18), Version(3, 8)),
    (Version(2, 17), Version(3, 7)),
    (Version(2, 16), Version(3, 6)),
    (Version(2, 4), Version(3, 5)),
];

/// How long the machine may take to say which Python it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest playbook, or file of settings, that is looked into.
const LARGEST: u64 = 1 << 20;

/// A command for the machine that prints the version of each Python that Ansible looks for, and ends with
/// 127 if there is none.
const FIND: &str = "found=127; for python in python3 python3.14 python3.13 python3.12 python3.11 \
    python3.10 python3.9 python3.8 python3.7 /usr/libexec/platform-python python python2; do \
    if command -v $python >/dev/null 2>&1; then found=0; $python -c \
    'import sys; print(\"%d.%d\" % sys.version_info[:2])'; fi; done; exit $found";

/// Variables by which Ansible takes another Python, or asks for no facts.
const SETTINGS: [&str; 3] = ["ANSIBLE_CONFIG", "ANSIBLE_GATHERING", "ANSIBLE_PYTHON_INTERPRETER"];

/// What is said of a machine whose Pythons (if it has any) are none that this Ansible can use; `None` also
/// where that cannot be told.
pub(super) async fn trouble(
    ansible: Option<Version>,
    machine: &dyn Communicator,
) -> Option<String> {
    if !machine.shell().is_posix() {
        return None;
    }
    let asked = tokio::time::timeout(PATIENCE, machine.run_captured(FIND));
    let (exit, printed) = asked.await.ok()?.ok()?;
    match exit {
        Exit::Status(0 | 127) => said(ansible, &String::from_utf8_lossy(&printed.stdout)),
        _ => None,
    }
}

/// The same of a machine with Pythons of these versions, one a line.
fn said(ansible: Option<Version>, printed: &str) -> Option<String> {
    let found: Vec<Version> = printed.lines().filter_map(read).collect();
    let Some(newest) = found.iter().max() else {
        return printed.trim().is_empty().then(|| {
            "the machine has no Python, which nearly all of Ansible's modules need there: install it \
             first, with a `shell` provisioner or with a `raw` task"
                .to_owned()
        });
    };
    let ansible = ansible?;
    let (_, oldest) = OLDEST.into_iter().find(|(since, _)| ansible >= *since)?;
    let fits = |python: &Version| {
        let is_two = *python >= Version(2, 7) && *python < Version(3, 0);
        *python >= oldest || is_two && ansible < Version(2, 17)
    };
    (!found.iter().any(fits)).then(|| {
        format!(
            "the machine has Python {}.{}, and Ansible {}.{} needs {}.{} there: use an older Ansible here \
             or a newer Python there",
            newest.0, newest.1, ansible.0, ansible.1, oldest.0, oldest.1
        )
    })
}

/// Whether the first thing that `playbook` does on the machine needs a Python that Ansible finds by itself:
/// nothing here says otherwise. Only then is the machine asked before.
pub(super) fn is_needed_first(own: &Options, playbook: &Path, cx: &ProvisionContext) -> bool {
    let environment = &cx.facts.scope.environment;
    let Ok(text) = read_regular_text(playbook, LARGEST) else { return false };
    let is_asked = gathers_first(&text)
        && own.inventory_file.is_none()
        && own.inventory_directory.is_none()
        && SETTINGS.iter().all(|name| environment.get(name).is_none());
    if !is_asked {
        return false;
    }
    let dir = playbook.parent().unwrap_or(Path::new(""));
    let has_variables = ["group_vars", "host_vars"].iter().any(|name| dir.join(name).exists());
    let given = own.extra_arguments.iter().map(Late::raw);
    let given = given.chain(own.ansible_env_vars.iter().map(Late::raw));
    let given = given.chain(own.inventory_file_template.as_ref().map(Late::raw));
    let is_set = given.into_iter().any(|text| is_setting(text) || names_a_file(text));
    let home = environment.home().map(|home| home.join(".ansible.cfg"));
    let files = [environment.cwd.join("ansible.cfg"), "/etc/ansible/ansible.cfg".into()];
    let is_configured = files.into_iter().chain(home).any(|path| {
        let text = read_regular_text(&path, LARGEST).unwrap_or_default();
        text.lines().any(|line| !line.starts_with(['#', ';']) && is_setting(line))
    });
    !(has_variables || is_set || is_configured)
}

/// Whether an argument may name a file of variables, or another inventory, which may have some.
fn names_a_file(text: &str) -> bool {
    text.contains('@') || text.starts_with("-i") || text.starts_with("--inventory")
}

/// Whether `text` may be about which Python is used, or whether facts are asked for.
fn is_setting(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("interpreter") || text.contains("gathering")
}

/// Whether the first play of a playbook works on the machine, and asks it for facts.
fn gathers_first(playbook: &str) -> bool {
    if is_setting(playbook) {
        return false;
    }
    let Ok(Value::Sequence(plays)) = serde_yaml::from_str(playbook) else { return false };
    let Some(play) = plays.first() else { return false };
    let is_elsewhere = |hosts: &str| ["localhost", "127.0.0.1", "::1"].contains(&hosts);
    let is_there = play.get("hosts").and_then(Value::as_str).is_some_and(|h| !is_elsewhere(h));
    let gathers = match play.get("gather_facts") {
        None => true,
        Some(Value::Bool(gathers)) => *gathers,
        // Booleans of the older YAML.
        Some(Value::String(word)) => ["yes", "on", "true"].contains(&&*word.to_lowercase()),
        Some(_) => false,
    };
    let has_more = ["connection", "vars_files"].iter().any(|key| play.get(key).is_some());
    is_there && gathers && !has_more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_may_name_what_says_another_python() {
        for text in ["@vars.yml", "-i", "-ihosts.ini", "--inventory=hosts.ini"] {
            assert!(names_a_file(text), "{text}");
        }
        assert!(!names_a_file("--become"));
    }

    #[test]
    fn a_python_that_ansible_cannot_use_is_named() {
        let trouble = |ansible, python| said(Some(ansible), python);
        assert!(trouble(Version(2, 14), "").unwrap().contains("no Python"));
        assert!(said(None, "").is_some());
        let old = trouble(Version(2, 17), "3.6\n2.7\n").unwrap();
        assert!(old.contains("Python 3.6, and Ansible 2.17 needs 3.7 there"), "{old}");
        assert_eq!(trouble(Version(2, 17), "3.6\n3.11\n"), None);
        assert_eq!(trouble(Version(2, 16), "3.6\n"), None);
        assert_eq!(trouble(Version(2, 14), "2.7\n"), None);
        assert!(trouble(Version(2, 17), "2.7\n").is_some());
        assert_eq!(said(None, "2.7\n"), None);
        assert_eq!(trouble(Version(2, 17), "% Invalid input\n"), None);
    }

    #[test]
    fn a_playbook_that_may_bring_its_python_along_is_not_in_the_way() {
        assert!(gathers_first("- hosts: all\n  tasks: []\n"));
        assert!(gathers_first("- hosts: default\n  gather_facts: yes\n"));
        for first in [
            "- hosts: all\n  gather_facts: false\n",
            "- hosts: all\n  gather_facts: no\n- hosts: all\n",
            "- hosts: localhost\n- hosts: all\n",
            "- hosts: all\n  connection: local\n",
            "- hosts: all\n  vars_files: [python.yml]\n",
            "- hosts: all\n  vars:\n    ansible_python_interpreter: /opt/python\n",
            "- import_playbook: python.yml\n- hosts: all\n",
            "- hosts: all\n  gather_facts: '{{ facts }}'\n",
            "no playbook",
            "- hosts: [",
            "",
        ] {
            assert!(!gathers_first(first), "{first}");
        }
    }
}
