//! The provisioner `ansible`: real Ansible on this machine against a real sshd.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::support::{
    AWKWARD, Narrow, PASSWORD, Program, Run, Sshd, WinRm, free_port, generate_key, pause,
    processes_with, signal,
};

/// The program, with a directory of its own for what is temporary.
fn program() -> Program {
    let program = Program::new();
    let tmp = program.path("tmp");
    fs::create_dir(&tmp).expect("a directory");
    // Short: sockets are below it.
    let vars = [("TMPDIR", tmp.display().to_string())];
    program.with(vars)
}

/// A template with a null builder that reaches `sshd`, and one `ansible` with these options.
fn template(program: &Program, sshd: &Sshd, builder: Json, ansible: Json) {
    let builder = sshd.builder(builder);
    let mut provisioner = json!({"type": "ansible", "playbook_file": "site.yml"});
    merge(&mut provisioner, ansible);
    let template = json!({"builders": [builder], "provisioners": [provisioner]});
    program.write("template.json", template.to_string());
}

fn merge(into: &mut Json, from: Json) {
    let from = from.as_object().expect("an object").clone();
    into.as_object_mut().expect("an object").extend(from);
}

/// Builds it.
fn play(program: &Program, sshd: &Sshd, ansible: Json) -> Run {
    template(program, sshd, json!({}), ansible);
    program.run(["build", "template.json"])
}

/// A playbook for all hosts without facts; `tasks` are indented by four spaces.
fn playbook(program: &Program, tasks: &str) {
    let text = format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}");
    program.write("site.yml", text);
}

/// Nothing that a run has made is left: no file, and no process that knows one.
#[track_caller]
fn assert_nothing_left(program: &Program) {
    let tmp = program.path("tmp");
    let left: Vec<_> = fs::read_dir(&tmp).expect("tmp").flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    let begun = Instant::now();
    let knows = tmp.display().to_string();
    while !processes_with(&knows).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", processes_with(&knows));
        pause(50);
    }
}

const COPY: &str = r#"    - ansible.builtin.copy: {src: files/, dest: "{{ target }}/"}
    - ansible.builtin.copy:
        content: "{{ packer_build_name }} {{ packer_builder_type }} {{ greeting }} {{ groups.db }}"
        dest: "{{ target }}/facts"
    - ansible.builtin.debug:
        msg: "{{ lookup('env', 'PACKER_BUILD_NAME') }} is {{ inventory_hostname }}"
"#;

/// Files to copy, and where they go.
fn files(program: &Program) -> String {
    program.write("files/a.txt", "a");
    program.write("files/deep/b.txt", "b");
    format!("target={}", program.path("target").display())
}

#[test]
fn a_playbook_runs_straight_on_the_machine() {
    let (program, sshd) = (program(), Sshd::start());
    playbook(&program, COPY);
    program.write("inventory/group_vars/web.yml", "greeting: hello\n");
    let target = files(&program);
    let run = play(
        &program,
        &sshd,
        json!({
            "groups": ["web"], "empty_groups": ["db"], "host_alias": "box",
            "inventory_directory": "inventory", "extra_arguments": ["-e", target],
        }),
    )
    .succeeded();
    assert!(run.stdout.contains("web is box"), "{}", run.stdout);
    assert!(!run.stdout.contains("imgbake's connection"), "{}", run.stdout);
    assert_eq!(program.read("target/facts"), "web null hello []");
    assert_eq!(program.read("target/deep/b.txt"), "b");
    assert_nothing_left(&program);
    let left = fs::read_dir(program.path("inventory")).expect("the directory").count();
    assert_eq!(left, 1, "the inventory is removed");
}

#[test]
fn a_playbook_runs_over_our_connection_however_files_go() {
    for how in [
        json!({}),
        json!({"use_sftp": true}),
        json!({"use_sftp": false}),
        json!({"use_sftp": true, "sftp_command": "/usr/lib/sftp-server -e"}),
        json!({"extra_arguments": ["--scp-extra-args", "'-O'"],
            "ansible_env_vars": ["ANSIBLE_SCP_IF_SSH=True", "ANSIBLE_PIPELINING=True"]}),
        json!({"ansible_proxy_key_type": "RSA", "user": "somebody"}),
    ] {
        let (program, sshd) = (program(), Sshd::start());
        playbook(&program, COPY);
        let target = files(&program);
        let mut options = json!({"use_proxy": true, "empty_groups": ["db"]});
        merge(&mut options, how);
        let mut arguments = options["extra_arguments"].as_array().cloned().unwrap_or_default();
        arguments.extend([json!("-e"), json!(format!("{target} greeting=hello"))]);
        options["extra_arguments"] = arguments.into();
        let run = play(&program, &sshd, options.clone()).succeeded();
        assert!(run.stdout.contains("imgbake's connection"), "{}", run.stdout);
        assert_eq!(program.read("target/facts"), "web null hello []", "{options}");
        assert_eq!(program.read("target/deep/b.txt"), "b");
        assert_nothing_left(&program);
    }
}

#[test]
fn the_proxy_has_the_keys_and_the_port_that_a_template_gives() {
    let (program, sshd) = (program(), Sshd::start());
    generate_key("ed25519", &program.path("host_key"));
    generate_key("ed25519", &program.path("client_key"));
    playbook(&program, "    - ansible.builtin.ping:\n");
    let port = free_port();
    let key = format!("ansible_ssh_private_key_file={}", program.path("client_key").display());
    let run = play(
        &program,
        &sshd,
        json!({
            "local_port": port, "ssh_host_key_file": "host_key",
            "ssh_authorized_key_file": "client_key.pub", "extra_arguments": ["-e", key],
        }),
    )
    .succeeded();
    assert!(run.stdout.contains(&format!("on port {port}")), "{}", run.stdout);
    assert_nothing_left(&program);
}

#[test]
fn a_machine_behind_a_bastion_is_reached_through_it() {
    let (program, sshd, bastion) = (program(), Sshd::start(), Sshd::start());
    playbook(&program, "    - ansible.builtin.ping:\n");
    let builder = json!({
        "ssh_bastion_host": "127.0.0.1", "ssh_bastion_port": bastion.port,
        "ssh_bastion_username": bastion.user, "ssh_bastion_private_key_file": bastion.key("ed25519"),
    });
    template(&program, &sshd, builder, json!({}));
    let run = program.run(["build", "template.json"]).succeeded();
    assert!(run.stdout.contains("ok=1"), "{}", run.stdout);
    assert!(!run.stdout.contains("imgbake's connection"), "{}", run.stdout);
    assert_nothing_left(&program);
}

#[test]
fn another_machine_at_the_address_is_refused() {
    let (program, sshd, other) = (program(), Sshd::start(), Sshd::start());
    let authorized = fs::read_to_string(sshd.authorized_keys()).expect("keys");
    fs::write(other.authorized_keys(), authorized).expect("keys");
    playbook(&program, "    - ansible.builtin.ping:\n");
    let line =
        format!("{{{{ .HostAlias }}}} ansible_host={{{{ .Host }}}} ansible_port={}", other.port);
    let options = json!({"inventory_file_template": line,
        "ansible_env_vars": ["ANSIBLE_HOST_KEY_CHECKING=False"]});
    let run = play(&program, &sshd, options).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("Host key verification failed"), "{said}");
    assert!(said.contains("non-zero exit status: 4"), "{said}");
}

#[test]
fn an_inventory_of_the_template_is_used_as_it_is() {
    let (program, sshd) = (program(), Sshd::start());
    playbook(
        &program,
        "    - ansible.builtin.debug: {msg: \"this is {{ inventory_hostname }}\"}\n    - ansible.builtin.ping:\n",
    );
    program.write("hosts", format!("mine ansible_host=127.0.0.1 ansible_port={}\n", sshd.port));
    let run = play(&program, &sshd, json!({"inventory_file": "hosts"})).succeeded();
    assert!(run.stdout.contains("this is mine"), "{}", run.stdout);
    assert_nothing_left(&program);
}

#[test]
fn an_inventory_is_kept_where_the_template_says_so() {
    let (program, sshd) = (program(), Sshd::start());
    playbook(&program, "    - ansible.builtin.ping:\n");
    let options = json!({"keep_inventory_file": true, "inventory_directory": "."});
    let run = play(&program, &sshd, options).succeeded();
    let (_, path) = run.stdout.split_once("The inventory is kept: ").expect("its path");
    let text = fs::read_to_string(path.lines().next().expect("a path")).expect("the inventory");
    assert!(text.contains("default ansible_host=127.0.0.1"), "{text}");
    assert_nothing_left(&program);
}

/// A playbook that waits until the test lets it go on.
fn waiting_playbook(program: &Program) {
    let (started, go) = (program.path("started"), program.path("go"));
    let tasks = format!(
        "    - ansible.builtin.copy: {{content: \"{{{{ db_password }}}}\", dest: \"{}\"}}\n    \
         - ansible.builtin.shell: while [ ! -e {} ]; do sleep 0.1; done\n",
        started.display(),
        go.display()
    );
    playbook(program, &tasks);
}

fn wait_for(path: &Path, child: &mut Child) {
    while !path.exists() {
        assert!(child.try_wait().expect("a child").is_none(), "it ended early");
        pause(50);
    }
}

#[test]
fn no_secret_is_on_a_command_line_or_in_the_log() {
    let (program, sshd) = (program(), Sshd::start());
    waiting_playbook(&program);
    let secret = "it's \"50%\" $HOME `id` \\ üñ 🔑";
    template(&program, &sshd, json!({}), json!({}));
    let mut text: Json = serde_json::from_str(&program.read("template.json")).expect("JSON");
    let whole = json!({"db_password": secret}).to_string();
    text["provisioners"][0]["extra_arguments"] = json!(["-e", "{{ user `variables` }}"]);
    text["variables"] = json!({"variables": whole});
    text["sensitive-variables"] = json!(["variables"]);
    program.write("template.json", text.to_string());
    let mut child = program.start(["build", "template.json"]);
    wait_for(&program.path("started"), &mut child);
    assert!(processes_with("ansible-playbook").iter().any(|line| line.contains("@/")));
    assert_eq!(processes_with("50%"), [""; 0]);
    assert_eq!(processes_with("PRIVATE KEY"), [""; 0]);
    program.write("go", "");
    let run = Program::finish(child).succeeded();
    assert_eq!(program.read("started"), secret);
    assert!(!(run.stdout.clone() + &run.stderr).contains("50%"), "{}", run.stdout);
    assert_nothing_left(&program);
}

#[test]
fn an_interrupted_playbook_ends_and_leaves_nothing() {
    for use_proxy in [json!(null), json!(true)] {
        let (program, sshd) = (program(), Sshd::start());
        waiting_playbook(&program);
        let options = json!({"use_proxy": use_proxy, "extra_arguments": ["-e", "db_password=x"]});
        template(&program, &sshd, json!({}), options);
        let mut child = program.start(["build", "template.json"]);
        wait_for(&program.path("started"), &mut child);
        pause(300);
        let begun = Instant::now();
        signal(&child, "INT");
        Program::finish(child).failed_with(1);
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert_nothing_left(&program);
        // The task on the machine is the test's own.
        program.write("go", "");
    }
}

#[test]
fn a_playbook_that_loses_its_connection_ends_and_leaves_nothing() {
    for use_proxy in [json!(null), json!(true)] {
        let (program, sshd) = (program(), Sshd::start());
        let way = Narrow::before(sshd.port);
        waiting_playbook(&program);
        let options = json!({"use_proxy": use_proxy, "extra_arguments": ["-e", "db_password=x"]});
        template(&program, &sshd, json!({"ssh_port": way.port, "ssh_timeout": "3s"}), options);
        let mut child = program.start(["build", "template.json"]);
        wait_for(&program.path("started"), &mut child);
        pause(300);
        let begun = Instant::now();
        way.cut();
        let run = Program::finish(child).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("Ansible exited with non-zero exit status"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        assert_nothing_left(&program);
        // The task on the machine is the test's own.
        program.write("go", "");
    }
}

#[test]
fn a_playbook_that_fails_says_its_status() {
    let (program, sshd) = (program(), Sshd::start());
    playbook(&program, "    - ansible.builtin.fail: {msg: no way}\n");
    let run = play(&program, &sshd, json!({})).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("no way"), "{said}");
    assert!(said.contains("Ansible exited with non-zero exit status: 2"), "{said}");
    assert!(!said.contains("has no Python"), "{said}");
    assert_nothing_left(&program);
}

#[test]
fn a_python_that_is_too_old_is_said_before_the_playbook_runs() {
    let program = program();
    for (name, python) in [("old", Some("3.4")), ("none", None)] {
        let path = program.path(name);
        fs::create_dir_all(&path).unwrap();
        for tool in ["sh", "cat", "mkdir", "chmod", "rm"] {
            std::os::unix::fs::symlink(format!("/bin/{tool}"), path.join(tool)).unwrap();
        }
        if let Some(version) = python {
            let python =
                program.write(&format!("{name}/python3"), format!("#!/bin/sh\necho {version}\n"));
            fs::set_permissions(python, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        let sshd = Sshd::start_with(&format!(
            "ForceCommand PATH={} exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"",
            path.display()
        ));
        program.write("site.yml", "- hosts: all\n  tasks:\n    - ansible.builtin.ping:\n");
        let run = play(&program, &sshd, json!({})).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(
            said.contains("Ansible cannot ask the machine for facts: the machine has "),
            "{said}"
        );
        assert!(said.contains(python.map_or("no Python", |_| "Python 3.4, and Ansible")), "{said}");
        assert!(!said.contains("Executing Ansible"), "{said}");
        assert_nothing_left(&program);
    }
}

#[test]
fn a_missing_ansible_is_said_before_the_build() {
    let (program, sshd) = (program().with([("PATH", "/nowhere")]), Sshd::start());
    playbook(&program, "");
    template(&program, &sshd, json!({}), json!({}));
    let run = program.run(["validate", "template.json"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("there is no `ansible-playbook` on this machine"), "{said}");
    template(&program, &sshd, json!({}), json!({"skip_version_check": true}));
    program.run(["validate", "template.json"]).succeeded();
    let run = program.run(["build", "template.json"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("there is no `ansible-playbook` on this machine"), "{said}");
    assert_nothing_left(&program);
}

#[test]
fn a_machine_that_cannot_be_talked_to_is_explained() {
    let program = program();
    playbook(&program, "");
    let template = json!({"builders": [{"type": "null", "communicator": "none"}],
        "provisioners": [{"type": "ansible", "playbook_file": "site.yml"}]});
    program.write("template.json", template.to_string());
    let run = program.run(["build", "template.json"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("Ansible cannot get to the machine"), "{said}");
}

#[test]
fn requirements_are_installed_on_this_machine_first() {
    let (program, sshd) = (program(), Sshd::start());
    program
        .write("src/greeter/tasks/main.yml", "- ansible.builtin.debug: {msg: the role is here}\n");
    program.write("src/greeter/meta/main.yml", "galaxy_info: {}\ndependencies: []\n");
    let packed = std::process::Command::new("tar")
        .args(["-czf", "greeter.tar.gz", "-C", "src", "greeter"])
        .current_dir(program.dir())
        .status();
    assert!(packed.expect("tar").success());
    let archive = program.path("greeter.tar.gz");
    let list = format!("roles:\n  - {{src: \"file://{}\", name: greeter}}\n", archive.display());
    program.write("requirements.yml", list);
    program.write("site.yml", "- hosts: all\n  gather_facts: false\n  roles: [greeter]\n");
    let run = play(
        &program,
        &sshd,
        json!({"galaxy_file": "requirements.yml", "roles_path": "roles",
            "galaxy_force_install": true, "galaxy_force_with_deps": true}),
    )
    .succeeded();
    assert!(run.stdout.contains("the role is here"), "{}", run.stdout);
    assert!(program.path("roles/greeter/tasks/main.yml").exists());
    assert_nothing_left(&program);
}

/// How many of something the measurement has.
fn count(variable: &str, usual: u32) -> u32 {
    let given = std::env::var_os(variable).and_then(|text| text.into_string().ok());
    given.map_or(usual, |text| text.parse().expect("a number"))
}

/// How long `command` takes, which must succeed.
fn seconds(command: &mut std::process::Command) -> f64 {
    let begun = Instant::now();
    let output = command.output().expect("it starts");
    let said = || String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}{}", said(), String::from_utf8_lossy(&output.stderr));
    begun.elapsed().as_secs_f64()
}

/// The same playbook by Ansible alone.
fn plain(program: &Program, sshd: &Sshd) -> std::process::Command {
    let key = sshd.key("ed25519");
    let line = format!(
        "default ansible_host=127.0.0.1 ansible_port={} ansible_ssh_private_key_file={}\n",
        sshd.port,
        key.display()
    );
    program.write("plain", line);
    let mut command = std::process::Command::new("ansible-playbook");
    command.args(["-i", "plain", "site.yml"]).current_dir(program.dir());
    command.env("ANSIBLE_HOST_KEY_CHECKING", "False");
    command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", program.path("tmp/cp"));
    command
}

/// The same playbook by Packer, if it is installed: its proxy is an SSH server that Ansible
/// logs in to with RSA and SHA-1, so that must be allowed.
fn usual_tool(program: &Program) -> Option<std::process::Command> {
    let mut template: Json = serde_json::from_str(&program.read("template.json")).expect("JSON");
    let allowed = "ANSIBLE_SSH_ARGS=-C -o ControlMaster=auto -o ControlPersist=60s \
                   -o HostKeyAlgorithms=+ssh-rsa -o PubkeyAcceptedAlgorithms=+ssh-rsa";
    let provisioner = &mut template["provisioners"][0];
    provisioner.as_object_mut().expect("an object").remove("use_proxy");
    provisioner["ansible_env_vars"] = json!([allowed]);
    provisioner["extra_arguments"] = json!(["--scp-extra-args", "'-O'"]);
    program.write("usual.json", template.to_string());
    let found = std::process::Command::new("packer").arg("version").output().is_ok();
    found.then(|| {
        let mut command = std::process::Command::new("packer");
        command.args(["build", "usual.json"]).current_dir(program.dir());
        command.env("HOME", program.dir());
        command
    })
}

/// Measures one playbook: Ansible alone, straight, over our connection, and Packer.
fn measure(what: &str, tasks: &str, prepare: impl Fn(&Program)) {
    let (program, sshd) = (program(), Sshd::start());
    prepare(&program);
    playbook(&program, tasks);
    let alone = seconds(&mut plain(&program, &sshd));
    println!("{what}: ansible-playbook alone: {alone:.1} s");
    for (way, use_proxy) in [("straight", json!(false)), ("over our connection", json!(true))] {
        template(&program, &sshd, json!({}), json!({"use_proxy": use_proxy}));
        let took = seconds(&mut program.command(["build", "template.json"]));
        println!("{what}: imgbake, {way}: {took:.1} s, {:.2} x alone", took / alone);
    }
    if let Some(mut usual) = usual_tool(&program) {
        let took = seconds(&mut usual);
        println!("{what}: Packer: {took:.1} s, {:.2} x alone", took / alone);
    }
}

#[test]
#[ignore = "a measurement of some minutes"]
fn many_tasks_take_hardly_longer_than_by_ansible_alone() {
    let tasks = count("IMGBAKE_BENCH_TASKS", 200);
    let task = "    - ansible.builtin.command: \"true\"\n";
    let tasks_text = task.repeat(usize::try_from(tasks).expect("a count"));
    measure(&format!("{tasks} tasks"), &tasks_text, |_| ());
}

#[test]
#[ignore = "a measurement of some minutes"]
fn many_files_take_hardly_longer_than_by_ansible_alone() {
    let files = count("IMGBAKE_BENCH_FILES", 1000);
    let text = "    - ansible.builtin.file: {path: \"{{ playbook_dir }}/to\", state: absent}\n    \
                - ansible.builtin.copy: {src: many/, dest: \"{{ playbook_dir }}/to/\"}\n";
    measure(&format!("{files} files"), text, |program| {
        for number in 0..files {
            program.write(&format!("many/{number}.txt"), format!("{number}\n").repeat(100));
        }
    });
}

#[test]
fn a_machine_with_windows_is_reached_by_winrm_and_its_password_is_in_no_command_line() {
    let site_packages = WinRm::site_packages();
    for (machine, options) in [
        (WinRm::basic(), json!({})),
        (WinRm::ntlm(), json!({"winrm_use_ntlm": true})),
        (WinRm::https(), json!({"winrm_use_ssl": true, "winrm_insecure": true})),
    ] {
        let program = program().with([("PYTHONPATH", site_packages.as_str())]);
        playbook(
            &program,
            "    - raw: Write-Output hello-from-{{ packer_build_name }}\n      register: said\n    - debug: var=said.stdout\n",
        );
        let ansible =
            json!({"type": "ansible", "playbook_file": "site.yml", "groups": ["windows"]});
        let template = json!({"builders": [machine.builder(options)], "provisioners": [ansible]});
        program.write("template.json", template.to_string());
        let run = program.run(["build", "template.json"]).succeeded();
        assert!(run.stdout.contains("hello-from-web"), "{}", run.stdout);
        assert!(!run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD));
        assert!(run.stdout.contains("login.json"), "{}", run.stdout);
        assert_nothing_left(&program);
    }
    let program = program();
    playbook(&program, "    - raw: x\n");
    let machine = WinRm::basic();
    let ansible = json!({"type": "ansible", "playbook_file": "site.yml", "use_proxy": true});
    let template = json!({"builders": [machine.builder(json!({}))], "provisioners": [ansible]});
    program.write("template.json", template.to_string());
    let run = program.run(["build", "template.json"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("leave out `use_proxy`"), "{said}");
}

#[test]
fn any_variable_arrives_unchanged() {
    let (program, sshd) = (program(), Sshd::start());
    let variables: Json =
        AWKWARD.iter().enumerate().map(|(n, v)| (format!("v{n}"), json!(v))).collect();
    let tasks: String = (0..AWKWARD.len())
        .map(|n| {
            let out = program.path("out").display().to_string();
            format!(
                "    - copy: {{content: \"{{{{ v{n} }}}}\", dest: \"{out}/{n}\"}}\n\
                 \x20   - copy: {{content: \"{{{{ lookup('env', 'V{n}') }}}}\", dest: \"{out}/e{n}\"}}\n"
            )
        })
        .collect();
    playbook(&program, &tasks);
    fs::create_dir(program.path("out")).expect("a directory");
    let environment: Vec<_> =
        AWKWARD.iter().enumerate().map(|(n, v)| format!("V{n}={v}")).collect();
    let options =
        json!({"extra_arguments": ["-e", variables.to_string()], "ansible_env_vars": environment});
    play(&program, &sshd, options).succeeded();
    for (n, value) in AWKWARD.iter().enumerate() {
        assert_eq!(program.read(&format!("out/{n}")), *value);
        assert_eq!(program.read(&format!("out/e{n}")), *value);
    }
}

#[test]
fn the_key_of_a_killed_playbook_is_removed_by_cleanup() {
    let (program, sshd) = (program(), Sshd::start());
    playbook(&program, "    - shell: sleep 3\n");
    template(&program, &sshd, json!({}), json!({}));
    let mut child = program.start(["build", "template.json"]);
    let private = program.path(".local/state/imgbake/tmp");
    let has_key = || {
        let dirs = fs::read_dir(&private).into_iter().flatten().flatten();
        dirs.map(|dir| dir.path().join("key")).any(|key| key.exists())
    };
    let begun = Instant::now();
    while !has_key() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no key in {}", private.display());
        pause(50);
    }
    let running = program.run(["cleanup"]).succeeded();
    assert!(has_key(), "its run lives: {}", running.stdout);
    signal(&child, "KILL");
    child.wait().expect("its end");
    let run = program.run(["cleanup"]).succeeded();
    assert!(run.stdout.contains("removed the private directory"), "{}", run.stdout);
    assert_eq!(fs::read_dir(&private).expect("the directory").count(), 0);
    // What the killed run has started ends by itself.
    pause(4000);
}
