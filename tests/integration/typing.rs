//! What is typed at a machine, and what people see of its screen.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgbake::event::{Message, Ui};
use imgbake::vm::album::Album;
use imgbake::vm::machine::Machine;
use imgbake::vm::watch::{Rhythm, Watch};
use tokio_util::sync::CancellationToken;

use crate::support::{Program, Run, disk_that_prints_scancodes, disk_that_reads_slowly, signal};

/// A guest that prints the keys that it gets into `keys.txt`, and powers off by itself.
fn program(disk: Vec<u8>, options: &str) -> Program {
    let program = Program::new();
    program.write("keys.raw", disk);
    program.write(
        "keys.pkr.hcl",
        format!(
            r#"source "qemu" "q" {{
  disk_image   = true
  iso_url      = "keys.raw"
  iso_checksum = "none"
  disk_size    = "2M"
  memory       = 16
  headless     = true
  accelerator  = "tcg"
  communicator = "none"
  vm_name      = "keys.qcow2"
  qemuargs     = [["-debugcon", "file:keys.txt"]]
  boot_wait    = "-1s"
{options}
}}
build {{
  sources = ["qemu.q"]
}}
"#
        ),
    );
    program
}

fn build(program: &Program) -> Run {
    program.run(["build", "-color=false", "keys.pkr.hcl"])
}

/// `text` as HCL writes it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text").replace("${", "$${").replace("%{", "%%{")
}

/// The keys of a PC keyboard by the codes that firmware sees, after IBM's tables.
const ROWS: [(u8, &str, &str); 4] = [
    (0x02, "1234567890-=", "!@#$%^&*()_+"),
    (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
    (0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
];

const SPECIALS: [(&str, &[u8]); 41] = [
    ("bs", &[0x0e]),
    ("del", &[0xe0, 0x53]),
    ("enter", &[0x1c]),
    ("return", &[0x1c]),
    ("esc", &[0x01]),
    ("tab", &[0x0f]),
    ("f1", &[0x3b]),
    ("f2", &[0x3c]),
    ("f3", &[0x3d]),
    ("f4", &[0x3e]),
    ("f5", &[0x3f]),
    ("f6", &[0x40]),
    ("f7", &[0x41]),
    ("f8", &[0x42]),
    ("f9", &[0x43]),
    ("f10", &[0x44]),
    ("f11", &[0x57]),
    ("up", &[0xe0, 0x48]),
    ("down", &[0xe0, 0x50]),
    ("left", &[0xe0, 0x4b]),
    ("right", &[0xe0, 0x4d]),
    ("spacebar", &[0x39]),
    ("insert", &[0xe0, 0x52]),
    ("home", &[0xe0, 0x47]),
    ("end", &[0xe0, 0x4f]),
    ("pageUp", &[0xe0, 0x49]),
    ("pageDown", &[0xe0, 0x51]),
    ("menu", &[0xe0, 0x5d]),
    ("leftAlt", &[0x38]),
    ("leftOption", &[0x38]),
    ("rightAlt", &[0xe0, 0x38]),
    ("rightOption", &[0xe0, 0x38]),
    ("leftCtrl", &[0x1d]),
    ("rightCtrl", &[0xe0, 0x1d]),
    ("leftShift", &[0x2a]),
    ("rightShift", &[0x36]),
    ("leftSuper", &[0xe0, 0x5b]),
    ("leftCommand", &[0xe0, 0x5b]),
    ("rightSuper", &[0xe0, 0x5c]),
    ("rightCommand", &[0xe0, 0x5c]),
    ("f12", &[0x58]),
];

fn up(code: &[u8]) -> Vec<u8> {
    let (last, before) = code.split_last().expect("a code");
    [before, &[last | 0x80]].concat()
}

/// What the guest gets when `character` is typed.
fn codes_of(character: char) -> Vec<u8> {
    if character == ' ' {
        return vec![0x39, 0xb9];
    }
    for (first, plain, shifted) in ROWS {
        let code = |at: usize| first + u8::try_from(at).expect("a short row");
        if let Some(at) = plain.find(character) {
            return vec![code(at), code(at) | 0x80];
        }
        if let Some(at) = shifted.find(character) {
            return vec![0x2a, code(at), code(at) | 0x80, 0xaa];
        }
    }
    panic!("no key types {character}")
}

/// A boot command of at least 400 characters with every character, every special key and ten held
/// keys; and what the guest gets of it.
fn long_command() -> (String, Vec<u8>) {
    let (mut command, mut codes) = (String::new(), Vec::new());
    let plain: String = (' '..='~').filter(|next| *next != '<').collect();
    let plain =
        format!("{plain} linux /install.amd/vmlinuz auto=true url=http://10.0.2.2:8000/p.cfg --- ");
    while command.len() < 400 {
        command.push_str(&plain);
        codes.extend(plain.chars().flat_map(codes_of));
    }
    let held =
        SPECIALS.iter().filter(|(name, _)| name.starts_with("left") || name.starts_with("right"));
    for (name, code) in held.clone().take(10) {
        command.push_str(&format!("<{name}On>x<{name}Off>"));
        codes.extend([code.to_vec(), codes_of('x'), up(code)].concat());
    }
    for (name, code) in SPECIALS {
        command.push_str(&format!("<{name}>"));
        codes.extend([code.to_vec(), up(code)].concat());
    }
    (command, codes)
}

/// The bytes that the guest has got.
fn got(program: &Program) -> Vec<u8> {
    hex::decode(program.read("keys.txt").replace(' ', "")).expect("hexadecimal digits")
}

#[test]
fn nothing_of_a_long_boot_command_is_lost_at_the_default_speed() {
    let (command, expected) = long_command();
    assert!(command.len() > 400);
    let ready = "<waitForText 'keys: '>";
    let texts = format!("boot_command = [{}, {}]", quoted(ready), quoted(&command));
    let program = program(disk_that_prints_scancodes(), &texts);
    let started = Instant::now();
    let run = build(&program).succeeded();
    assert_eq!(hex::encode(got(&program)), hex::encode(expected));
    assert!(!run.stdout.contains("did not read its keyboard"), "{}", run.stdout);
    println!("{} characters: {:?} for the whole build", command.len(), started.elapsed());
}

#[test]
fn a_bios_that_reads_slowly_loses_nothing() {
    let text = "the BIOS holds 15 keys, and this guest reads 9 a second";
    let texts = format!("boot_command = [\"<waitForText 'keys: '>\", \"{text}\", \"<esc>\"]");
    let program = program(disk_that_reads_slowly(), &texts);
    build(&program).succeeded();
    assert_eq!(program.read("keys.txt"), text);
}

#[test]
fn an_interval_is_kept_after_each_press_and_each_release() {
    let options = "boot_command = [\"<waitForText 'keys: '>Ab<f12>\"]\n";
    let slow = format!("{options}boot_key_interval = \"200ms\"\nboot_keygroup_interval = \"1s\"\n");
    let program = program(disk_that_prints_scancodes(), &slow);
    let started = Instant::now();
    build(&program).succeeded();
    // Eight events, and one group of keys.
    assert!(started.elapsed() > Duration::from_millis(8 * 200), "{:?}", started.elapsed());
    assert_eq!(hex::encode(got(&program)), "2a1e9eaa30b058d8");
}

#[test]
fn steps_say_what_they_are_for_and_debugging_pauses_after_each() {
    let options = "boot_steps = [[\"<waitForText 'keys: '>a\", \"the first\"], [\"{{ .Name }}\"], \
                   [\"<f12>\", \"the end\"]]\n";
    let program = program(disk_that_prints_scancodes(), options);
    let run = program.run(["build", "-color=false", "-debug", "keys.pkr.hcl"]).succeeded();
    for said in [
        "Typing boot command for: the first",
        "Typing the boot command...",
        "boot description: \"the end\", command: <f12>",
    ] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    let name: Vec<u8> = "akeys.qcow2".chars().flat_map(codes_of).collect();
    assert!(got(&program).starts_with(&name), "{:?}", program.read("keys.txt"));
    let picture = std::fs::read(program.path("output-q.screens/001-before-step-1.png"));
    assert!(picture.expect("a picture").starts_with(b"\x89PNG"));
}

#[test]
fn a_boot_command_waits_for_a_change_on_the_screen() {
    let options = "boot_command = [\"<waitForText 'keys: '>a<f11><waitForChange 30s><f12>\"]\n";
    let program = program(disk_that_prints_scancodes(), options);
    let run = build(&program).succeeded();
    assert!(
        run.stdout.contains("Waiting for a change on the screen, at most 30s"),
        "{}",
        run.stdout
    );
    assert_eq!(hex::encode(got(&program)), "1e9e57d758d8");
}

#[test]
fn what_does_not_come_is_a_failure_with_a_picture() {
    let wait = |wait: &str| format!("boot_command = [\"<waitForText 'keys: '>{wait}\"]\n");
    for (options, error) in [
        (
            wait("<waitForText 300ms 'login:'>"),
            "the machine did not print `login:` on its serial console within 300ms; its last line \
             there: keys:",
        ),
        (wait("<waitForChange 300ms>"), "the screen did not change within 300ms"),
    ] {
        let program = program(disk_that_prints_scancodes(), &options);
        let run = build(&program).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains(error), "{said}");
        assert!(!program.path("output-q").exists());
        let pictures: Vec<_> = std::fs::read_dir(program.path("output-q.screens"))
            .expect("pictures")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        assert!(!pictures.is_empty() && pictures.iter().all(|name| said.contains(name)), "{said}");
    }
}

#[test]
fn the_console_is_in_the_log() {
    let options = "boot_command = [\"<waitForText 'keys: '><f12>\"]\n";
    let program =
        program(disk_that_prints_scancodes(), options).with([("PACKER_LOG_PATH", "log.txt")]);
    build(&program).succeeded();
    let log = program.read("log.txt");
    assert!(log.contains("console: keys:") && log.contains("keys.qcow2"), "{log}");
}

/// Starts a build of a guest that waits for keys; the address that its screen can be seen at.
fn shown(program: &Program) -> (std::process::Child, String) {
    let mut child = program.start(["build", "-color=false", "keys.pkr.hcl"]);
    let mut lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
    let line = lines.find_map(|line| line.ok().filter(|line| line.contains("vnc://")));
    let line = line.expect("a line that says where");
    (child, line)
}

#[test]
fn people_see_the_screen_over_vnc() {
    for (options, words, security) in [
        ("", "without a password: vnc://127.0.0.1:", 1),
        ("vnc_password = \"a-secret\"\n", "with your password: vnc://127.0.0.1:", 2),
        (
            "vnc_use_password = true\nvnc_port_min = 5950\nvnc_port_max = 5999\n",
            "with the password in output-q.screens/vnc-password: vnc://127.0.0.1:59",
            2,
        ),
    ] {
        let program = program(disk_that_prints_scancodes(), options);
        let (child, line) = shown(&program);
        assert!(line.contains(words), "{line}");
        let address = line.split_once("vnc://").expect("an address").1;
        let mut stream = TcpStream::connect(address).expect("a VNC server");
        let mut greeting = [0; 12];
        stream.read_exact(&mut greeting).expect("a greeting");
        assert!(greeting.starts_with(b"RFB 003."));
        std::io::Write::write_all(&mut stream, b"RFB 003.008\n").expect("an answer");
        let mut ways = [0; 2];
        stream.read_exact(&mut ways).expect("the ways to log in");
        assert_eq!(ways, [1, security], "{line}");
        if options.contains("use_password") {
            assert_eq!(program.read("output-q.screens/vnc-password").trim().len(), 8);
        }
        signal(&child, "INT");
        Program::finish(child);
        assert!(!program.path("output-q.screens/vnc-password").exists());
    }
}

#[test]
fn there_is_no_vnc_where_it_is_switched_off() {
    let options = "disable_vnc = true\nshutdown_timeout = \"1s\"\n";
    let run = build(&program(disk_that_prints_scancodes(), options)).failed_with(1);
    assert!(!run.stdout.contains("vnc://"), "{}", run.stdout);
}

/// What `validate` says of the `options`, which begin at line 13: how bad each finding is, and where.
fn findings(options: &str) -> Vec<String> {
    let program = program(Vec::new(), options);
    let run = program.run(["validate", "-format=json", "keys.pkr.hcl"]);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let found = found["diagnostics"].as_array().expect("a list").iter();
    let own = found.filter(|one| one["start"]["line"].as_u64() > Some(12));
    own.map(|one| {
        let (start, end) = (&one["start"], &one["end"]["column"]);
        format!("{} {}:{}-{end}", one["severity"].as_str().unwrap(), start["line"], start["column"])
    })
    .collect()
}

#[test]
fn faults_of_a_boot_command_are_found_at_their_place() {
    for (options, places) in [
        ("boot_command = [\"ab\", \"c<wait-5s>\"]", &["error 13:25-34"][..]),
        ("boot_command = [\"caf\u{e9} <enterr>\"]", &["error 13:21-22", "warning 13:23-31"]),
        ("boot_steps = [[\"<esc>\"], [\"<waitForText x>\", \"no\"]]", &["error 13:28-43"]),
        ("boot_steps = [[\"a\", \"b\", \"c\"]]", &["error 13:15-30"]),
        ("boot_command = [\"a\"]\nboot_steps = [[\"a\"]]", &["error 14:14-21"]),
        ("boot_command = [\"<leftAltOn>x\"]", &["warning 13:17-31"]),
        ("boot_command = [\"a\\n\"]", &["error 13:17-22"]),
        ("boot_command = [\"{{ .HTTPDir }}\"]", &["error 13:17-33"]),
        ("boot_command = [\"a\"]\ndisable_vnc = true", &["error 13:16-21"]),
        ("boot_steps = [[\"a\"]]\ndisable_vnc = true", &["error 13:14-21"]),
        ("vnc_port_min = 5999\nvnc_port_max = 5950", &["error 13:16-20"]),
        ("vnc_port_min = 5800", &["error 13:16-20"]),
        ("vnc_password = \"123456789\"", &["error 13:16-27"]),
        ("boot_key_interval = \"-1s\"", &["error 13:21-26"]),
        ("boot_command = [\"<wait1m30s><F1><leftCtrlOn>\", \"c<leftCtrlOff>\"]", &[]),
    ] {
        assert_eq!(findings(options), places, "{options}");
    }
}

#[test]
fn a_console_that_was_taken_away_is_not_waited_for() {
    let program = program(Vec::new(), "boot_command = [\"<waitForText 'login:'>\"]");
    let template = program.read("keys.pkr.hcl").replace("-debugcon", "-serial");
    program.write("keys.pkr.hcl", template);
    let run = program.run(["validate", "keys.pkr.hcl"]).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("which `qemuargs` has taken away"));
}

#[test]
fn an_interval_of_the_environment_is_checked() {
    let program =
        program(Vec::new(), "boot_command = [\"a\"]").with([("PACKER_KEY_INTERVAL", "5")]);
    let run = program.run(["validate", "keys.pkr.hcl"]).failed_with(1);
    assert!(
        (run.stdout + &run.stderr).contains("PACKER_KEY_INTERVAL says so: `5` is missing its unit")
    );
}

#[test]
fn a_screen_on_which_nothing_changes_is_told_with_its_picture() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = directory.path().join("keys.raw");
    std::fs::write(&disk, disk_that_prints_scancodes()).expect("a disk");
    let drive = format!("file={},format=raw,if=virtio", disk.display());
    let args = ["-m", "16", "-display", "none", "-accel", "tcg", "-drive", &drive];
    let args = args.map(str::to_owned);
    let rhythm = Rhythm { every: Duration::from_millis(200), patience: Duration::from_millis(800) };
    let (ui, mut events) = Ui::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let told = runtime.block_on(async {
        let qemu = Path::new("qemu-system-x86_64");
        let machine = Machine::start(&CancellationToken::new(), qemu, &args, true).await.unwrap();
        let machine = Arc::new(machine);
        let screens = directory.path().join("screens");
        let album = Arc::new(Album::empty(&screens, false).await.unwrap());
        let _watch = Watch::over(machine.clone(), album, rhythm, ui);
        let told = async {
            loop {
                let event = events.recv().await.expect("a warning");
                if let Message::Annotation(annotation) = event.message {
                    return annotation.text;
                }
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(60), told).await;
        machine.stop().await;
        told.expect("a warning in time")
    });
    let picture = told.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
    let picture = std::fs::read(picture.expect("a path")).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG"), "{told}");
}
