//! Whose fault a failure is, and whether trying again can help: said to people and to programs. What
//! the cloud does wrong is in `amazon_ebs/network.rs`.

use serde_json::{Value as Json, json};

use crate::data_sources::Server;
use crate::support::{Program, Run, Sshd, pause, signal};

/// The records of whose fault it is, without the time: `target,fault,KIND,CAN_RETRY`.
pub fn faults(run: &Run) -> Vec<String> {
    let lines = run.stdout.lines().filter_map(|line| line.split_once(','));
    let records = lines.map(|(_time, record)| record).filter(|record| record.contains(",fault,"));
    records.map(str::to_owned).collect()
}

/// Builds a template from a legacy `builder` and `provisioners`, for a program to read.
fn built(program: &Program, builder: &Json, provisioners: &Json) -> Run {
    let template = json!({"builders": [builder], "provisioners": provisioners});
    program.write("t.json", template.to_string());
    program.run(["-machine-readable", "build", "t.json"]).failed_with(1)
}

/// A null builder that reaches `sshd`.
fn machine(sshd: &Sshd) -> Json {
    sshd.builder(json!({}))
}

fn here() -> Json {
    json!({"type": "null", "name": "web", "communicator": "none"})
}

#[test]
fn a_command_that_fails_on_the_machine_is_the_machines_fault() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let run = built(&program, &machine(&sshd), &json!([{"type": "shell", "inline": ["exit 3"]}]));
    assert_eq!(faults(&run), ["null.web,fault,guest,false"], "{run:#?}");
    let run = program.run(["build", "t.json"]).failed_with(1);
    let heading = "the cause is the machine that is built; trying again without a change will not";
    assert!(run.stdout.contains(heading), "{run:#?}");
}

#[test]
fn a_machine_that_cannot_be_reached_may_be_there_another_time() {
    let (program, sshd) = (Program::new(), Sshd::start());
    let mut builder = machine(&sshd);
    builder["ssh_port"] = crate::support::free_port().into();
    builder["ssh_timeout"] = "1s".into();
    let run = built(&program, &builder, &json!([]));
    assert_eq!(faults(&run), ["null.web,fault,guest,true"], "{run:#?}");
    // It is there, and lets nobody in.
    let mut builder = machine(&sshd);
    builder["ssh_username"] = "nobody-of-this-name".into();
    builder["ssh_handshake_attempts"] = 1.into();
    let run = built(&program, &builder, &json!([]));
    assert_eq!(faults(&run), ["null.web,fault,guest,false"], "{run:#?}");
}

#[test]
fn what_fails_on_this_computer_is_the_environments_fault() {
    let program = Program::new();
    let command = json!(["/nowhere/sh", "{{.Script}}"]);
    let script = json!([{"type": "shell-local", "inline": ["exit 3"], "execute_command": command}]);
    let run = built(&program, &here(), &script);
    assert_eq!(faults(&run), ["null.web,fault,environment,false"], "{run:#?}");
    program.write("disk.raw", vec![0_u8; 1024 * 1024]);
    let qemu = json!({
        "type": "qemu", "name": "web", "iso_url": "disk.raw", "iso_checksum": "none",
        "disk_image": true, "qemu_binary": "/nowhere/qemu", "accelerator": "tcg",
        "ssh_username": "root", "ssh_password": "password-1",
    });
    let run = built(&program, &qemu, &json!([]));
    assert_eq!(faults(&run), ["qemu.web,fault,environment,false"], "{run:#?}");
}

#[test]
fn an_image_that_cannot_be_fetched_says_whether_its_server_may_give_it_later() {
    let program = Program::new();
    for (answer, fault) in [
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "environment,true"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "template,false"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "environment,false"),
    ] {
        let server = Server::start(answer);
        let url = format!("http://127.0.0.1:{}/disk.raw", server.port());
        let qemu = json!({
            "type": "qemu", "name": "web", "iso_url": url, "iso_checksum": "none",
            "disk_image": true, "accelerator": "tcg", "ssh_username": "root",
            "ssh_password": "password-1",
        });
        let run = built(&program, &qemu, &json!([]));
        assert_eq!(faults(&run), [format!("qemu.web,fault,{fault}")], "{answer}: {run:#?}");
        let data = format!("data \"http\" \"d\" {{ url = \"{url}\" }}\n");
        let build = "source \"null\" \"n\" { communicator = \"none\" }\n\
                     build { sources = [\"source.null.n\"] }\n";
        program.write("t.pkr.hcl", format!("{data}{build}"));
        let run = program.run(["-machine-readable", "build", "t.pkr.hcl"]).failed_with(1);
        assert_eq!(faults(&run), [format!(",fault,{fault}")], "{answer}: {run:#?}");
    }
}

#[test]
fn a_local_script_that_fails_is_the_templates_fault() {
    let program = Program::new();
    let script = json!([{"type": "shell-local", "inline": ["exit 3"]}]);
    let run = built(&program, &here(), &script);
    assert_eq!(faults(&run), ["null.web,fault,template,false"], "{run:#?}");
}

#[test]
fn a_finding_is_the_templates_fault() {
    let program = Program::new();
    let wrong = json!({"type": "null", "comunicator": "none"});
    let run = built(&program, &wrong, &json!([]));
    assert_eq!(faults(&run), [",fault,template,false"], "{run:#?}");
    let run = program.run(["validate", "-format=json", "t.json"]).failed_with(1);
    let found: Json = serde_json::from_str(&run.stdout).expect("JSON");
    let first = &found["diagnostics"][0];
    assert_eq!((&first["fault"], &first["can_retry"]), (&json!("template"), &json!(false)));
}

#[test]
fn what_a_data_source_cannot_reach_is_not_the_templates_fault() {
    let program = Program::new();
    let port = crate::support::free_port();
    let data = format!("data \"http\" \"d\" {{ url = \"http://127.0.0.1:{port}/\" }}\n");
    let build = "source \"null\" \"n\" { communicator = \"none\" }\n\
                 build { sources = [\"source.null.n\"] }\n";
    program.write("t.pkr.hcl", format!("{data}{build}"));
    let run = program.run(["-machine-readable", "build", "t.pkr.hcl"]).failed_with(1);
    assert_eq!(faults(&run), [",fault,environment,true"], "{run:#?}");
    let run = program.run(["build", "t.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("the cause is this computer or its network"), "{run:#?}");
}

#[test]
fn a_run_that_was_interrupted_may_be_tried_again() {
    let program = Program::new();
    let script = json!([{"type": "shell-local", "inline": ["touch started; exec sleep 300"]}]);
    let template = json!({"builders": [here()], "provisioners": script});
    program.write("t.json", template.to_string());
    let child = program.start(["-machine-readable", "build", "t.json"]);
    while !program.path("started").exists() {
        pause(20);
    }
    signal(&child, "INT");
    let run = Program::finish(child).failed_with(1);
    assert_eq!(faults(&run), ["null.web,fault,interrupted,true"], "{run:#?}");
}
