//! Provisioners and post-processors, run by the program against a real sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::support::{Program, Run, Sshd, pause, signal};

/// A null builder that reaches `sshd`.
fn builder(sshd: &Sshd, name: &str) -> Json {
    sshd.builder(json!({"name": name}))
}

/// Builds `provisioners` on `sshd`.
fn provision(program: &Program, sshd: &Sshd, provisioners: Json) -> Run {
    let template = json!({"builders": [builder(sshd, "web")], "provisioners": provisioners});
    program.write("template.json", template.to_string());
    program.run(["build", "template.json"])
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn shell_runs_scripts_with_their_variables_and_cleans_up() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let remote = program.path("remote");
    fs::create_dir(&remote).expect("a directory");
    program.write("it's $(x).sh", "#!/bin/bash\r\necho \"script says $A in $0\"");
    let run = provision(
        &program,
        &sshd,
        json!([
            {"type": "shell", "inline": ["echo \"$PACKER_BUILD_NAME $PACKER_BUILDER_TYPE\"",
                "echo \"$HOSTILE\"", "stat -c %a $0"],
             "env": {"HOSTILE": "a'b $(touch pwned) `id`"}, "remote_folder": remote},
            {"type": "shell", "script": "it's $(x).sh", "environment_vars": ["A=one", "A=two"],
             "use_env_var_file": true, "remote_folder": remote, "remote_file": "my script"},
            {"type": "shell", "inline": ["exit 3"], "valid_exit_codes": [3],
             "remote_folder": remote, "pause_after": "10ms"},
        ]),
    )
    .succeeded();
    for line in
        ["web null", "a'b $(touch pwned) `id`", "755", "Pausing 10ms after this provisioner"]
    {
        assert!(run.stdout.contains(line), "{line}\n{}", run.stdout);
    }
    let script = format!("script says two in {}/my script", remote.display());
    assert!(run.stdout.contains(&script), "{}", run.stdout);
    assert_eq!(names(&remote), [""; 0]);
    assert!(!program.path("pwned").exists());
}

#[test]
fn a_script_runs_whatever_the_login_shell_is_and_its_status_counts() {
    for shell in ["/usr/bin/fish", "/bin/csh"] {
        let (program, sshd) = (Program::new(), Sshd::start_with_login_shell(shell));
        let remote = program.path("remote");
        fs::create_dir(&remote).expect("a directory");
        let print = r#"printf '%s|%s|%s\n' "$A" "$B" "$PACKER_BUILD_NAME""#;
        let script = json!({"type": "shell", "inline": [print], "remote_folder": remote,
            "environment_vars": ["A=it's a test!", "B=hello!world\\n"]});
        let run = provision(&program, &sshd, json!([script])).succeeded();
        assert!(run.stdout.contains("it's a test!|hello!world\\n|web"), "{}", run.stdout);
        // fish says that a command went well of which it cannot read a word.
        for command in [json!(null), json!("status=$?; sh {{.Path}}")] {
            let fails = json!({"type": "shell", "inline": ["exit 7"], "remote_folder": remote,
                "execute_command": command});
            let run = provision(&program, &sshd, json!([fails])).failed_with(1);
            let said = run.stdout + &run.stderr;
            assert!(said.contains("non-zero exit status: 7"), "{shell}: {said}");
        }
        assert_eq!(names(&remote), [""; 0]);
    }
}

#[test]
fn shell_goes_on_after_a_disconnect_only_where_it_is_expected() {
    let sshd = Sshd::start();
    // The session's own sshd, the nearest above the script: the server itself lives.
    let disconnect = "p=$$; until ps -o comm= -p $p | grep -q ^sshd; do \
                      p=$(ps -o ppid= -p $p | tr -d ' '); done; kill -9 $p";
    for (expect, code) in [(false, 1), (true, 0)] {
        let program = Program::new();
        let remote = program.path("remote");
        fs::create_dir(&remote).expect("a directory");
        let provisioners = json!([
            {"type": "shell", "inline": [disconnect, "sleep 5"], "expect_disconnect": expect,
             "remote_folder": remote},
            {"type": "shell", "inline": ["echo back again"], "remote_folder": remote},
        ]);
        let run = provision(&program, &sshd, provisioners);
        assert_eq!(run.code, Some(code), "{}{}", run.stdout, run.stderr);
        assert_eq!(run.stdout.contains("back again"), expect);
        assert_eq!(names(&remote), [""; 0]);
    }
}

#[test]
fn an_interrupted_script_leaves_nothing_on_the_machine() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let remote = program.path("remote");
    fs::create_dir(&remote).expect("a directory");
    let touch = format!("touch {}", program.path("started").display());
    let template = json!({
        "builders": [builder(&sshd, "web")],
        "provisioners": [{"type": "shell", "inline": [touch, "sleep 60"],
            "use_env_var_file": true, "remote_folder": remote}]
    });
    program.write("template.json", template.to_string());
    let child = program.start(["build", "template.json"]);
    while !program.path("started").exists() {
        pause(20);
    }
    assert_eq!(names(&remote).len(), 2, "a script and its variables");
    signal(&child, "INT");
    Program::finish(child).failed_with(1);
    assert_eq!(names(&remote), [""; 0]);
}

#[test]
fn file_obeys_the_slash_at_the_end() {
    let (program, sshd) = (Program::new(), Sshd::start());
    program.write("app/app.txt", "hello");
    program.write("app/deep/er.txt", "deep");
    for dir in ["file", "renamed", "itself", "contents"] {
        fs::create_dir(program.path(dir)).expect("a directory");
    }
    let to = |name: &str| program.path(name).display().to_string();
    provision(
        &program,
        &sshd,
        json!([
            {"type": "file", "source": "app/app.txt", "destination": to("file/")},
            {"type": "file", "source": "app/app.txt", "destination": to("renamed/new.txt")},
            {"type": "file", "source": "app", "destination": to("itself/")},
            {"type": "file", "source": "app/", "destination": to("contents")},
            {"type": "file", "content": "text\n", "destination": to("file/content")},
        ]),
    )
    .succeeded();
    assert_eq!(names(&program.path("file")), ["app.txt", "content"]);
    assert_eq!(names(&program.path("renamed")), ["new.txt"]);
    assert_eq!(names(&program.path("itself")), ["app"]);
    assert_eq!(names(&program.path("contents")), ["app.txt", "deep"]);
    assert_eq!(program.read("itself/app/deep/er.txt"), "deep");
    let content = fs::metadata(program.path("file/content")).expect("the content");
    assert_eq!(content.permissions().mode() & 0o777, 0o600);
}

#[test]
fn file_for_a_directory_without_a_slash_is_explained() {
    let (program, sshd) = (Program::new(), Sshd::start());
    program.write("index.html", "x");
    fs::create_dir(program.path("www")).expect("a directory");
    let destination = program.path("www");
    let file = json!([{"type": "file", "source": "index.html", "destination": destination}]);
    let run = provision(&program, &sshd, file).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("end `destination` with a slash to copy into it"), "{said}");
}

#[test]
fn file_downloads_files_directories_and_patterns() {
    let (program, sshd) = (Program::new(), Sshd::start());
    program.write("guest/log/a b.log", "one");
    program.write("guest/log/other.txt", "two");
    program.write("guest/log/apt/history", "three");
    let guest = program.path("guest/log").display().to_string();
    provision(
        &program,
        &sshd,
        json!([
            {"type": "file", "direction": "download", "source": format!("{guest}/other.txt"),
             "destination": "one/"},
            {"type": "file", "direction": "download", "source": format!("{guest}/"),
             "destination": "all"},
            {"type": "file", "direction": "download", "destination": "some/",
             "sources": [format!("{guest}/a*"), format!("{guest}/other.txt")]},
        ]),
    )
    .succeeded();
    assert_eq!(program.read("one/other.txt"), "two");
    assert_eq!(program.read("all/apt/history"), "three");
    assert_eq!(names(&program.path("some")), ["a b.log", "apt", "other.txt"]);
    assert_eq!(program.read("some/apt/history"), "three");
}

#[test]
fn ansible_local_runs_ansible_on_the_machine() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let made = program.path("made by ansible");
    program.write(
        "site.yml",
        format!(
            "- hosts: web\n  gather_facts: false\n  roles: [page]\n  tasks:\n\
             \x20   - ansible.builtin.copy:\n\
             \x20       content: \"{{{{ packer_build_name }}}} {{{{ greeting }}}} {{{{ extra }}}}\"\n\
             \x20       dest: \"{}\"\n",
            made.display()
        ),
    );
    program.write("group_vars/web.yml", "greeting: hello\n");
    program.write("roles/page/tasks/main.yml", "- ansible.builtin.debug: {msg: role was here}\n");
    let staging = program.path("staging");
    let run = provision(
        &program,
        &sshd,
        json!([{
            "type": "ansible-local", "playbook_file": "site.yml", "group_vars": "group_vars",
            "role_paths": ["roles/page"], "inventory_groups": ["web"],
            "extra_arguments": ["-e", "extra=arguments"],
            "staging_directory": staging, "clean_staging_directory": true
        }]),
    )
    .succeeded();
    assert!(run.stdout.contains("role was here"), "{}", run.stdout);
    assert_eq!(fs::read_to_string(made).expect("the file"), "web hello arguments");
    assert!(!staging.exists());
}

#[test]
fn two_builds_at_once_share_their_manifest_and_chains_pass_files_on() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let template = json!({
        "builders": [builder(&sshd, "east"), builder(&sshd, "west")],
        "post-processors": [
            {"type": "manifest", "output": "m.json", "strip_time": true,
             "custom_data": {"from": "{{build_name}}"}},
            [
                {"type": "shell-local", "inline": [
                    "echo $PACKER_BUILD_NAME > disk-$PACKER_BUILD_NAME.img"]},
                {"type": "artifice", "files": ["disk-{{build_name}}.*"]},
                {"type": "checksum", "checksum_types": ["sha256"],
                    "output": "{{.BuildName}}.{{.ChecksumType}}"},
                {"type": "compress", "output": "{{.BuildName}}.tar.gz",
                    "keep_input_artifact": true},
                {"type": "manifest", "output": "m.json"},
            ]
        ]
    });
    program.write("template.json", template.to_string());
    program.run(["build", "template.json"]).succeeded();
    program.run(["build", "template.json"]).succeeded();

    let manifest: Json = serde_json::from_str(&program.read("m.json")).expect("a manifest");
    let builds = manifest["builds"].as_array().expect("builds");
    assert_eq!(builds.len(), 8);
    let east: Vec<_> = builds.iter().filter(|build| build["name"] == "east").collect();
    assert_eq!(east.len(), 4);
    assert_eq!(east[0]["custom_data"], json!({"from": "east"}));
    assert!(builds.iter().any(|build| build["files"][0]["name"] == "west.tar.gz"));
    assert!(!program.path("m.json.lock").exists());

    for name in ["east", "west"] {
        let check = Command::new("sha256sum")
            .args(["--strict", "--quiet", "-c", &format!("{name}.sha256")])
            .current_dir(program.dir())
            .status();
        assert!(check.expect("sha256sum").success());
        let listed =
            Command::new("tar").arg("-tf").arg(program.path(&format!("{name}.tar.gz"))).output();
        let listed = String::from_utf8(listed.expect("tar").stdout).expect("names");
        assert!(listed.starts_with(&format!("disk-{name}.img\n")), "{listed}");
    }
}
