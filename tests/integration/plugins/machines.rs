//! Machines of ours for a plugin's provisioners, and a plugin's machine for ours.

use std::time::Instant;

use super::requiring;
use super::sdk::{BOX, SOURCE, with_probe};
use crate::support::{PASSWORD, Sshd, WinRm};

/// A template with our machine, which is `sshd`, and a provisioner of the plugin.
pub(super) fn on_our_machine(sshd: &Sshd, provisioner: &str) -> String {
    format!(
        "source \"null\" \"ours\" {{\n{}\n}}\nbuild {{\n  sources = [\"source.null.ours\"]\n{provisioner}}}\n",
        sshd.hcl_options()
    )
}

/// The same with the plugin's own machine.
pub(super) fn on_its_machine(provisioner: &str) -> String {
    format!("{BOX}build {{\n  sources = [\"source.probe-box.web\"]\n{provisioner}}}\n")
}

#[test]
fn a_plugins_provisioner_feeds_a_command_whosever_machine_it_is() {
    let sshd = Sshd::start();
    let feeding = "  provisioner \"probe-touch\" {\n    feed = \"fed by a plugin\"\n  }\n";
    for body in [on_our_machine(&sshd, feeding), on_its_machine(feeding)] {
        let Some(program) = with_probe(&body) else { return };
        let run = program.run(["build", "t.pkr.hcl"]).succeeded();
        assert!(run.stdout.contains("fed by a plugin-end"), "{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn what_a_plugin_leaves_out_of_a_directory_is_not_uploaded() {
    let sshd = Sshd::start();
    for slash in ["", "/"] {
        let there = tempfile::tempdir().unwrap();
        let provisioner = format!(
            "  provisioner \"probe-touch\" {{\n    dir = \"from{slash}\"\n    target = \"{}\"\n    exclude = [\"secret\", \"sub/two\"]\n  }}\n",
            there.path().display()
        );
        let Some(program) = with_probe(&on_our_machine(&sshd, &provisioner)) else { return };
        for file in ["from/one", "from/secret/key", "from/sub/two", "from/sub/three"] {
            program.write(file, "x");
        }
        program.run(["build", "t.pkr.hcl"]).succeeded();
        let root = if slash.is_empty() { there.path().join("from") } else { there.path().into() };
        let is_there = |name: &str| root.join(name).exists();
        assert!(is_there("one") && is_there("sub/three"), "{slash}");
        assert!(!is_there("secret") && !is_there("sub/two"), "{slash}");
    }
}

/// It may know a part by its whole path, however it calls the directory.
#[test]
fn what_a_plugin_leaves_out_by_its_whole_path_is_not_uploaded() {
    let sshd = Sshd::start();
    let there = tempfile::tempdir().unwrap();
    let Some(program) = with_probe("") else { return };
    program.write("from/one", "x");
    program.write("from/secret/key", "x");
    let secret = program.path("from/secret").canonicalize().unwrap();
    let provisioner = format!(
        "  provisioner \"probe-touch\" {{\n    dir = \"from/\"\n    target = \"{}\"\n    exclude = [\"{}\"]\n  }}\n",
        there.path().display(),
        secret.display()
    );
    let body = on_our_machine(&sshd, &provisioner);
    program.write("t.pkr.hcl", requiring("probe", SOURCE, "~> 1.2", &body));
    program.run(["build", "t.pkr.hcl"]).succeeded();
    assert!(there.path().join("one").exists() && !there.path().join("secret").exists());
}

#[test]
fn what_a_plugin_leaves_out_of_a_directory_is_not_downloaded() {
    let sshd = Sshd::start();
    for slash in ["", "/"] {
        let there = tempfile::tempdir().unwrap();
        for file in ["one", "secret/key", "sub/two", "sub/three"] {
            let path = there.path().join("from").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let from = there.path().join("from").display().to_string();
        let provisioner = format!(
            "  provisioner \"probe-touch\" {{\n    fetch = \"{from}{slash}\"\n    target = \"here\"\n    exclude = [\"secret\", \"{from}/sub/two\"]\n  }}\n"
        );
        let Some(program) = with_probe(&on_our_machine(&sshd, &provisioner)) else { return };
        program.write("here/one", "old");
        program.write("here/secret/mine", "stays");
        program.run(["build", "t.pkr.hcl"]).succeeded();
        let root = program.path("here");
        let text = |name: &str| std::fs::read_to_string(root.join(name)).ok();
        assert_eq!(text("one").as_deref(), Some("one"), "{slash}");
        assert_eq!(text("sub/three").as_deref(), Some("sub/three"), "{slash}");
        assert_eq!((text("secret/key"), text("sub/two")), (None, None), "{slash}");
        assert_eq!(text("secret/mine").as_deref(), Some("stays"));
        let names = std::fs::read_dir(program.path("here")).unwrap();
        assert_eq!(names.count(), 3, "nothing of ours stays");
    }
}

#[test]
fn our_ansible_works_on_a_plugins_machine() {
    let Some(program) = with_probe(&on_its_machine(
        "  provisioner \"ansible\" {\n    playbook_file = \"site.yml\"\n  }\n",
    )) else {
        return;
    };
    program.write("from", "by Ansible\n");
    let target = program.path("there").display().to_string();
    program.write(
        "site.yml",
        format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy:\n        src: from\n        dest: {target}\n    - raw: echo raw >> {target}\n"
        ),
    );
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    assert_eq!(program.read("there"), "by Ansible\nraw\n", "{}", run.stdout);
}

/// The plugin's machine, of which the builder tells this, too.
fn told(data: &[(&str, &str)], provisioner: &str) -> String {
    let label = |(name, value): &(&str, &str)| format!("\"data.{name}\" = {value}");
    let labels: Vec<String> = data.iter().map(label).collect();
    let labels = format!("labels = {{ {} }}", labels.join(", "));
    on_its_machine(provisioner).replace("labels = { k = \"v\" }", &labels)
}

#[test]
fn ansible_goes_to_a_plugins_machine_itself_where_it_is_told_to_and_can() {
    let sshd = Sshd::start();
    let ansible = "  provisioner \"ansible\" {\n    playbook_file = \"site.yml\"\n    use_proxy = false\n  }\n";
    let port = format!("\"{}\"", sshd.port);
    let user = format!("\"{}\"", sshd.user);
    let key = format!("file(\"{}\")", sshd.key("ed25519").display());
    let address = [("Host", "\"127.0.0.1\""), ("Port", port.as_str()), ("User", user.as_str())];
    let by_key = [&address[..], &[("SSHPrivateKey", key.as_str())]].concat();
    let over_ours = "Ansible uses imgbake's connection";
    for (data, is_direct) in [(by_key, true), (address.to_vec(), false)] {
        let Some(program) = with_probe(&told(&data, ansible)) else { return };
        program.write(
            "site.yml",
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - raw: echo \"client ${SSH_CONNECTION:-none}\"\n      register: it\n    - debug:\n        var: it.stdout\n",
        );
        let run = program.run(["build", "t.pkr.hcl"]).succeeded();
        let said = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(!said.contains(over_ours), is_direct, "{said}");
        assert_eq!(said.contains("Warning: Ansible cannot log in to the machine"), !is_direct);
        assert_eq!(said.contains("client 127.0.0.1"), is_direct, "{said}");
    }
}

#[test]
fn a_plugins_machine_of_windows_is_reached_by_winrm() {
    let windows = WinRm::basic();
    let password = serde_json::json!(PASSWORD).to_string();
    let ansible = "  provisioner \"ansible\" {\n    playbook_file = \"site.yml\"\n  }\n";
    let port = format!("\"{}\"", windows.port);
    let data = [
        ("ConnType", "\"winrm\""),
        ("Host", "\"127.0.0.1\""),
        ("Port", port.as_str()),
        ("User", "\"vagrant\""),
        ("WinRMPassword", password.as_str()),
    ];
    let Some(program) = with_probe(&told(&data, ansible)) else { return };
    let program = program.with([("PYTHONPATH", &*WinRm::site_packages())]);
    program.write(
        "site.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - raw: Write-Output hello\n      register: it\n    - debug:\n        var: it.stdout\n",
    );
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains("hello"), "{}", run.stdout);
}

#[test]
fn a_large_upload_arrives_through_both_relays() {
    let body = on_its_machine(
        "  provisioner \"probe-touch\" {\n    target = \"there\"\n    big = \"here\"\n  }\n",
    );
    let Some(program) = with_probe(&body) else { return };
    let large: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251) as u8).collect();
    program.write("here", &large);
    let started = Instant::now();
    program.run(["build", "t.pkr.hcl"]).succeeded();
    println!("16 MiB through both relays: {:?}", started.elapsed());
    assert!(std::fs::read(program.path("there")).unwrap() == large);
}
