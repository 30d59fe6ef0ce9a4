//! `communicator = "winrm"`, against a service whose correctness two public clients show.

use std::fs;

use serde_json::{Value as Json, json};

use super::support::{AWKWARD, PASSWORD, Program, Run, WinRm};

/// Builds `provisioners` on `machine`.
fn provision(program: &Program, machine: &WinRm, options: Json, provisioners: Json) -> Run {
    let template = json!({"builders": [machine.builder(options)], "provisioners": provisioners});
    program.write("template.json", template.to_string());
    program.run(["build", "template.json"])
}

/// Commands with output, an error stream, a variable and a status.
fn commands() -> Json {
    json!([{"type": "windows-shell", "valid_exit_codes": [7], "env": {"NAME": "käse $(x) `y`"},
        "inline": ["echo hello %NAME%", "echo gone 1>&2", "exit 7"]}])
}

#[test]
fn the_service_is_right_by_two_public_clients() {
    for (machine, how) in [(WinRm::ntlm(), "ntlm"), (WinRm::basic(), "basic")] {
        let output = machine.ask_public_clients(how);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for client in ["pywinrm", "pypsrp"] {
            assert!(
                said.contains(&format!("with_{client} echo hello b'hello\\r\\n' b'' 0")),
                "{said}"
            );
            assert!(said.contains(&format!("with_{client} exit 3 b'' b'' 3")), "{said}");
        }
    }
}

#[test]
fn commands_run_over_every_transport_and_no_password_is_told() {
    let ntlm = json!({"winrm_use_ntlm": true});
    let insecure = json!({"winrm_use_ssl": true, "winrm_insecure": true});
    let both = json!({"winrm_use_ssl": true, "winrm_insecure": true, "winrm_use_ntlm": true});
    for (machine, options) in [
        (WinRm::basic(), json!({})),
        (WinRm::ntlm(), ntlm),
        (WinRm::https(), insecure),
        (WinRm::https(), both),
    ] {
        let program = Program::new();
        let run = provision(&program, &machine, options, commands()).succeeded();
        for line in ["Connected to WinRM!", "hello käse $(x) `y`", "gone"] {
            assert!(
                run.stdout.contains(line) || run.stderr.contains(line),
                "{line}\n{}",
                run.stdout
            );
        }
        assert!(!run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD));
        let log = machine.log();
        let count = |what: &str| log.iter().filter(|line| line.as_str() == what).count();
        assert_eq!(count("Create"), count("Delete"), "{log:#?}");
        assert_eq!(fs::read_dir(machine.file("Windows/Temp")).unwrap().count(), 0);
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let machine = WinRm::https();
    let options = json!({"winrm_use_ssl": true, "winrm_timeout": "3s"});
    let run = provision(&Program::new(), &machine, options, json!([])).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("the certificate of the machine is not trusted"), "{said}");
    assert!(said.contains("winrm_insecure"), "{said}");
}

#[test]
fn a_wrong_password_is_said_at_once() {
    for (machine, ntlm) in [(WinRm::basic(), false), (WinRm::ntlm(), true)] {
        let options = json!({"winrm_password": "wrong", "winrm_use_ntlm": ntlm});
        let run = provision(&Program::new(), &machine, options, json!([])).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("check `winrm_username` and `winrm_password`"), "{said}");
    }
    let run = provision(&Program::new(), &WinRm::ntlm(), json!({}), json!([])).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("set `winrm_use_ntlm = true`"), "{said}");
}

#[test]
fn files_and_directories_arrive_whole_and_come_back() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    let big: Vec<u8> =
        (0..750_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    program.write("big", &big);
    program.write("empty", "");
    for name in ["tree/a.txt", "tree/sub/ünï b.txt"] {
        program.write(name, name);
    }
    let down = program.path("down");
    let run = provision(
        &program,
        &machine,
        json!({"winrm_use_ntlm": true}),
        json!([
            {"type": "file", "source": "big", "destination": "C:\\data\\it's big"},
            {"type": "file", "source": "empty", "destination": "C:/data/"},
            {"type": "file", "source": "tree", "destination": "C:/data"},
            {"type": "file", "source": "tree/", "destination": "C:/other"},
            {"type": "file", "direction": "download", "source": "C:/data/it's big", "destination": down},
        ]),
    );
    run.succeeded();
    assert!(fs::read(machine.file("data/it's big")).unwrap() == big);
    assert!(fs::read(down).unwrap() == big);
    assert_eq!(fs::read(machine.file("data/empty")).unwrap(), b"");
    for path in ["data/tree/a.txt", "data/tree/sub/ünï b.txt", "other/sub/ünï b.txt"] {
        assert!(machine.file(path).exists(), "{path}");
    }
    assert_eq!(fs::read_dir(machine.file("Users/vagrant/Temp")).unwrap().count(), 0);
    // Base64 within base64 makes 5.3 MB of 3; an `echo` a time, it would be 500 commands.
    let sent = machine.log().iter().filter(|line| *line == "Send").count();
    assert!(sent <= 20, "{sent} envelopes");
}

#[test]
fn a_service_that_takes_only_small_envelopes_gets_small_ones() {
    let machine = WinRm::start(&["--envelope", "153600"]);
    let program = Program::new();
    let random: Vec<u8> =
        (0..120_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    program.write("file", &random);
    let upload = json!([{"type": "file", "source": "file", "destination": "C:/file"}]);
    provision(&program, &machine, json!({}), upload).succeeded();
    assert!(fs::read(machine.file("file")).unwrap() == random);
}

#[test]
fn a_large_file_goes_in_several_parts_at_a_time_where_the_service_has_shells_for_them() {
    let large: Vec<u8> = (0..33_u32 << 20).map(|n| (n % 251) as u8).collect();
    let upload = json!([{"type": "file", "source": "file", "destination": "C:/sub/file"}]);
    for (shells, parts) in [("30", 4), ("4", 0)] {
        let (program, machine) = (Program::new(), WinRm::start(&["--shells", shells]));
        program.write("file", &large);
        provision(&program, &machine, json!({}), upload.clone()).succeeded();
        assert!(fs::read(machine.file("sub/file")).unwrap() == large, "{shells}");
        let log = machine.log();
        let whole = log.iter().filter(|line| line.starts_with("powershell receive ")).count();
        let found = log.iter().filter(|line| line.starts_with("powershell part ")).count();
        assert_eq!(whole, usize::from(parts == 0), "{log:#?}");
        assert!(parts == 0 || found == parts, "{log:#?}");
        assert_eq!(fs::read_dir(machine.file("Users/vagrant/Temp")).unwrap().count(), 0);
    }
    let (program, machine) = (Program::new(), WinRm::basic());
    fs::write(machine.file("corrupt"), "").unwrap();
    program.write("file", &large);
    let run = provision(&program, &machine, json!({}), upload).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("it was changed on its way"), "{said}");
}

#[test]
fn a_large_upload_that_is_killed_leaves_nothing_on_the_machine() {
    let (program, machine) = (Program::new(), WinRm::start(&["--idle", "1"]));
    program.write("file", vec![b'x'; 64 << 20]);
    let upload = json!([{"type": "file", "source": "file", "destination": "C:/sub/file"}]);
    let template = json!({"builders": [machine.builder(json!({}))], "provisioners": upload});
    program.write("template.json", template.to_string());
    let mut child = program.start(["build", "template.json"]);
    let count = |what: &str| machine.log().iter().filter(|line| line.starts_with(what)).count();
    let wait_for = |what: &dyn Fn() -> bool| {
        let begun = std::time::Instant::now();
        while !what() {
            assert!(begun.elapsed().as_secs() < 30, "{:#?}", machine.log());
            super::support::pause(20);
        }
    };
    wait_for(&|| count("powershell part ") == 4);
    super::support::signal(&child, "KILL");
    child.wait().unwrap();
    let held = || fs::read_dir(machine.file("Users/vagrant/Temp")).unwrap().count();
    assert_eq!(held(), 1, "the file that all parts write to");
    // The service ends shells that nobody asks anything of; what they hold goes with them.
    wait_for(&|| count("idle ") >= 5);
    wait_for(&|| held() == 0);
    assert!(!machine.file("sub").exists());
}

#[test]
fn a_file_that_is_changed_on_its_way_is_an_error() {
    let (program, machine) = (Program::new(), WinRm::basic());
    fs::write(machine.file("corrupt"), "").unwrap();
    program.write("file", "content");
    let file = json!([{"type": "file", "source": "file", "destination": "C:/file"}]);
    let run = provision(&program, &machine, json!({}), file).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("it was changed on its way"), "{said}");
}

#[test]
fn a_machine_that_reboots_is_waited_for() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    let run = provision(
        &program,
        &machine,
        json!({"winrm_use_ntlm": true}),
        json!([
            {"type": "windows-shell", "inline": ["echo before", "shutdown /r /t 0"], "valid_exit_codes": [2300218]},
            {"type": "windows-shell", "inline": ["echo after"]},
        ]),
    );
    let run = run.succeeded();
    // What it printed before may be lost with it.
    assert!(run.stdout.contains("after"), "{}", run.stdout);
}

#[test]
fn output_is_shown_while_the_command_runs_and_ctrl_c_ends_it() {
    let (program, machine) = (Program::new(), WinRm::basic());
    let waits = json!([{"type": "windows-shell", "inline": ["echo begun", "wait 60"]}]);
    let template = json!({"builders": [machine.builder(json!({}))], "provisioners": waits});
    program.write("template.json", template.to_string());
    let child = program.start(["build", "template.json"]);
    let begun = std::time::Instant::now();
    while !machine.log().iter().any(|line| line.contains("script.bat\"") && line.starts_with("cmd"))
    {
        assert!(begun.elapsed().as_secs() < 30, "{:#?}", machine.log());
        super::support::pause(50);
    }
    super::support::pause(1000);
    super::support::signal(&child, "INT");
    let run = Program::finish(child);
    assert!(run.stdout.contains("begun"), "{}", run.stdout);
    assert!(begun.elapsed().as_secs() < 30);
    let log = machine.log();
    let count = |what: &str| log.iter().filter(|line| line.as_str() == what).count();
    assert_eq!(count("Create"), count("Delete"), "{log:#?}");
    assert_eq!(fs::read_dir(machine.file("Windows/Temp")).unwrap().count(), 0);
}

#[test]
fn powershell_runs_scripts_with_any_variable_and_elevated_ones() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    program.write("script.ps1", "Write-Output $env:ODD $env:PACKER_BUILD_NAME\r\nexit 5\r\n");
    let odd = "'\"%PATH% !x! $HOME `n ü 🦀";
    let run = provision(
        &program,
        &machine,
        json!({"winrm_use_ntlm": true}),
        json!([
            {"type": "powershell", "script": "script.ps1", "env": {"ODD": odd}, "valid_exit_codes": [5]},
            {"type": "powershell", "inline": ["Write-Output $env:ODD"], "env": {"ODD": format!("{odd}-inline")}},
            {"type": "powershell", "inline": ["Write-Output $env:ODD"], "env": {"ODD": format!("{odd}-elevated")},
             "elevated_user": "vagrant", "elevated_password": "{{.WinRMPassword}}"},
        ]),
    );
    let run = run.succeeded();
    for line in
        [odd.to_owned(), "web".to_owned(), format!("{odd}-inline"), format!("{odd}-elevated")]
    {
        assert!(run.stdout.contains(&line), "{line}\n{}", run.stdout);
    }
    assert!(machine.log().iter().any(|line| line.ends_with(" as vagrant")));
    assert!(!run.stdout.contains(PASSWORD) && !machine.log().concat().contains(PASSWORD));
    assert_eq!(fs::read_dir(machine.file("Windows/Temp")).unwrap().count(), 0);
    let wrong = json!([{"type": "powershell", "inline": ["throw 'it is broken'"]}]);
    let run = provision(&program, &machine, json!({"winrm_use_ntlm": true}), wrong).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("it is broken") && said.contains("non-zero exit status: 1"), "{said}");
}

#[test]
fn an_elevated_run_that_is_interrupted_leaves_nothing() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    let slow = json!([{"type": "powershell", "inline": ["Write-Output $env:A", "Start-Sleep 60"],
        "elevated_user": "SYSTEM", "elevated_password": ""}]);
    let builder = machine.builder(json!({"winrm_use_ntlm": true}));
    let template = json!({"builders": [builder], "provisioners": slow});
    program.write("template.json", template.to_string());
    let child = program.start(["build", "template.json"]);
    let begun = std::time::Instant::now();
    let has = |what: &str| machine.log().iter().any(|line| line.starts_with(what));
    while !has("task packer-") {
        assert!(begun.elapsed().as_secs() < 30, "{:#?}", machine.log());
        super::support::pause(50);
    }
    super::support::pause(500);
    super::support::signal(&child, "INT");
    Program::finish(child);
    assert!(begun.elapsed().as_secs() < 30);
    assert!(has("schtasks /end /tn packer-") && has("schtasks /delete /f /tn packer-"));
    assert_eq!(fs::read_dir(machine.file("Windows/Temp")).unwrap().count(), 0);
}

#[test]
fn a_restart_is_waited_for_until_no_other_is_pending() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    let run = provision(
        &program,
        &machine,
        json!({"winrm_use_ntlm": true}),
        json!([
            {"type": "windows-restart", "check_registry": true, "registry_keys": ["HKLM:X"]},
            {"type": "windows-shell", "inline": ["echo after"]},
        ]),
    );
    let run = run.succeeded();
    for line in ["Restarting Machine", "Machine successfully restarted, moving on", "after"] {
        assert!(run.stdout.contains(line), "{line}\n{}", run.stdout);
    }
    assert!(machine.log().iter().any(|line| line == "reboot"));
}

#[test]
fn directories_and_what_matches_a_pattern_come_back() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    for (name, text) in [("logs/a.txt", "a"), ("logs/b.log", "b"), ("logs/sub/ünï c.txt", "c")] {
        let path = machine.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir(machine.file("logs/empty")).unwrap();
    fs::create_dir_all(machine.file("Users/vagrant/Temp")).unwrap();
    let down = |source: &str, to: &str| json!({"type": "file", "direction": "download", "source": source, "destination": program.path(to)});
    let all = json!([down("C:/logs/", "all")]);
    provision(&program, &machine, json!({"winrm_use_ntlm": true}), all).succeeded();
    assert_eq!(program.read("all/a.txt"), "a");
    assert_eq!(program.read("all/sub/ünï c.txt"), "c");
    assert!(program.path("all/empty").is_dir());
    let some = json!([down("C:/logs/*.log", "some")]);
    provision(&program, &machine, json!({"winrm_use_ntlm": true}), some).succeeded();
    assert_eq!(program.read("some/b.log"), "b");
    assert!(!program.path("some/a.txt").exists());
    assert_eq!(fs::read_dir(machine.file("Users/vagrant/Temp")).unwrap().count(), 0);
    let wrong = json!([down("C:/nothing/", "none")]);
    let run = provision(&program, &machine, json!({"winrm_use_ntlm": true}), wrong).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("is no directory"), "{said}");
}

#[test]
fn a_service_that_takes_only_kerberos_is_said_at_once() {
    let machine = WinRm::start(&["--kerberos"]);
    for ntlm in [false, true] {
        let options = json!({"winrm_use_ntlm": ntlm});
        let run = provision(&Program::new(), &machine, options, json!([])).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("imgbake does not speak Kerberos"), "{said}");
    }
}

#[test]
fn a_proxy_of_the_environment_is_used_unless_the_template_says_no() {
    let machine = WinRm::basic();
    // Nobody listens there: whoever goes that way does not arrive.
    let proxy = format!("http://127.0.0.1:{}", super::support::free_port());
    let build = |direct: bool| {
        let program = Program::new().with([("http_proxy", proxy.as_str())]);
        let options = json!({"winrm_no_proxy": direct, "winrm_timeout": "2s"});
        provision(&program, &machine, options, json!([]))
    };
    let run = build(false).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("cannot connect to the HTTP proxy"), "{said}");
    build(true).succeeded();
}

#[test]
fn a_password_file_of_an_elevated_run_does_not_outlive_a_killed_build() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    let slow = json!([{"type": "powershell", "inline": ["Start-Sleep 60"], "elevated_user": "vagrant",
        "elevated_password": PASSWORD}]);
    let builder = machine.builder(json!({"winrm_use_ntlm": true}));
    let template = json!({"builders": [builder], "provisioners": slow});
    program.write("template.json", template.to_string());
    let mut child = program.start(["build", "template.json"]);
    let begun = std::time::Instant::now();
    while !machine.log().iter().any(|line| line.starts_with("task packer-")) {
        assert!(begun.elapsed().as_secs() < 30, "{:#?}", machine.log());
        super::support::pause(50);
    }
    super::support::signal(&child, "KILL");
    child.wait().unwrap();
    let left: Vec<_> = fs::read_dir(machine.file("Windows/Temp")).unwrap().flatten().collect();
    for file in left {
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(&PASSWORD.replace('\'', "''")), "{}", file.path().display());
    }
}

#[test]
fn any_variable_and_password_arrives_unchanged() {
    let (program, machine) = (Program::new(), WinRm::ntlm());
    let env: Json = AWKWARD.iter().enumerate().map(|(n, v)| (format!("V{n}"), json!(v))).collect();
    program.write("script.ps1", "exit 0\r\n");
    provision(
        &program,
        &machine,
        json!({"winrm_use_ntlm": true}),
        json!([
            {"type": "powershell", "inline": ["exit 0"], "env": env},
            {"type": "powershell", "script": "script.ps1", "env": env},
            {"type": "powershell", "inline": ["exit 0"], "env": env, "elevated_user": "vagrant",
             "elevated_password": PASSWORD},
            {"type": "windows-shell", "inline": ["echo [%V0%]"], "env": env},
        ]),
    )
    .succeeded();
    let seen = machine.variables();
    assert!(seen.len() >= 4, "{seen:#?}");
    for (n, value) in AWKWARD.iter().enumerate() {
        for variables in &seen {
            assert_eq!(variables[format!("V{n}")], *value);
        }
    }
    assert_eq!(fs::read_dir(machine.file("Windows/Temp")).unwrap().count(), 0);
}

/// Run with `--ignored --nocapture`: 10 MiB that do not compress, 20 ms away.
#[test]
#[ignore = "it measures, and takes minutes"]
fn an_upload_is_twenty_times_as_fast_as_by_echo() {
    use std::time::Instant;
    let (program, machine) = (Program::new(), WinRm::start(&["--delay", "0.02"]));
    let mut seed = 1_u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    })
    .take(10 << 20)
    .collect();
    program.write("file", &random);
    fs::create_dir_all(machine.file("Users/vagrant/Temp")).unwrap();
    let time = |provisioners: Json| {
        let begun = Instant::now();
        provision(&program, &machine, json!({}), provisioners).succeeded();
        begun.elapsed().as_secs_f64()
    };
    let nothing = time(json!([]));
    let upload = json!([{"type": "file", "source": "file", "destination": "C:/file"}]);
    let ours = time(upload.clone()) - nothing;
    assert!(fs::read(machine.file("file")).unwrap() == random);
    // From 32 MiB on it goes in parts.
    for mebibytes in [31, 33] {
        program.write(
            "file",
            random.iter().cycle().take(mebibytes << 20).copied().collect::<Vec<_>>(),
        );
        println!("{mebibytes} MiB: {:.2} s", time(upload.clone()) - nothing);
    }
    program.write("file", &random);
    let begun = Instant::now();
    let output = machine.upload_by_echo(&program.path("file"));
    let theirs = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    #[allow(clippy::print_stdout, reason = "it is what the measurement is for")]
    {
        println!("ours {ours:.2} s, by echo {theirs:.2} s: {:.0} times", theirs / ours);
    }
    assert!(theirs / ours >= 20.0, "{theirs} / {ours}");
}
