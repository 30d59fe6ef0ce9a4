//! The builder `vagrant`: Debian's `vagrant`, with a provider of our own that starts no machine. Whoever
//! connects reaches an sshd of the test.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::support::{Program, Run, Sshd, pause, signal};

/// The provider, in the template of a Vagrantfile. It writes down what it is told, and its new box says with
/// what it is packed.
const VAGRANTFILE: &str = r#"# {{ .BoxName }} {{ .InsertKey }} {{ .SyncedFolder }}
module StandIn
  class Provider < Vagrant.plugin("2", :provider)
    def self.usable?(raise_error = false) = true
    def initialize(machine) = @machine = machine

    def action(name)
      machine = @machine
      File.open(ENV["STANDIN_LOG"], "a") { |log| log.puts(name) }
      step = {
        up: ->(env) { machine.id = "standin-1" },
        destroy: ->(env) { machine.id = nil },
        halt: ->(env) { },
        suspend: ->(env) { },
        package: ->(env) {
          File.write(env["package.output"], [env["package.include"], env["package.vagrantfile"]].join("|"))
        },
      }[name] or return nil
      Vagrant::Action::Builder.new.tap { |actions| actions.use step }
    end

    def ssh_info
      { host: "127.0.0.1", port: ENV["STANDIN_PORT"].to_i, username: ENV["STANDIN_USER"],
        private_key_path: ENV["STANDIN_KEY"] }
    end

    def state
      name = @machine.id ? :running : :not_created
      Vagrant::MachineState.new(name, name.to_s, name.to_s)
    end
  end

  class Plugin < Vagrant.plugin("2")
    name "standin"
    provider(:standin, box_format: "standin") { Provider }
  end
end
{{ .DefaultTemplate }}"#;

/// What a build needs: a box, the provider, and a machine to reach.
struct Stage {
    program: Program,
    sshd: Sshd,
}

impl Stage {
    fn new() -> Self {
        let (program, sshd) = (Program::new(), Sshd::start());
        program.write("metadata.json", r#"{"provider": "standin"}"#);
        let mut tar = Command::new("tar");
        tar.args(["czf", "x.box", "metadata.json"]).current_dir(program.dir());
        assert!(tar.status().unwrap().success());
        program.write("Vagrantfile.tpl", VAGRANTFILE);
        let variables = [
            ("STANDIN_LOG", program.path("log").display().to_string()),
            ("STANDIN_PORT", sshd.port.to_string()),
            ("STANDIN_USER", sshd.user.clone()),
            ("STANDIN_KEY", sshd.key("ed25519").display().to_string()),
        ];
        Self { program: program.with(variables), sshd }
    }

    /// A template with these `options`, whose machine runs `command`.
    fn write(&self, options: &str, command: &str) {
        let template = format!(
            "source \"vagrant\" \"x\" {{\n  communicator = \"ssh\"\n  provider = \"standin\"\n{options}\n}}\n\
             build {{\n  sources = [\"source.vagrant.x\"]\n  provisioner \"shell\" {{\n    \
             inline = [\"{command}\"]\n    remote_folder = \"{}\"\n  }}\n}}\n",
            self.program.dir().display()
        );
        self.program.write("t.pkr.hcl", template);
    }

    fn build(&self) -> Run {
        self.program.run(["build", "-color=false", "-state-dir=state", "t.pkr.hcl"])
    }

    /// What the provider was told, of what changes something.
    fn told(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.program.path("log")).unwrap_or_default();
        let changes = ["up", "destroy", "halt", "suspend", "package"];
        log.lines().filter(|line| changes.contains(line)).map(str::to_owned).collect()
    }

    fn journals(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.program.path("state/journal"));
        let files = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).collect()
    }
}

const FILE: &str = "source_path = \"./x.box\"\ntemplate = \"Vagrantfile.tpl\"";

#[test]
fn a_machine_is_started_from_a_box_and_packed_into_a_new_one() {
    let stage = Stage::new();
    let sum = hex::encode(Sha256::digest(std::fs::read(stage.program.path("x.box")).unwrap()));
    std::fs::create_dir(stage.program.path("shared")).unwrap();
    stage.program.write("more.txt", "more");
    stage.program.write("new.rb", "# new");
    let options = format!(
        "{FILE}\nchecksum = \"sha256:{sum}\"\nadd_force = true\nsynced_folder = \"shared\"\n\
         package_include = [\"more.txt\"]\noutput_vagrantfile = \"new.rb\""
    );
    stage.write(&options, "echo on $(id -un) as $PACKER_BUILDER_TYPE");
    let run = stage.build().succeeded();
    for line in [
        "Creating a Vagrantfile in the build directory...".to_owned(),
        "Successfully added box 'packer_x'".to_owned(),
        format!("on {} as vagrant", stage.sshd.user),
        "destroying Vagrant box...".to_owned(),
        "Vagrant box 'package.box' for 'standin' provider".to_owned(),
    ] {
        assert!(run.stdout.contains(&line), "{line}: {}", run.stdout);
    }
    assert_eq!(stage.told(), ["up", "package", "destroy"]);
    let whole = |name: &str| stage.program.path(name).display().to_string();
    let packed = stage.program.read("output-x/package.box");
    assert_eq!(packed, format!("{}|{}", whole("more.txt"), whole("new.rb")));
    let vagrantfile = stage.program.read("output-x/Vagrantfile");
    let first = format!("# packer_x false {}\n", whole("shared"));
    assert!(vagrantfile.starts_with(&first), "{vagrantfile}");
    let folder = format!("config.vm.synced_folder \"{}\", \"/vagrant\"\n", whole("shared"));
    assert!(vagrantfile.contains(&folder), "{vagrantfile}");
    assert_eq!(stage.journals(), [] as [PathBuf; 0]);
}

#[test]
fn a_build_that_fails_ends_its_machine_and_leaves_no_directory() {
    let stage = Stage::new();
    stage.write(FILE, "exit 3");
    stage.build().failed_with(1);
    assert_eq!(stage.told(), ["up", "destroy"]);
    assert!(!stage.program.path("output-x").exists());
    let wrong = format!("{FILE}\nchecksum = \"md5:00000000000000000000000000000000\"");
    stage.write(&wrong, "true");
    let run = stage.build().failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("00000000000000000000000000000000"), "{said}");
    assert_eq!(stage.told(), ["up", "destroy"]);
}

/// As the first version with the builder wrote it (1a9d9bc).
const JOURNAL: &str = r#"{"imgbake":{"journal":1}}
{"intent":{"entry":0,"build":"vagrant.x","thing":{"kind":"Vagrant machine","name":"source","place":"$DIR","clue":{"vagrant":{"directory":"$DIR","machine":"source","teardown":"destroy"}}}}}
{"made":{"entry":0,"id":"source"}}
"#;

#[test]
fn the_machine_of_a_killed_build_is_destroyed_by_cleanup() {
    let stage = with_the_machine_of_a_killed_build();
    let run = stage.program.run(["cleanup", "-dry-run", "-state-dir=state"]).succeeded();
    assert!(run.stdout.contains("Vagrant machine source in "), "{}", run.stdout);
    assert_eq!(stage.told(), ["up"]);
    stage.program.run(["cleanup", "-state-dir=state"]).succeeded();
    assert_eq!(stage.told(), ["up", "destroy"]);
    assert_eq!(stage.journals(), [] as [PathBuf; 0]);
    stage.program.run(["cleanup", "-state-dir=state"]).succeeded();
    assert_eq!(stage.told(), ["up", "destroy"]);
}

#[test]
fn so_is_one_of_an_earlier_version() {
    let stage = with_the_machine_of_a_killed_build();
    let directory = stage.program.path("output-x").display().to_string();
    for journal in stage.journals() {
        std::fs::write(journal, JOURNAL.replace("$DIR", &directory)).unwrap();
    }
    stage.program.run(["cleanup", "-state-dir=state"]).succeeded();
    assert_eq!(stage.told(), ["up", "destroy"]);
    assert_eq!(stage.journals(), [] as [PathBuf; 0]);
}

/// Its provisioner waits when the build is killed.
fn with_the_machine_of_a_killed_build() -> Stage {
    let stage = Stage::new();
    let started = stage.program.path("started");
    stage.write(FILE, &format!("touch {}; sleep 60", started.display()));
    let mut child = stage.program.start(["build", "-color=false", "-state-dir=state", "t.pkr.hcl"]);
    while !started.exists() {
        assert!(child.try_wait().unwrap().is_none(), "{:?}", Program::finish(child));
        pause(50);
    }
    signal(&child, "KILL");
    child.wait().unwrap();
    assert_eq!(stage.told(), ["up"]);
    stage
}

#[test]
fn a_machine_that_is_there_is_used_and_only_halted() {
    let stage = Stage::new();
    stage.write(&format!("{FILE}\nteardown_method = \"suspend\"\nskip_package = true"), "true");
    let run = stage.build().succeeded();
    assert!(run.stdout.contains("skip_package flag set"), "{}", run.stdout);
    assert_eq!(stage.told(), ["up", "suspend"]);
    let index = stage.program.read(".vagrant.d/data/machine-index/index");
    let index: Json = serde_json::from_str(&index).unwrap();
    let id = index["machines"].as_object().unwrap().keys().next().unwrap()[..7].to_owned();
    stage.write(&format!("global_id = \"{id}\"\noutput_dir = \"again\""), "true");
    let run = stage.build().succeeded();
    assert!(run.stdout.contains("Using a global-id"), "{}", run.stdout);
    assert_eq!(stage.told(), ["up", "suspend", "up", "package", "halt"]);
    assert!(stage.program.path("again/package.box").exists());
}

#[test]
fn what_cannot_be_is_said_before_anything_runs() {
    let program = Program::new();
    program.write("x.box", "");
    for (options, why) in [
        ("", "needs `source_path`"),
        ("source_path = \"a/b\"\nglobal_id = \"1\"", "give one of the two"),
        ("source_path = \"missing.box\"", "there is no box missing.box"),
        (
            "source_path = \"a/b\"\nchecksum = \"none\"\nsynced_folder = \"missing\"",
            "does not exist",
        ),
        (
            "source_path = \"a/b\"\nchecksum = \"md5:00000000000000000000000000000000\"",
            "`.box` file",
        ),
        ("source_path = \"x.box\"\nchecksum = \"what\"", "this is no checksum"),
        ("source_path = \"x.box\"\ntemplate = \"missing\"", "there is no file"),
        ("source_path = \"x.box\"\nteardown_method = \"burn\"", "teardown_method"),
        ("source_path = \"x.box\"\ncommunicator = \"winrm\"", "this builder does not take it"),
    ] {
        program.write("t.pkr.hcl", format!(
            "source \"vagrant\" \"x\" {{\n{options}\n}}\nbuild {{\n  sources = [\"source.vagrant.x\"]\n}}\n"
        ));
        let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn options_of_installers_change_nothing_and_are_warned_of() {
    let program = Program::new();
    let options = "source_path = \"a/b\"\n  boot_wait = \"1s\"\n  http_directory = \"http\"\n  \
                   iso_url = \"x.iso\"\n  iso_checksum = \"none\"\n  floppy_files = [\"x\"]";
    program.write("t.pkr.hcl", format!(
        "source \"vagrant\" \"x\" {{\n  {options}\n}}\nbuild {{\n  sources = [\"source.vagrant.x\"]\n}}\n"
    ));
    let run = program.run(["validate", "t.pkr.hcl"]).succeeded();
    let said = format!("{}{}", run.stdout, run.stderr);
    for option in ["boot_wait", "http_directory", "iso_url", "iso_checksum", "floppy_files"] {
        assert!(said.contains(&format!("`{option}` changes nothing")), "{option}: {said}");
    }
}
