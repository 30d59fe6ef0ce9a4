//! Where there is no network, that is what is said: soon where nothing is made, and never that the
//! credentials do not work.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use super::proxy::{Fate, Proxy};
use crate::faults::faults;
use crate::support::{ACCESS_KEY, Program, Run, SECRET_KEY};

/// What is wrong with the way to AWS.
struct Trouble {
    name: &'static str,
    endpoint: String,
    /// What is said of it.
    words: &'static str,
    /// Whether that is known at once.
    is_brisk: bool,
    _server: Server,
}

/// Whoever is at its other end.
#[expect(dead_code, reason = "nobody is there any more when it is dropped")]
enum Server {
    Nobody,
    Silent(TcpListener),
    Ill(Proxy),
}

async fn troubles() -> Vec<Trouble> {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ill = Box::new(|_: &str, _| Fate::Refused("ServiceUnavailable"));
    let ill = Proxy::start("http://127.0.0.1:9".to_owned(), ill).await;
    let unresolvable = "http://ec2.nowhere.invalid".to_owned();
    let silence = format!("http://{}", silent.local_addr().unwrap());
    let trouble = |name, endpoint, words, is_brisk, server| Trouble {
        name,
        endpoint,
        words,
        is_brisk,
        _server: server,
    };
    let refused = format!("http://{closed}");
    vec![
        trouble("unresolvable name", unresolvable, "cannot be resolved", true, Server::Nobody),
        trouble("refused port", refused, "the connection was refused", true, Server::Nobody),
        trouble("silent server", silence, "does not answer", false, Server::Silent(silent)),
        trouble("503", ill.endpoint(), "ServiceUnavailable", false, Server::Ill(ill)),
    ]
}

const COMMANDS: [(&str, &[&str]); 4] = [
    ("validate", &["validate", "-evaluate-datasources", "data.pkr.hcl"]),
    ("inspect", &["inspect", "secret.pkr.hcl"]),
    ("build", &["build", "ebs.json"]),
    ("cleanup", &["cleanup", "-dry-run"]),
];

/// A program that is led to `trouble`, with a template for each command and a journal.
fn program(trouble: &Trouble) -> Program {
    let program = Program::new().with([
        ("AWS_ENDPOINT_URL", trouble.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", "us-east-1"),
    ]);
    let end = r#"build { sources = ["source.null.n"] }"#;
    let null = r#"source "null" "n" { communicator = "none" }"#;
    let data = r#"data "amazon-ami" "a" {
        filters = { name = "x" }
        owners = ["self"]
    }
    locals { id = data.amazon-ami.a.id }"#;
    program.write("data.pkr.hcl", format!("{data}\n{null}\n{end}\n"));
    let secret = r#"locals { s = aws_secretsmanager("name", "key") }"#;
    program.write("secret.pkr.hcl", format!("{secret}\n{null}\n{end}\n"));
    let builder = json!({
        "type": "amazon-ebs", "ami_name": "baked", "instance_type": "t3.micro",
        "source_ami": "ami-0123456789abcdef0", "ssh_username": "ubuntu", "region": "us-east-1",
    });
    program.write("ebs.json", json!({"builders": [builder]}).to_string());
    let token = "6560f0a1-1111-4111-8111-111111111111";
    let place = json!({
        "account": "123456789012", "region": "us-east-1", "endpoint": trouble.endpoint,
    });
    let clue = json!({"ec2": {"instance": {"token": token, "keeps": []}}, "in": place});
    let thing = json!({"kind": "instance", "name": "web", "clue": clue});
    let intent = json!({"intent": {"entry": 0, "build": "web", "thing": thing}});
    let journal = format!("{{\"imgbake\":{{\"journal\":1}}}}\n{intent}\n");
    program.write(".local/state/imgbake/journal/run.jsonl", journal);
    program
}

/// How a command ended, and how long it took.
async fn run(trouble: &Trouble, args: &[&str], vars: &[(&str, &str)]) -> (Run, Duration) {
    let program = program(trouble);
    let mut command = tokio::process::Command::from(program.command(args.iter().copied()));
    let started = Instant::now();
    let output = command.envs(vars.iter().copied()).output().await.unwrap();
    (Run::of(output), started.elapsed())
}

/// The line that says what is wrong, of all that `run` has said.
fn cause<'a>(run: &'a Run, words: &str) -> &'a str {
    if run.code == Some(0) {
        return "(asks nobody)";
    }
    let all = run.stdout.lines().chain(run.stderr.lines());
    let mut said = all.filter(|line| line.contains(words) && !line.starts_with("Waiting for"));
    said.next().unwrap_or_else(|| panic!("nothing says `{words}`: {run:#?}")).trim()
}

/// All commands in all troubles at a time: what each says, and after how long.
async fn table(vars: &[(&str, &str)]) -> Vec<(String, bool, Run, Duration)> {
    let troubles = troubles().await;
    let each = troubles.iter().flat_map(|trouble| {
        COMMANDS.map(|(command, args)| async move {
            let (run, took) = run(trouble, args, vars).await;
            let first = cause(&run, trouble.words).to_owned();
            let waits = run.stderr.lines().chain(run.stdout.lines());
            let waits = waits.filter(|line| line.starts_with("Waiting for")).count();
            let secs = took.as_secs_f64();
            println!("| {command} | {} | {secs:.1} s, {waits} notes | {first} |", trouble.name);
            (command.to_owned(), trouble.is_brisk, run, took)
        })
    });
    futures::future::join_all(each).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_network_is_said_as_such_and_soon() {
    for (command, is_brisk, run, took) in table(&[("AWS_MAX_ATTEMPTS", "1")]).await {
        assert_eq!(run.code == Some(0), command == "inspect", "{command}: {run:#?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(!said.contains("credentials do not work"), "{command}: {said}");
        // The machine that tests may have other things to do.
        assert!(!is_brisk || took < Duration::from_secs(6), "{command}: {took:?} {said}");
        assert!(command == "build" || took < Duration::from_secs(15), "{command}: {took:?} {said}");
        assert!(command != "inspect" || !said.contains("Waiting for "), "{said}");
        assert!(
            took < Duration::from_secs(4) || said.contains("Waiting for "),
            "{command}: {took:?} of silence: {said}"
        );
    }
}

/// `tests/run --test integration -- --ignored --nocapture what_is_said_of_a_slow_network`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: builds have patience with a server that does not answer"]
async fn what_is_said_of_a_slow_network_and_after_how_long() {
    println!("| command | trouble | after | what is said |\n|---|---|---|---|");
    for (command, is_brisk, run, took) in table(&[]).await {
        assert_eq!(run.code == Some(0), command == "inspect", "{command}: {run:#?}");
        let limit = Duration::from_secs(if is_brisk { 6 } else { 15 });
        assert!(command == "build" || took < limit, "{command}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_said_whose_fault_a_failed_call_is() {
    let build = ["-machine-readable", "build", "ebs.json"];
    for (code, fault) in [
        ("ServiceUnavailable", "cloud,true"),
        ("RequestLimitExceeded", "cloud,true"),
        ("UnauthorizedOperation", "environment,false"),
        ("InvalidParameterValue", "template,false"),
    ] {
        let ill = Box::new(move |_: &str, _| Fate::Refused(code));
        let ill = Proxy::start("http://127.0.0.1:9".to_owned(), ill).await;
        let endpoint = ill.endpoint();
        let (name, words, is_brisk, _server) = (code, "", false, Server::Ill(ill));
        let trouble = Trouble { name, endpoint, words, is_brisk, _server };
        let (failed, _) = run(&trouble, &build, &[("AWS_MAX_ATTEMPTS", "1")]).await;
        assert_eq!(faults(&failed), [format!("amazon-ebs,fault,{fault}")], "{code}: {failed:#?}");
    }
    let refused = &troubles().await[1];
    let (failed, _) = run(refused, &build, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    assert_eq!(faults(&failed), ["amazon-ebs,fault,environment,true"], "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_are_as_many_as_the_environment_says() {
    let ill = |_: &str, _| Fate::Refused("ServiceUnavailable");
    for (attempts, expected) in [("1", 1), ("3", 3)] {
        let ill = Proxy::start("http://127.0.0.1:9".to_owned(), Box::new(ill)).await;
        let endpoint = ill.endpoint();
        let trouble =
            Trouble { name: "503", endpoint, words: "", is_brisk: false, _server: Server::Nobody };
        let vars = [("AWS_MAX_ATTEMPTS", attempts), ("AWS_RETRY_MODE", "standard")];
        let (failed, _) = run(&trouble, COMMANDS[2].1, &vars).await;
        assert_eq!(ill.count("GetCallerIdentity"), expected, "{failed:#?}");
    }
    let trouble = &troubles().await[1];
    for (name, value) in [("AWS_MAX_ATTEMPTS", "0"), ("AWS_RETRY_MODE", "boldly")] {
        let (failed, _) = run(trouble, COMMANDS[2].1, &[(name, value)]).await;
        assert!(failed.stdout.contains(&format!("{name} is `{value}`: give")), "{failed:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_it_is_said_what_to_do() {
    for (is_workflow, advice) in [
        (
            "true",
            "give the step `role-to-assume`, and the job `permissions:` with `id-token: write`",
        ),
        ("", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile`"),
    ] {
        let program = Program::new().with([("GITHUB_ACTIONS", is_workflow)]);
        let builder = json!({
            "type": "amazon-ebs", "ami_name": "baked", "instance_type": "t3.micro",
            "source_ami": "ami-0123456789abcdef0", "ssh_username": "ubuntu",
            "region": "us-east-1", "skip_metadata_api_check": true,
        });
        program.write("ebs.json", json!({"builders": [builder]}).to_string());
        let run = tokio::task::spawn_blocking(move || program.run(["build", "ebs.json"]));
        let failed = run.await.unwrap().failed_with(1);
        assert!(failed.stdout.contains(advice), "{failed:#?}");
        assert!(!failed.stdout.contains("credentials do not work"), "{failed:#?}");
    }
}
