//! `imgbake completion` and `-autocomplete-install`: what a shell offers.

use std::path::Path;
use std::process::Command;

use crate::support::Program;

/// What bash offers for `line`, after sourcing the script.
fn bash(line: &str) -> Vec<String> {
    let bin = Path::new(env!("CARGO_BIN_EXE_imgbake")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let script = "source <(imgbake completion bash); COMP_LINE=$1 COMP_POINT=${#1}; \
                  complete -p imgbake >/dev/null && _imgbake; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", script, "bash", line]).env_clear().env("PATH", path);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(bash("imgbake va"), ["validate"]);
    assert_eq!(bash("imgbake fmt -re"), ["-recursive"]);
    assert_eq!(bash("imgbake fmt --re"), ["--recursive"]);
    assert_eq!(
        bash("imgbake build -on-error "),
        ["cleanup", "abort", "ask", "run-cleanup-provisioner"]
    );
    // To bash, the word begins behind the `=`.
    assert_eq!(bash("imgbake build -force -on-error=c"), ["cleanup"]);
    assert_eq!(bash("imgbake build "), [""; 0], "files are the shell's own business");
}

#[test]
fn what_is_offered_really_works() {
    let program = Program::new();
    program.write("t.pkr.hcl", "source \"null\" \"x\" {\n  communicator = \"none\"\n}\n");
    for flag in bash("imgbake validate -") {
        let run = program.run(["validate", &flag, "t.pkr.hcl"]);
        assert!(!run.stderr.contains("has no flag"), "{flag}: {}", run.stderr);
    }
}

#[test]
fn it_is_installed_once_and_removed_without_a_trace() {
    let program = Program::new();
    program.run(["-autocomplete-install"]).failed_with(1);
    program.write(".bashrc", "alias x=y");
    program.write(".config/fish/config.fish", "");
    for _ in 0..2 {
        program.run(["-autocomplete-install"]).succeeded();
        let line = "source <(imgbake completion bash) # imgbake -autocomplete-install\n";
        assert_eq!(program.read(".bashrc"), format!("alias x=y\n{line}"));
    }
    let fish = ".config/fish/completions/imgbake.fish";
    assert!(program.read(fish).starts_with("imgbake completion fish | source"));
    program.run(["--autocomplete-uninstall"]).succeeded();
    assert_eq!(program.read(".bashrc"), "alias x=y\n");
    assert!(!program.path(fish).exists() && !program.path(".zshrc").exists());
}
