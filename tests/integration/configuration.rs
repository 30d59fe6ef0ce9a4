//! Configuration tools that run on the machine, and InSpec that tests it: a real Puppet, and for Chef,
//! Salt and InSpec, which no registry of ours has, programs that record how they are called.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

use super::support::{AWKWARD, PASSWORD, Program, Run, Sshd, USER, WinRm, pause, signal};

/// Writes down how it is called: its arguments, its environment, all command lines that anybody can
/// see, and the files that its arguments name.
const RECORDER: &str = r#"#!/bin/sh
record=@RECORD@/$(basename "$0")-$(ls @RECORD@ | wc -l)
mkdir "$record"
printf '%s\n' "$@" > "$record/arguments"
env -0 > "$record/environment"
ps -eww -o args > "$record/processes"
pwd > "$record/directory"
for word in "$@"; do
  if [ -f "$word" ]; then
    cp "$word" "$record/"
    stat -c '%a %n' "$word" >> "$record/modes"
    case $word in *.rb|*.json) cp -r "$(dirname "$word")" "$record/staging" 2>/dev/null;; esac
  fi
done
echo "$(basename "$0") was here"
"#;

/// A machine whose `PATH` begins with programs that only record.
struct Machine {
    program: Program,
    sshd: Sshd,
}

impl Machine {
    fn with(programs: &[&str]) -> Self {
        let program = Program::new();
        fs::create_dir(program.path("record")).expect("a directory");
        for name in programs {
            let text = RECORDER.replace("@RECORD@", &program.path("record").display().to_string());
            let path = program.write(&format!("bin/{name}"), text);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let bin = program.path("bin");
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            bin.display()
        );
        let sshd = Sshd::start_with(&format!("SetEnv PATH={path} SHLVL=1"));
        Self { program, sshd }
    }

    fn provision(&self, provisioner: Json) -> Run {
        self.provision_with(json!({}), provisioner)
    }

    fn provision_with(&self, variables: Json, provisioner: Json) -> Run {
        let builder = self.sshd.builder(json!({}));
        let secret: Vec<_> = variables.as_object().expect("a map").keys().cloned().collect();
        let template = json!({
            "variables": variables, "sensitive-variables": secret,
            "builders": [builder], "provisioners": [provisioner]
        });
        self.program.write("template.json", template.to_string());
        self.program.run(["build", "template.json"])
    }

    fn path(&self, name: &str) -> String {
        self.program.path(name).display().to_string()
    }

    /// The directories that the programs have recorded, in order.
    fn records(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.program.path("record")).expect("records");
        let mut all: Vec<_> = entries.map(|entry| entry.expect("a record").path()).collect();
        all.sort_by_key(|path| {
            path.to_string_lossy().rsplit('-').next().map(|n| n.parse::<u32>().ok())
        });
        all
    }
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(path: impl AsRef<Path>) -> Vec<String> {
    read(path).lines().map(str::to_owned).collect()
}

fn names(dir: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn puppet_applies_manifests_with_modules_hiera_and_any_fact() {
    let machine = Machine::with(&[]);
    let made = machine.path("made");
    fs::create_dir(&made).unwrap();
    let mut facts = serde_json::Map::new();
    let mut manifest = format!(
        "include page\nfile {{ '{made}/build': content => $facts['packer_build_name'] }}\n"
    );
    for (index, value) in AWKWARD.iter().enumerate() {
        facts.insert(format!("awkward_{index}"), (*value).into());
        manifest += &format!("file {{ '{made}/{index}': content => $facts['awkward_{index}'] }}\n");
    }
    machine.program.write("site.pp", manifest);
    machine.program.write(
        "modules/page/manifests/init.pp",
        format!("class page {{ file {{ '{made}/page': content => lookup('greeting') }} }}\n"),
    );
    machine.program.write(
        "hiera.yaml",
        format!(
            "version: 5\nhierarchy:\n  - name: all\n    path: all.yaml\n    datadir: {}\n    data_hash: yaml_data\n",
            machine.path("data")
        ),
    );
    machine.program.write("data/all.yaml", "greeting: hello from hiera\n");
    let staging = machine.path("my staging");
    let run = machine.provision(json!({
        "type": "puppet-masterless", "manifest_file": "site.pp", "module_paths": ["modules"],
        "hiera_config_path": "hiera.yaml", "facter": facts, "staging_directory": staging,
        "extra_arguments": ["--logdest", "console"], "clean_staging_directory": true
    }));
    run.succeeded();
    for (index, value) in AWKWARD.iter().enumerate() {
        assert_eq!(read(format!("{made}/{index}")), *value);
    }
    assert_eq!(read(format!("{made}/page")), "hello from hiera");
    assert_eq!(read(format!("{made}/build")), "web");
    assert!(!Path::new(&staging).exists());
}

#[test]
fn puppet_that_fails_is_an_error_unless_its_status_is_ignored() {
    let machine = Machine::with(&[]);
    machine.program.write("site.pp", "fail('it is broken')\n");
    let staging = machine.path("staging");
    let puppet = |ignore: bool| {
        json!({"type": "puppet-masterless", "manifest_file": "site.pp", "prevent_sudo": true,
            "staging_directory": staging, "ignore_exit_codes": ignore})
    };
    let run = machine.provision(puppet(false)).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("it is broken"), "{said}");
    assert!(said.contains("Puppet exited with a non-zero exit status: 1"), "{said}");
    machine.provision(puppet(true)).succeeded();
    assert_eq!(names(&staging), ["manifests"]);
}

#[test]
fn puppets_agent_is_told_its_server_and_its_keys_do_not_stay() {
    let machine = Machine::with(&["puppet"]);
    machine.program.write("certs/web.pem", "certificate");
    machine.program.write("keys/web.pem", "a private key");
    let staging = machine.path("staging");
    let secret = "s3cr3t-f4ct-w0rd";
    let run = machine
        .provision_with(
            json!({"token": secret}),
            json!({
                "type": "puppet-server", "puppet_server": "puppet.example.com", "puppet_node": "web",
                "client_cert_path": "certs", "client_private_key_path": "keys", "prevent_sudo": true,
                "facter": {"token": "{{user `token`}}"}, "staging_dir": staging,
                "extra_arguments": ["--tags", "a,b"]
            }),
        )
        .succeeded();
    let record = &machine.records()[0];
    let arguments = lines(record.join("arguments"));
    let expected = [
        "agent",
        "--onetime",
        "--no-daemonize",
        "--detailed-exitcodes",
        "--server=puppet.example.com",
        "--certname=web",
    ];
    assert_eq!(arguments[..6], expected);
    assert_eq!(arguments[6], format!("--certdir={staging}/certs"));
    assert_eq!(arguments[8..], ["--tags", "a,b"]);
    assert!(read(record.join("environment")).contains(&format!("FACTER_token={secret}\0")));
    assert!(!read(record.join("processes")).contains(secret));
    assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret));
    assert_eq!(read(record.join("directory")).trim(), staging);
    assert_eq!(names(&staging), ["certs"]);
}

#[test]
fn chef_solo_gets_its_cookbooks_attributes_and_secrets_and_the_secrets_do_not_stay() {
    let machine = Machine::with(&["chef-solo"]);
    machine.program.write("cookbooks/web/recipes/default.rb", "# recipe");
    machine.program.write("roles/web.json", "{}");
    machine.program.write("secret", "the data bags' secret");
    let staging = machine.path("staging");
    let password = "s3cr3t-'\"w0rd";
    let run = machine
        .provision_with(
            json!({"password": password}),
            json!({
                "type": "chef-solo", "cookbook_paths": ["cookbooks"], "roles_path": "roles",
                "remote_cookbook_paths": ["/srv/it's"], "encrypted_data_bag_secret_path": "secret",
                "json": {"web": {"port": 80, "words": ["a", true]}, "run_list": ["x"]},
                "json_string": "{\"password\": \"{{user `password`}}\"}",
                "run_list": ["recipe[web]"], "version": "17.10.0", "prevent_sudo": true,
                "install_command": format!("echo {{{{.Version}}}} > {}", machine.path("installed")),
                "staging_directory": staging
            }),
        )
        .succeeded();
    assert!(run.stdout.contains("chef-solo was here"), "{}", run.stdout);
    assert_eq!(machine.program.read("installed"), "17.10.0\n");
    let record = &machine.records()[0];
    let paths = [format!("{staging}/solo.rb"), format!("{staging}/node.json")];
    assert_eq!(lines(record.join("arguments")), ["--no-color", "-c", &paths[0], "-j", &paths[1]]);
    assert_eq!(
        read(record.join("solo.rb")),
        format!(
            "cookbook_path ['/srv/it\\'s', '{staging}/cookbooks-0']\nrole_path '{staging}/roles'\n\
             encrypted_data_bag_secret '{staging}/encrypted_data_bag_secret'\n"
        )
    );
    let attributes: Json = serde_json::from_str(&read(record.join("node.json"))).unwrap();
    assert_eq!(
        attributes,
        json!({"web": {"port": 80, "words": ["a", true]}, "run_list": ["recipe[web]"], "password": password})
    );
    assert!(read(record.join("modes")).contains(&format!("600 {}", paths[1])));
    assert_eq!(read(record.join("staging/encrypted_data_bag_secret")), "the data bags' secret");
    assert_eq!(read(record.join("staging/cookbooks-0/web/recipes/default.rb")), "# recipe");
    assert!(!read(record.join("processes")).contains("s3cr3t"));
    assert!(!run.stdout.contains(password), "{}", run.stdout);
    assert_eq!(names(&staging), ["cookbooks-0", "roles", "solo.rb"]);
}

#[test]
fn chef_client_registers_runs_and_is_forgotten_by_the_server() {
    let machine = Machine::with(&["chef-client", "knife"]);
    machine.program.write("validation.pem", "a validation key");
    machine.program.write("my.rb", "custom '{{.NodeName}}' '{{.ValidationKeyPath}}'\n");
    let staging = machine.path("staging");
    let client = |more: Json| {
        let mut all = json!({
            "type": "chef-client", "server_url": "https://chef.example.com", "node_name": "web 1",
            "validation_key_path": "validation.pem", "policy_name": "web", "policy_group": "ci",
            "skip_install": true, "prevent_sudo": true, "ssl_verify_mode": "verify_peer",
            "staging_directory": staging
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    machine.provision(client(json!({}))).succeeded();
    let records = machine.records();
    let [chef, node, knife] = records.as_slice() else { panic!("{records:?}") };
    let config = read(chef.join("client.rb"));
    for line in [
        "chef_server_url 'https://chef.example.com'",
        "node_name 'web 1'",
        "policy_name 'web'",
        "validation_client_name 'chef-validator'",
        "ssl_verify_mode 'verify_peer'.to_sym",
    ] {
        assert!(config.contains(line), "{line}\n{config}");
    }
    assert_eq!(read(chef.join("staging/validation.pem")), "a validation key");
    assert_eq!(lines(node.join("arguments"))[..4], ["node", "delete", "web 1", "-y"]);
    assert_eq!(lines(knife.join("arguments"))[..3], ["client", "delete", "web 1"]);
    assert!(read(knife.join("knife.rb")).contains("node_name 'web 1'"));
    assert!(!Path::new(&staging).exists());

    let more = json!({"skip_clean_node": true, "skip_clean_client": true, "config_template": "my.rb",
        "skip_clean_staging_directory": true});
    machine.provision(client(more)).succeeded();
    assert_eq!(machine.records().len(), 4);
    let config = read(machine.records()[3].join("client.rb"));
    assert_eq!(config, format!("custom 'web 1' '{staging}/validation.pem'\n"));
    assert_eq!(names(&staging), ["client.rb", "first-boot.json", "knife.rb"]);
}

#[test]
fn salt_gets_states_pillar_and_formulas_and_replaces_what_was_there() {
    let machine = Machine::with(&["salt-call"]);
    machine.program.write("states/top.sls", "base: {'*': [web]}");
    machine.program.write("states/.git/config", "not for the machine");
    machine.program.write("pillar/top.sls", "base: {}");
    machine.program.write("srv/salt/old.sls", "from before");
    machine.program.write("formulas.git/nginx/init.sls", "v1");
    let commit = "git init -q && git add -A && git -c user.name=t -c user.email=t@example.com \
                  commit -qm one && git tag v1";
    let mut git = Command::new("sh");
    git.args(["-c", commit]).current_dir(machine.path("formulas.git"));
    assert!(git.status().unwrap().success());
    let run = machine
        .provision(json!({
            "type": "salt-masterless", "local_state_tree": "states", "local_pillar_roots": "pillar",
            "formulas": [format!("git::file://{}//nginx?ref=v1", machine.path("formulas.git"))],
            "remote_state_tree": machine.path("srv/salt"), "remote_pillar_roots": machine.path("srv/pillar"),
            "skip_bootstrap": true, "disable_sudo": true, "custom_state": "web",
            "salt_call_args": "--retcode-passthrough", "temp_config_dir": machine.path("staging")
        }))
        .succeeded();
    assert!(run.stdout.contains("salt-call was here"), "{}", run.stdout);
    let roots = [
        format!("--file-root={}", machine.path("srv/salt")),
        format!("--pillar-root={}", machine.path("srv/pillar")),
    ];
    assert_eq!(
        lines(machine.records()[0].join("arguments")),
        [
            "--local",
            "state.sls",
            "web",
            &roots[0],
            &roots[1],
            "--retcode-passthrough",
            "-l",
            "info",
            "--retcode-passthrough"
        ]
    );
    assert_eq!(names(machine.path("srv/salt")), ["nginx", "top.sls"]);
    assert_eq!(read(machine.path("srv/salt/nginx/init.sls")), "v1");
    assert_eq!(names(machine.path("srv/pillar")), ["top.sls"]);
    assert!(!Path::new(&machine.path("states/nginx")).exists());
    assert_eq!(names(machine.path("staging")), [""; 0]);
}

/// Logs in as it is told, and records the rest.
const INSPEC: &str = r#"
while [ $# -gt 0 ]; do
  case $1 in --user) user=$2;; --host) host=$2;; --port) port=$2;; --key-files) key=$2;; esac
  shift
done
if [ -n "$key" ]; then
  ssh -F none -i "$key" -p "$port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
    -o IdentitiesOnly=yes "$user@$host" echo logged in || exit 9
fi
exit ${INSPEC_STATUS:-0}
"#;

#[test]
fn inspec_logs_in_over_the_builds_connection_and_tells_no_password() {
    let machine = Machine::with(&["inspec"]);
    let text = read(machine.path("bin/inspec"));
    fs::write(machine.path("bin/inspec"), text + INSPEC).unwrap();
    machine.program.write("profile/inspec.yml", "name: x");
    machine.program.write("inputs.yml", "a: 1");
    let password = "s3cr3t-w0rd";
    let inspec = |status: &str| {
        json!({
            "type": "inspec", "command": machine.path("bin/inspec"), "profile": "profile",
            "attributes": ["inputs.yml"], "extra_arguments": ["--no-color", "--password", "{{user `password`}}"],
            "inspec_env_vars": [format!("INSPEC_STATUS={status}")]
        })
    };
    let secrets = json!({"password": password});
    let run = machine.provision_with(secrets.clone(), inspec("101")).succeeded();
    assert!(run.stdout.contains("logged in"), "{}", run.stdout);
    assert!(!run.stdout.contains(password));
    let record = &machine.records()[0];
    let arguments = lines(record.join("arguments"));
    assert_eq!(arguments[..6], ["exec", "profile", "--backend", "ssh", "--host", "127.0.0.1"]);
    assert_eq!(arguments.last().unwrap(), "--no-color");
    assert!(!read(record.join("processes")).contains(password));
    let config: Json = serde_json::from_str(&read(record.join("config.json"))).unwrap();
    assert_eq!(config["cli_options"]["password"], password);
    let inputs =
        names(record).into_iter().find(|name| name.starts_with("packer-provisioner-inspec"));
    let inputs: Json = serde_json::from_str(&read(record.join(inputs.unwrap()))).unwrap();
    assert_eq!(inputs, json!({"packer_build_name": "web", "packer_builder_type": "null"}));
    // What it was told goes with it.
    let key = arguments.iter().position(|word| word == "--key-files").unwrap() + 1;
    assert!(!Path::new(&arguments[key]).exists());

    let run = machine.provision_with(secrets, inspec("100")).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("Inspec exited with unexpected exit status: 100"), "{said}");
}

/// Builds `provisioner` on `machine`, which has Windows.
fn provision_windows(program: &Program, machine: &WinRm, provisioner: Json) -> Run {
    let builder = machine.builder(json!({"winrm_use_ntlm": true}));
    let template = json!({"builders": [builder], "provisioners": [provisioner]});
    program.write("template.json", template.to_string());
    program.run(["build", "template.json"])
}

#[test]
fn windows_is_known_by_its_shell_and_puppet_runs_elevated_with_any_fact() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    program.write("site.pp", "# manifest");
    program.write("modules/page/init.pp", "# module");
    let mut facts = serde_json::Map::new();
    for (index, value) in AWKWARD.iter().enumerate() {
        facts.insert(format!("awkward_{index}"), (*value).into());
    }
    let run = provision_windows(
        &program,
        &machine,
        json!({
            "type": "puppet-masterless", "manifest_file": "site.pp", "module_paths": ["modules"],
            "facter": facts, "elevated_user": USER, "elevated_password": "{{ build `Password` }}",
            "clean_staging_directory": true
        }),
    )
    .succeeded();
    assert!(!run.stdout.contains(PASSWORD), "{}", run.stdout);
    let log = machine.log();
    assert!(log.iter().any(|line| line.starts_with("tool puppet apply")), "{log:#?}");
    let variables = machine.variables();
    for (index, value) in AWKWARD.iter().enumerate() {
        assert_eq!(variables[0][format!("FACTER_AWKWARD_{index}")], *value);
    }
    assert!(log.iter().any(|line| line.ends_with(&format!(" as {USER}"))), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("site.pp # manifest")), "{log:#?}");
    assert!(!log.concat().contains(PASSWORD));
    assert_eq!(names(machine.file("Windows/Temp")), [""; 0]);
}

#[test]
fn chef_and_salt_find_their_places_on_windows() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    program.write("cookbooks/web/default.rb", "# recipe");
    program.write("states/top.sls", "base: {}");
    let chef = json!({"type": "chef-solo", "cookbook_paths": ["cookbooks"], "run_list": ["web"],
        "skip_install": true});
    provision_windows(&program, &machine, chef).succeeded();
    let log = machine.log();
    assert!(log.iter().any(|line| line.contains(r"c:\opscode\chef\bin\chef-solo.bat")), "{log:#?}");
    assert!(
        log.iter().any(|line| line.contains("solo.rb") && line.contains("cookbook_path")),
        "{log:#?}"
    );
    let left = machine.file("Windows/Temp/packer-chef-solo");
    assert_eq!(names(left), ["cookbooks-0", "node.json", "solo.rb"]);
    let salt = json!({"type": "salt-masterless", "local_state_tree": "states", "skip_bootstrap": true,
        "no_exit_on_failure": true});
    provision_windows(&program, &machine, salt).succeeded();
    assert_eq!(names(machine.file("salt/state")), ["top.sls"]);
}

#[test]
fn chef_and_salt_are_installed_on_windows() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    program.write("cookbooks/web/default.rb", "# recipe");
    program.write("states/top.sls", "base: {}");
    let chef = json!({"type": "chef-solo", "cookbook_paths": ["cookbooks"], "version": "17.10.0"});
    provision_windows(&program, &machine, chef).succeeded();
    let salt = json!({"type": "salt-masterless", "local_state_tree": "states",
        "bootstrap_args": "-Version 3006", "no_exit_on_failure": true});
    provision_windows(&program, &machine, salt).succeeded();
    let log = machine.log();
    let installs = log.iter().filter(|line| line.starts_with("installs "));
    let installs: Vec<_> = installs.map(String::as_str).collect();
    for what in ["-version '17.10.0'", "bootstrap-salt.ps1 -Version 3006", "Git-2.28.0", "/SILENT"]
    {
        assert!(installs.iter().any(|line| line.contains(what)), "{what}: {installs:#?}");
    }
}

#[test]
fn no_secret_is_in_any_output_log_journal_or_file_afterwards() {
    let machine = Machine::with(&["chef-solo"]);
    let password = "s3cr3t-'w0rd";
    fs::create_dir(machine.program.path("tmp")).unwrap();
    let staging = machine.path("staging");
    let builder = machine.sshd.builder(json!({}));
    let template = json!({
        "variables": {"password": ""}, "sensitive-variables": ["password"], "builders": [builder],
        "provisioners": [
            {"type": "chef-solo", "json": {"password": "{{user `password`}}"}, "skip_install": true,
             "prevent_sudo": true, "staging_directory": staging,
             "execute_command": "PW=\"{{user `password`}}\" chef-solo -c {{.ConfigPath}} -j {{.JsonPath}}"},
            {"type": "shell-local", "inline": ["test -n \"$PW\""], "env": {"PW": "{{user `password`}}"}},
        ]
    });
    machine.program.write("template.json", template.to_string());
    let mut command = machine.program.command([
        "build",
        "-machine-readable",
        "-var-file",
        "secret.json",
        "template.json",
    ]);
    machine.program.write("secret.json", json!({"password": password}).to_string());
    command.env("PACKER_LOG", "1").env("TMPDIR", machine.program.path("tmp"));
    let run = Run::of(command.output().unwrap()).succeeded();
    assert!(!run.stdout.contains("s3cr3t") && !run.stderr.contains("s3cr3t"), "{}", run.stdout);
    let record = machine.program.path("record");
    assert!(!read(machine.records()[0].join("processes")).contains("s3cr3t"));
    assert!(read(machine.records()[0].join("environment")).contains(password));
    for entry in walkdir::WalkDir::new(machine.program.dir()).into_iter().flatten() {
        let is_input = entry.path().ends_with("secret.json") || entry.path().starts_with(&record);
        if entry.file_type().is_file() && !is_input {
            let text = fs::read(entry.path()).unwrap();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains("s3cr3t"), "{}", entry.path().display());
        }
    }
}

/// A stand-in that says that it has begun, and then does `what`.
fn chef_that(machine: &Machine, what: &str) -> Json {
    let begun = machine.path("begun");
    let text = format!("#!/bin/sh\ntouch {begun}\n{what}\n");
    fs::write(machine.path("bin/chef-solo"), text).unwrap();
    machine.program.write("secret", "the data bags' secret");
    machine.program.write("cookbooks/web/default.rb", "# recipe");
    json!({
        "type": "chef-solo", "encrypted_data_bag_secret_path": "secret", "skip_install": true,
        "cookbook_paths": ["cookbooks"], "prevent_sudo": true, "staging_directory": machine.path("staging")
    })
}

#[test]
fn a_run_that_is_interrupted_leaves_no_secret_on_the_machine() {
    let machine = Machine::with(&["chef-solo"]);
    let chef = chef_that(&machine, "sleep 60");
    let builder = machine.sshd.builder(json!({}));
    let template = json!({"builders": [builder], "provisioners": [chef]});
    machine.program.write("template.json", template.to_string());
    let child = machine.program.start(["build", "template.json"]);
    let begun = std::time::Instant::now();
    while !machine.program.path("begun").exists() {
        assert!(begun.elapsed().as_secs() < 30, "Chef does not begin");
        pause(50);
    }
    signal(&child, "INT");
    Program::finish(child).failed_with(1);
    assert!(begun.elapsed().as_secs() < 40, "it hangs");
    assert_eq!(names(machine.path("staging")), ["cookbooks-0", "node.json", "solo.rb"]);
}

#[test]
fn a_run_that_loses_its_connection_ends_and_leaves_no_secret() {
    let machine = Machine::with(&["chef-solo"]);
    // The session's own sshd, the nearest above the program: the server itself lives.
    let disconnect = "p=$$; until ps -o comm= -p $p | grep -q ^sshd; do \
                      p=$(ps -o ppid= -p $p | tr -d ' '); done; kill -9 $p; sleep 5";
    let chef = chef_that(&machine, disconnect);
    let run = machine.provision(chef).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("the connection was lost while Chef ran"), "{said}");
    assert_eq!(names(machine.path("staging")), ["cookbooks-0", "node.json", "solo.rb"]);
}

#[test]
fn an_empty_path_in_a_list_is_refused() {
    let program = Program::new();
    program.write("site.yml", "[]");
    for provisioner in [
        json!({"type": "chef-solo", "cookbook_paths": [""]}),
        json!({"type": "puppet-masterless", "manifest_file": "site.yml", "module_paths": [""]}),
        json!({"type": "ansible-local", "playbook_files": [""]}),
        json!({"type": "ansible-local", "playbook_file": "site.yml", "role_paths": [""]}),
        json!({"type": "ansible-local", "playbook_file": "site.yml", "playbook_paths": [""]}),
        json!({"type": "ansible-local", "playbook_file": "site.yml", "collection_paths": [""]}),
        json!({"type": "file", "sources": [""], "destination": "/tmp/x"}),
        json!({"type": "shell", "scripts": [""]}),
    ] {
        let builder = json!({"type": "null", "communicator": "none"});
        let template = json!({"builders": [builder], "provisioners": [provisioner]});
        program.write("template.json", template.to_string());
        let run = program.run(["validate", "template.json"]).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("an empty text is no path"), "{provisioner}: {said}");
    }
}
