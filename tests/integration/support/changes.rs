//! `-skip-unchanged`: what its runs say, and the changes that every builder must tell apart.

use std::os::unix::fs::PermissionsExt;

use super::{Program, Run};

/// What is said where nothing has changed ends with this.
pub const SAME: &str = "was made from the same";

/// The key with which secrets enter a fingerprint.
pub const KEY: (&str, &str) = ("IMGBAKE_FINGERPRINT_KEY", "correct horse");

/// What `-explain-changes` says has changed, or that nothing has.
#[track_caller]
pub fn explained(run: &Run) -> String {
    let said = run.stdout.lines().find_map(|line| {
        line.split_once("It would be baked: ").or_else(|| line.split_once("Not baked: "))
    });
    let said = said.unwrap_or_else(|| panic!("{run:#?}")).1.to_owned();
    said.split(" changed since").next().expect("a text").to_owned()
}

/// The newest entry of the manifest, without its times.
pub fn entry(program: &Program) -> serde_json::Value {
    let manifest: serde_json::Value =
        serde_json::from_str(&program.read("packer-manifest.json")).expect("JSON");
    let mut entry = manifest["builds"].as_array().expect("builds").last().expect("one").clone();
    for of_a_run in ["build_time", "packer_run_uuid"] {
        entry.as_object_mut().expect("an entry").remove(of_a_run);
    }
    entry
}

/// Provisioners that work without a machine, and after one.
const DECLARED: [&str; 2] = [
    r#"
    # imgbake:inputs(lib/**, COLOUR)
    provisioner "shell-local" { inline = ["echo ${var.greeting}"] }
"#,
    r#"
    # imgbake:inputs(lib/**)
    provisioner "shell-local" { inline = ["test -n '${var.password}'"] }
"#,
];

/// The variables of all templates here.
const VARIABLES: &str = r#"
variable "greeting" { default = "hello" }
variable "idle" { default = "1" }
variable "password" {
  default   = "hunter22"
  sensitive = true
}
"#;

/// A template, and what changes in it.
pub struct Changes<'a> {
    /// Where it is; what it reads is there, too.
    pub program: &'a Program,
    /// The template, with `{options}` in its source and `{more}` in its build.
    pub template: &'a str,
    /// An option that the builder has, as it is not in the template.
    pub option: (&'a str, &'a str),
    /// Whether its image can be tested.
    pub tests: bool,
}

impl Changes<'_> {
    /// Writes the template with these options, provisioners and post-processors.
    pub fn write(&self, options: &str, more: &str) {
        let text = self.template.replace("{options}", options).replace("{more}", more);
        self.program.write("t.pkr.hcl", format!("{VARIABLES}{text}"));
    }

    /// `build` with these flags. There is a key, so that secrets count.
    pub fn build(&self, flags: &[&str], colour: &str) -> Run {
        let args = ["build", "-color=false"].iter().chain(flags).chain([&"t.pkr.hcl"]).copied();
        let mut command = self.program.command(args);
        command.env(KEY.0, KEY.1).env("COLOUR", colour);
        Run::of(command.output().expect("imgbake starts"))
    }

    /// What `-explain-changes` says of this state.
    pub fn explain(&self, flags: &[&str], colour: &str) -> String {
        let flags: Vec<_> = ["-explain-changes"].iter().chain(flags).copied().collect();
        explained(&self.build(&flags, colour).succeeded())
    }

    #[track_caller]
    fn is(&self, what: &str, expected: &str) {
        let said = self.explain(&[], "red");
        match expected {
            SAME => assert!(said.ends_with(SAME), "{what}: {said}"),
            expected => assert_eq!(said, expected, "{what}"),
        }
    }

    /// An image that has passed no test, or another one, is not the one that was asked for.
    fn each_test_is_named(&self, base: &str) {
        let test = |more: &str| format!("{base}\npost-processor \"boot-test\" {{\n{more}\n}}\n");
        self.write("", &test("listening = [22]"));
        self.is("a new test", "the test `boot-test`");
        self.program.write("test.sh", "true");
        self.write("", &test("script = \"test.sh\""));
        self.is("a test with a file", "the test `boot-test` and test.sh");
    }

    /// Provisioners are known by their places.
    fn each_provisioner_is_named(&self, base: &str) {
        let [first, second] = DECLARED;
        let before = base.matches("provisioner \"").count();
        let name = |at: usize, kind: &str| format!("provisioner {} ({kind})", before + at);
        self.write("", &format!("{base}{second}{first}"));
        self.is("another order", "the order of the provisioners");
        let sleep = "provisioner \"sleep\" { duration = \"1s\" }\n";
        self.write("", &format!("{base}{first}{sleep}{second}"));
        self.is("a new provisioner", &name(2, "sleep"));
        self.write("", &format!("{base}{first}"));
        self.is("one provisioner less", "a provisioner that is gone");
        self.write("", &format!("{base}{first}{second}"));
        let given = |value: &str| self.explain(&["-var", value], "red");
        // Others may use it, too.
        assert!(given("greeting=bye").ends_with(&name(1, "shell-local")));
        assert_eq!(given("password=hunter23"), name(2, "shell-local"), "a secret");
        assert!(given("idle=2").ends_with(SAME));
    }

    /// Bakes with the provisioners `base`, and goes through all changes that each builder must name.
    pub fn each_is_named(&self, base: &str) {
        let own = base;
        let base = &format!("{base}{}", DECLARED.concat());
        let write = |name: &str, text: &str| drop(self.program.write(name, text));
        write("lib/a.sh", "true");
        self.write("", base);
        self.build(&["-skip-unchanged"], "red").succeeded();
        self.is("nothing", SAME);
        self.each_provisioner_is_named(own);
        self.write("# a comment", base);
        self.is("a comment", SAME);
        self.write("", &format!("\n\n{base}  "));
        self.is("white space", SAME);
        self.write("", &format!("{base}\npost-processor \"checksum\" {{}}\n"));
        self.is("a post-processor", SAME);
        if self.tests {
            self.each_test_is_named(base);
        }
        let (name, value) = self.option;
        self.write(&format!("{name} = {value}"), base);
        self.is("a new option", &format!("`{name}`"));
        self.write("", base.trim().split("# imgbake").next().expect("a text"));
        let gone = "a provisioner that is gone, a file that is not used any more and a variable that \
                    is not used any more";
        self.is("fewer provisioners", gone);
        self.write("", base);
        write("lib/a.sh", "false");
        self.is("a declared file", "lib/a.sh");
        let path = self.program.path("lib/a.sh");
        write("lib/a.sh", "true");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a file");
        self.is("what can be executed", "lib/a.sh");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("a file");
        self.is("who may read it here", SAME);
        assert_eq!(self.explain(&[], "blue"), "the variable COLOUR");
        assert!(self.explain(&["-skip-unchanged", "-max-age=1ms"], "red").ends_with("old"));
        self.is("nothing again", SAME);
    }
}
