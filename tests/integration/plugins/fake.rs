//! A plugin of ours that can do all that a plugin should not.
//!
//! It is this very test program, started once more by a script: the script keeps standard output for
//! what the plugin says, and the test `is_a_plugin_when_it_is_started_as_one` is the plugin.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use imgbake::plugin::mux::Session;
use imgbake::plugin::pack::{self, object, text};
use imgbake::plugin::rpc::{Client, Served, Service};
use rmpv::Value;
use tokio::net::UnixListener;

use super::{put, requiring, with_plugins};
use crate::support::{Program, Run, pause, signal};

const SOURCE: &str = "github.com/acme/fake";

/// Where the plugin finds what it is to do: `FAULT` is a method at which it dies, `hang:` and one at which
/// it never answers, or what else it does.
const START: &str = "IMGBAKE_TEST_PLUGIN";
/// Where it finds its version.
const VERSION: &str = "IMGBAKE_TEST_PLUGIN_VERSION";

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A program that has the fake plugin, which does `fault` if that is said when it runs.
fn with_fake(body: &str) -> Program {
    let program = with_plugins();
    install(&program, "1.0.0");
    program.write("t.pkr.hcl", requiring("fake", SOURCE, ">= 1", body));
    program
}

/// Installs this `version` of the fake plugin.
fn install(program: &Program, version: &str) {
    let this = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nexec 3>&1\n{VERSION}={version} {START}=\"$*\" exec '{}' --exact plugins::fake::is_a_plugin_when_it_is_started_as_one --nocapture >/dev/null\n",
        this.display()
    );
    put(program, SOURCE, version, script.as_bytes());
}

/// Every kind of component that the plugin has.
const TEMPLATE: &str = r#"
data "fake" "it" {
  word = "w"
}
source "fake" "web" {
  word = data.fake.it.word
}
source "null" "ours" {
  communicator = "none"
}
build {
  sources = ["source.fake.web", "source.null.ours"]
  provisioner "fake" {
    only = ["null.ours"]
  }
  post-processor "fake" {
    only = ["fake.web"]
  }
}
"#;

#[test]
fn is_a_plugin_when_it_is_started_as_one() {
    let Some(arguments) = variable(START) else { return };
    let mut out = File::options().write(true).open("/proc/self/fd/3").unwrap();
    let fault = variable("FAULT").unwrap_or_default();
    if arguments == "describe" {
        if fault == "describe" {
            std::process::exit(2);
        }
        let description = r#"{"version":"VERSION","sdk_version":"0.6.10","api_version":"x5.0","builders":["-packer-default-plugin-name-"],"post_processors":["-packer-default-plugin-name-"],"provisioners":["-packer-default-plugin-name-"],"datasources":["-packer-default-plugin-name-"],"protocol_version":"v2"}"#;
        let description = description.replace("VERSION", &variable(VERSION).unwrap());
        out.write_all(description.as_bytes()).unwrap();
        std::process::exit(0);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(serve(out, fault));
    std::process::exit(0);
}

async fn serve(mut out: File, fault: String) {
    match fault.as_str() {
        "rubbish" => out.write_all(b"hello \x1b[2Jworld\n").unwrap(),
        "old" => out.write_all(b"5|unix|/tmp/x\n").unwrap(),
        "newer" => out.write_all(b"6|0|unix|/tmp/x\n").unwrap(),
        "nowhere" => out.write_all(b"5|0|unix|/nowhere/at/all\n").unwrap(),
        "quiet" => {}
        _ => return listen(out, fault).await,
    }
    if fault == "quiet" {
        std::io::stderr().write_all(b"panic: at the start\n").unwrap();
        std::process::exit(2);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
}

async fn listen(mut out: File, fault: String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    writeln!(out, "5|0|unix|{}", path.display()).unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    if fault == "close" {
        return;
    }
    if fault == "mute" {
        return tokio::time::sleep(Duration::from_secs(600)).await;
    }
    let (session, main) = Session::of_plugin(socket);
    let plugin = Arc::new(Fake { session: session.clone(), fault });
    let _served = Served::on(main, plugin);
    session.gone().await;
}

/// The builder of the plugin.
struct Fake {
    session: Session,
    fault: String,
}

impl Fake {
    /// A string `word`, as protobuf.
    fn spec() -> Value {
        Value::Binary(
            hex::decode("0a220a200a04776f7264121812160a04776f7264120e0a0c0a0a6374792e537472696e67")
                .unwrap(),
        )
    }

    async fn run(&self, id: u32) -> Result<Value, String> {
        let host = Client::new(self.session.dial(id).await.map_err(|error| error.to_string())?);
        let limit = Duration::from_secs(30);
        if self.fault == "hostile" {
            let words = Value::from("\x1b[2Jerased\r\x07 ghs_secret");
            host.call("Ui.Say", words, limit).await.map_err(|error| error.to_string())?;
        }
        if ["deaf", "Builder.Cancel"].contains(&self.fault.as_str()) {
            return hang(&host).await;
        }
        if self.fault.contains("Communicator.") {
            let machine = self.session.accept();
            let argument = object([
                ("Name", "packer_provision".into()),
                ("Data", object([("ID", "fake".into())])),
                ("StreamId", machine.id.into()),
            ]);
            let served = Machine { session: self.session.clone(), fault: self.fault.clone() };
            std::mem::forget(Served::on(machine, Arc::new(served)));
            host.call("Hook.Run", argument, limit).await.map_err(|error| error.to_string())?;
        }
        let artifact = self.session.accept();
        let number = artifact.id;
        let served = Served::on(artifact, Arc::new(Made { fault: self.fault.clone() }));
        std::mem::forget(served);
        Ok(number.into())
    }
}

/// Says that it works, and works for ever.
async fn hang(host: &Client) -> Result<Value, String> {
    let limit = Duration::from_secs(30);
    host.call("Ui.Say", "deaf".into(), limit).await.map_err(|error| error.to_string())?;
    tokio::time::sleep(Duration::from_secs(600)).await;
    Ok(Value::Nil)
}

/// The machine of the builder: enough of one to die at each of its calls.
struct Machine {
    session: Session,
    fault: String,
}

#[async_trait]
impl Service for Machine {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        end_at(&self.fault, &format!("{service}.{method}")).await;
        if method == "Upload" {
            let id = pack::id_in(&argument, "ReaderStreamId");
            let mut from = self.session.dial(id).await.map_err(|error| error.to_string())?;
            tokio::io::copy(&mut from, &mut tokio::io::sink()).await.unwrap();
        }
        Ok(Value::Nil)
    }
}

/// Where `fault` is `called`, the plugin dies; where it is to hang there, it does.
async fn end_at(fault: &str, called: &str) {
    if fault == called {
        let last_words = format!("panic: died at {called}\n");
        std::io::stderr().write_all(last_words.as_bytes()).unwrap();
        std::process::exit(2);
    }
    if fault.strip_prefix("hang:") == Some(called) {
        std::fs::write("hangs", called).unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
}

#[async_trait]
impl Service for Fake {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        end_at(&self.fault, &format!("{service}.{method}")).await;
        let works = ["Provision", "PostProcess"].contains(&method);
        if works && self.fault == format!("{service}.Cancel") {
            // It dies when it is told to stop: so it must work until then.
            let id = if method == "Provision" {
                pack::id_in(&argument, "StreamID")
            } else {
                pack::id(&argument)
            };
            let stream = self.session.dial(id).await.map_err(|error| error.to_string())?;
            return hang(&Client::new(stream)).await;
        }
        match method {
            "ConfigSpec" | "OutputSpec" => Ok(object([(method, Self::spec())])),
            "Prepare" | "Configure" => Ok(object([("Error", Value::Nil)])),
            "Run" => self.run(pack::id(&argument)).await,
            "PostProcess" => Ok(object([("StreamId", 0.into()), ("Keep", true.into())])),
            "Execute" => {
                let ty = Value::Binary(br#"["object",{"word":"string"}]"#.to_vec());
                let value = Value::Array(vec![ty, object([("word", "w".into())])]);
                Ok(object([("Value", Value::Binary(pack::write(&[value])))]))
            }
            _ => Ok(Value::Nil),
        }
    }
}

struct Made {
    fault: String,
}

#[async_trait]
impl Service for Made {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        end_at(&self.fault, &format!("{service}.{method}")).await;
        Ok(match method {
            "State" => {
                assert!(text(&argument).is_some());
                Value::Nil
            }
            "Files" => {
                let files = variable("MADE_FILES").unwrap_or_default();
                Value::Array(files.split_terminator(':').map(Value::from).collect())
            }
            "BuilderId" => variable("MADE_BY").unwrap_or_else(|| method.to_owned()).into(),
            _ => method.into(),
        })
    }
}

/// What a build says where the plugin has `fault`; within which time.
fn built(fault: &str) -> (Run, Duration) {
    built_of(TEMPLATE, fault)
}

fn built_of(template: &str, fault: &str) -> (Run, Duration) {
    let program = with_fake(template).with([("FAULT", fault)]);
    program.write("dir/file", "x");
    let started = Instant::now();
    (program.run(["build", "-color=false", "t.pkr.hcl"]), started.elapsed())
}

/// An image that the plugin's provisioner works on.
#[cfg(feature = "docker")]
const IMAGE: &str = r#"
source "docker" "plugged" {
  image  = "base:1"
  pull   = false
  commit = true
}
build {
  sources = ["docker.plugged"]
  # imgbake:inputs(t.pkr.hcl)
  provisioner "fake" {}
}
"#;

#[cfg(feature = "docker")]
#[test]
fn another_version_of_a_plugin_makes_another_image() {
    use crate::support::Dockerd;
    use crate::support::changes::{SAME, explained};
    let engine = Dockerd::shared();
    let program = with_fake(IMAGE).with(engine.environment());
    let build = |flag| program.run(["build", "-color=false", flag, "t.pkr.hcl"]).succeeded();
    build("-skip-unchanged");
    let same = explained(&build("-explain-changes"));
    assert!(same.ends_with(SAME), "{same}");
    install(&program, "2.0.0");
    assert_eq!(explained(&build("-explain-changes")), format!("the version of {SOURCE}"));
}

#[test]
fn a_plugin_that_works_builds() {
    let (run, _) = built("");
    let run = run.succeeded();
    // Its post-processor makes nothing of the artifact: then there is none.
    assert!(run.stdout.contains("Destroying the artifact Id"), "{}", run.stdout);
    assert!(run.stdout.contains("--> fake.web: <nothing>"), "{}", run.stdout);
}

#[test]
fn what_a_plugin_makes_for_virtualbox_becomes_a_box() {
    let body = r#"
source "fake" "web" {}
build {
  sources = ["source.fake.web"]
  post-processors {
    post-processor "vagrant" {
      output = "{{ .BuildName }}.box"
    }
    post-processor "manifest" {
      output = "manifest.json"
    }
  }
}
"#;
    let program = with_fake(body);
    let ovf = r#"<Adapter slot="0" enabled="true" MACAddress="080027AB12CD"/>"#;
    let files = [program.write("web.ovf", ovf), program.write("web-disk001.vmdk", "disk")];
    let files = files.map(|file| file.display().to_string()).join(":");
    let program =
        program.with([("MADE_BY", "mitchellh.virtualbox"), ("MADE_FILES", files.as_str())]);
    let run = program.run(["build", "-color=false", "t.pkr.hcl"]).succeeded();
    assert!(
        run.stdout.contains("Creating Vagrant box for 'virtualbox' provider"),
        "{}",
        run.stdout
    );
    let unpacked = std::process::Command::new("tar")
        .args(["xzf", "web.box", "--one-top-level=box"])
        .current_dir(program.dir())
        .status();
    assert!(unpacked.unwrap().success());
    assert_eq!(program.read("box/box.ovf"), ovf);
    assert_eq!(program.read("box/web-disk001.vmdk"), "disk");
    assert!(program.read("box/Vagrantfile").contains("base_mac = \"080027AB12CD\""));
    assert!(program.read("manifest.json").contains("web.box"));
}

#[test]
fn a_plugin_that_dies_at_any_call_is_named_with_its_last_words() {
    for call in [
        "Builder.ConfigSpec",
        "Builder.Prepare",
        "Builder.Run",
        "Artifact.BuilderId",
        "Artifact.Id",
        "Artifact.String",
        "Artifact.Files",
        "Artifact.State",
        "Provisioner.ConfigSpec",
        "Provisioner.Prepare",
        "Provisioner.Provision",
        "PostProcessor.ConfigSpec",
        "PostProcessor.Configure",
        "PostProcessor.PostProcess",
        "Datasource.ConfigSpec",
        "Datasource.OutputSpec",
        "Datasource.Configure",
        "Datasource.Execute",
    ] {
        let (run, took) = built(call);
        let run = run.failed_with(1);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("the plugin `fake`"), "{call}: {said}");
        assert!(said.contains(&format!("panic: died at {call}")), "{call}: {said}");
        assert!(took < Duration::from_secs(30), "{call}: {took:?}");
    }
}

/// Each call of a machine, with a template that makes it.
fn calls_of_a_machine() -> [(&'static str, String); 5] {
    let file = |options: &str| {
        format!("  provisioner \"file\" {{\n    only = [\"fake.web\"]\n{options}\n  }}\n")
    };
    let shell = "  provisioner \"shell\" {\n    only = [\"fake.web\"]\n    inline = [\"true\"]\n    start_retry_timeout = \"1s\"\n  }\n";
    let down = "    direction = \"download\"\n";
    let calls = [
        ("Communicator.Upload", shell.to_owned()),
        ("Communicator.Start", shell.to_owned()),
        (
            "Communicator.Download",
            file(&format!("{down}    source = \"/a\"\n    destination = \"a\"")),
        ),
        ("Communicator.UploadDir", file("    source = \"dir/\"\n    destination = \"/a\"")),
        (
            "Communicator.DownloadDir",
            file(&format!("{down}    source = \"/a/\"\n    destination = \"a/\"")),
        ),
    ];
    calls.map(|(call, provisioner)| {
        let both = format!("{provisioner}  provisioner \"fake\"");
        (call, TEMPLATE.replace("  provisioner \"fake\"", &both))
    })
}

/// How many processes work in the directory of `program`, as plugins do, once those that were killed are
/// gone.
fn left(program: &Program) -> usize {
    let dir = program.dir().canonicalize().unwrap();
    let is_there = |process: &std::fs::DirEntry| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == dir)
    };
    let count =
        || std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).filter(is_there).count();
    let deadline = Instant::now() + Duration::from_secs(2);
    while count() > 0 && Instant::now() < deadline {
        pause(20);
    }
    count()
}

#[test]
fn a_plugin_that_answers_but_opens_no_stream_is_not_waited_for() {
    for (call, template) in calls_of_a_machine() {
        if ["Communicator.Start", "Communicator.Download"].contains(&call) {
            let (run, took) = built_of(&template, &format!("silent:{call}"));
            let run = run.failed_with(1);
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(said.contains("did not open the stream within 5s"), "{call}: {said}");
            assert!(took < Duration::from_secs(30), "{call}: {took:?}");
        }
    }
}

#[test]
fn a_plugin_that_hangs_at_a_call_is_ended_with_the_run() {
    let calls = calls_of_a_machine().into_iter();
    let others = ["Provisioner.Provision", "PostProcessor.PostProcess", "Artifact.Files"];
    let all = calls.chain(others.map(|call| (call, TEMPLATE.to_owned())));
    for (call, template) in all {
        let program = with_fake(&template).with([("FAULT", &*format!("hang:{call}"))]);
        program.write("dir/file", "x");
        let child = program.start(["build", "-cleanup-timeout=2s", "t.pkr.hcl"]);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !program.path("hangs").exists() {
            assert!(Instant::now() < deadline, "{call}");
            pause(20);
        }
        let asked = Instant::now();
        signal(&child, "INT");
        assert_eq!(Program::finish(child).code, Some(1), "{call}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{call}: {:?}", asked.elapsed());
        assert_eq!(left(&program), 0, "{call}: the plugin is still there");
    }
}

#[test]
fn a_plugin_that_takes_no_stream_is_ended() {
    let program = with_fake(TEMPLATE).with([("FAULT", "mute")]);
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    assert!(format!("{}{}", run.stdout, run.stderr).contains("does not answer"));
    assert_eq!(left(&program), 0, "the plugin is still there");
}

#[test]
fn a_plugin_whose_machine_dies_at_any_call_is_named_with_its_last_words() {
    for (call, template) in calls_of_a_machine() {
        let (run, took) = built_of(&template, call);
        let run = run.failed_with(1);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("the plugin `fake`"), "{call}: {said}");
        assert!(said.contains(&format!("panic: died at {call}")), "{call}: {said}");
        // What it had made nobody else knows.
        assert!(said.contains("ended before it had cleaned up"), "{call}: {said}");
        assert!(took < Duration::from_secs(30), "{call}: {took:?}");
    }
}

#[test]
fn a_plugin_that_dies_as_it_is_told_to_stop_is_named() {
    for (call, only) in [
        ("Builder.Cancel", "-only=fake.web"),
        ("Provisioner.Cancel", "-only=null.ours"),
        ("PostProcessor.Cancel", "-only=fake.web"),
    ] {
        let program = with_fake(TEMPLATE).with([("FAULT", call)]);
        let mut child = program.command(["build", "-color=false", only, "t.pkr.hcl"]);
        let log = std::fs::File::create(program.path("log")).unwrap();
        let child = child.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !program.read("log").contains("deaf") {
            assert!(Instant::now() < deadline, "{call}: {}", program.read("log"));
            pause(50);
        }
        let asked = Instant::now();
        signal(&child, "INT");
        assert_eq!(Program::finish(child).code, Some(1), "{call}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{call}: {:?}", asked.elapsed());
        let log = program.read("log");
        // Whatever else dies as the run is interrupted has nothing left to say: a builder may leave things.
        if call == "Builder.Cancel" {
            assert!(log.contains("the plugin `fake` ended before it had cleaned up"), "{log}");
            assert!(log.contains(&format!("panic: died at {call}")), "{call}: {log}");
        }
    }
}

#[test]
fn an_artifact_whose_plugin_dies_as_it_removes_it_is_said_to_be_left() {
    let (run, _) = built("Artifact.Destroy");
    let run = run.failed_with(4);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("panic: died at Artifact.Destroy"), "{said}");
    assert!(said.contains("remove them by hand"), "{said}");
}

#[test]
fn a_plugin_that_does_not_begin_as_one_is_refused() {
    for (fault, cause) in [
        ("rubbish", "instead of where it listens"),
        ("old", "too old"),
        ("newer", "imgbake speaks 5.0"),
        ("nowhere", "No such file"),
        ("quiet", "panic: at the start"),
        ("close", "does not answer"),
    ] {
        let (run, took) = built(fault);
        let run = run.failed_with(1);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(cause), "{fault}: {said}");
        assert!(!said.contains('\u{1b}'), "{fault}: {said:?}");
        assert!(took < Duration::from_secs(30), "{fault}: {took:?}");
    }
}

#[test]
fn a_plugin_that_does_not_stop_is_ended_and_what_it_may_leave_is_said() {
    let program = with_fake(TEMPLATE).with([("FAULT", "deaf")]);
    let mut child =
        program.command(["build", "-cleanup-timeout=4s", "-only=fake.web", "t.pkr.hcl"]);
    let log = std::fs::File::create(program.path("log")).unwrap();
    let child = child.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !program.read("log").contains("deaf") {
        assert!(Instant::now() < deadline, "{}", program.read("log"));
        pause(50);
    }
    let asked = Instant::now();
    signal(&child, "INT");
    assert_eq!(Program::finish(child).code, Some(1));
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let log = program.read("log");
    assert!(log.contains("the plugin `fake` ended before it had cleaned up"), "{log}");
}

#[test]
fn what_a_plugin_says_cannot_move_the_cursor() {
    let (run, _) = built("hostile");
    let run = run.succeeded();
    assert!(!run.stdout.contains('\u{1b}') && !run.stdout.contains('\u{7}'), "{:?}", run.stdout);
}

#[test]
fn a_fork_of_what_is_built_in_is_used_only_if_it_is_installed() {
    let program = with_fake("");
    let ebs = "source \"amazon-ebs\" \"x\" {\n  ami_name = \"x\"\n}\nbuild {\n  sources = [\"source.amazon-ebs.x\"]\n}\n";
    program.write("t.pkr.hcl", requiring("amazon", "github.com/acme/amazon", ">= 1", ebs));
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("the plugin `github.com/acme/amazon` is not installed"), "{said}");
    assert!(said.contains("or write `github.com/hashicorp/amazon`, which is built in"), "{said}");
}

#[test]
fn a_plugin_is_run_only_as_it_was_installed() {
    let program = with_fake(TEMPLATE);
    // What is known of the program by then is no reason not to look.
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    let refused = |cause: &str| {
        let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(cause), "{cause}: {said}");
    };
    let file = format!("plugins/{SOURCE}/{}", super::file_name("fake", "1.0.0"));
    let sum = program.read(&format!("{file}_SHA256SUM"));
    program.write(&format!("{file}_SHA256SUM"), "0".repeat(64));
    refused("SHA-256");
    std::fs::remove_file(program.path(&format!("{file}_SHA256SUM"))).unwrap();
    refused("_SHA256SUM cannot be read");
    program.write(&format!("{file}_SHA256SUM"), sum);
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(program.path("plugins"), mode(0o777)).unwrap();
    refused("everybody may write to");
}
