//! What a real `cmd` makes of our lines: Debian's wine has one. It reads them as a line that is typed, which
//! is how the service and the SSH server of Windows hand them to it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imgbake::guest::shell::{Cmd, LoginShell, Shell as _};
use serde_json::{Value as Json, json};

use super::support::{Program, WinRm, cache_dir};

/// A Windows of wine's, and its drive.
struct Wine {
    prefix: PathBuf,
}

impl Wine {
    /// The one of all tests; `None`, and said, where wine is not installed.
    fn new() -> Option<Self> {
        let wine = Self { prefix: cache_dir().join("wine-1") };
        std::fs::create_dir_all(&wine.prefix).unwrap();
        let boot = wine.command("wineboot").arg("--init").output();
        if !boot.is_ok_and(|boot| boot.status.success()) {
            println!("no wine here: no line is read by a real cmd");
            return None;
        }
        Some(wine)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all").env("LANG", "C.UTF-8");
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=").env_remove("DISPLAY");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn file(&self, path: &str) -> PathBuf {
        self.prefix.join("drive_c").join(path)
    }

    /// Has `cmd` run `line`.
    fn run(&self, line: &str) {
        let mut child =
            self.command("wine").args(["cmd", "/q"]).stdin(Stdio::piped()).spawn().unwrap();
        let lines = format!("{line}\r\nexit\r\n");
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait().unwrap();
    }
}

/// What a script of a build is given on its command line.
const VALUES: [&str; 7] = [
    "a&b|c",
    "<in >out",
    "(a) if not (b",
    "it's; a, list=of `words`",
    "c:\\dir with space\\",
    "$HOME ~ # @ [x] {y}",
    "trailing ",
];

/// The variables that a script had, which wrote them to `path`.
fn written(path: &Path) -> Vec<String> {
    let text = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| line.trim_end_matches('\r').to_owned())
        .collect()
}

#[test]
fn a_real_cmd_gives_scripts_their_variables_unchanged() {
    let Some(wine) = Wine::new() else { return };
    let (program, machine) = (Program::new(), WinRm::basic());
    let env: Json = VALUES.iter().enumerate().map(|(n, v)| (format!("V{n}"), json!(v))).collect();
    let template = json!({
        "builders": [machine.builder(json!({}))],
        "provisioners": [{"type": "windows-shell", "inline": ["echo"], "env": env}],
    });
    program.write("t.json", template.to_string());
    program.run(["build", "t.json"]).succeeded();
    let log = machine.log();
    let line =
        log.iter().find_map(|line| line.strip_prefix("cmd ").filter(|l| l.contains("set \"")));
    let line = line.unwrap_or_else(|| panic!("{log:#?}"));
    std::fs::create_dir_all(wine.file("windows/temp")).unwrap();
    std::fs::write(wine.file("windows/temp/script.bat"), "@set V>c:\\windows\\temp\\out.txt\r\n")
        .unwrap();
    let out = wine.file("windows/temp/out.txt");
    // As WinRM's service runs it, and as OpenSSH's does, through a `cmd` of the login.
    for line in [line.to_owned(), LoginShell::Cmd.line_for_cmd(line)] {
        let _ = std::fs::remove_file(&out);
        wine.run(&line);
        let found = written(&out);
        for (n, value) in VALUES.iter().enumerate() {
            assert!(found.contains(&format!("V{n}={value}")), "V{n}={value} of {line}: {found:#?}");
        }
    }
}

#[test]
fn a_real_cmd_finds_our_paths() {
    let Some(wine) = Wine::new() else { return };
    let names = ["a b", "it's & more", "(x) ^y", "100%", "semi;colon,comma=is!"];
    let paths: Vec<String> = names.iter().map(|name| format!("c:/imgbake/{name}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let _ = std::fs::remove_dir_all(wine.file("imgbake"));
    wine.run(&Cmd.make_directories(&paths));
    for name in names {
        assert!(wine.file("imgbake").join(name).is_dir(), "{name}");
        std::fs::write(wine.file("imgbake").join(name).join("file"), "x").unwrap();
    }
    let files: Vec<String> = paths.iter().map(|path| format!("{path}/file")).collect();
    wine.run(&Cmd.move_to(&files[0], &files[1].replace("file", "moved")));
    assert!(wine.file("imgbake").join(names[1]).join("moved").exists());
    wine.run(&Cmd.remove_files(&files.iter().map(String::as_str).collect::<Vec<_>>()));
    for name in names {
        assert!(!wine.file("imgbake").join(name).join("file").exists(), "{name}");
    }
    wine.run(&Cmd.in_directory(paths[2], "echo x>here"));
    assert!(wine.file("imgbake").join(names[2]).join("here").exists());
    wine.run(
        &Cmd.one_by_one(&paths.iter().map(|path| Cmd.remove_directory(path)).collect::<Vec<_>>()),
    );
    assert_eq!(std::fs::read_dir(wine.file("imgbake")).unwrap().count(), 0);
}
