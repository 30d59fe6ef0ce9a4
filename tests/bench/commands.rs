//! Whole commands as a user runs them, measured beside Debian's `packer` (1.6.6) in the same run.
//!
//! `cargo bench --bench commands` prints how long `validate` and `build` take from exec to exit, how
//! much of a build is the servers' own time, and what many builds in one process take: time, memory
//! and calls. The cloud is moto behind a proxy that notes when a call is being answered; the machine
//! is an sshd. `moto_server` and `packer` have to be on the path.

#![expect(clippy::disallowed_methods, reason = "a bench waits, and reads what it has written")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints and panics")]

#[path = "../integration/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use support::{ACCESS_KEY, Moto, Program, SECRET_KEY, Sshd, fixture, pause};

const ROUNDS: usize = 5;

fn main() {
    validate();
    let bed = Bed::start();
    bed.one_build();
    for count in [25, 50, 100] {
        bed.many_builds(count);
    }
}

fn validate() {
    let program = Program::new();
    program.copy(&fixture("tutorial/10-hcl2"));
    let ours = median(40, || finish(program.command(["validate", "nginx.pkr.hcl"])));
    println!("{:<52} {:>9.1} ms", "validate tutorial/10-hcl2", milliseconds(ours));
    for count in [500, 1000, 2000] {
        program.write("many.pkr.hcl", many(count));
        let ours = median(10, || finish(program.command(["validate", "many.pkr.hcl"])));
        let name = format!("validate {count} variables, {count} sources");
        println!("{name:<52} {:>9.1} ms", milliseconds(ours));
    }
}

/// A template with `count` variables, and as many sources that use them.
fn many(count: usize) -> String {
    let mut text = String::new();
    let mut sources = Vec::new();
    for n in 0..count {
        write!(
            text,
            "variable \"v{n}\" {{\n  type    = string\n  default = \"value {n}\"\n}}\n\
             source \"file\" \"s{n}\" {{\n  content = \"${{var.v{n}}}: ${{upper(\"text\")}}\"\n  \
             target  = \"out/{n}.txt\"\n}}\n"
        )
        .unwrap();
        sources.push(format!("\"source.file.s{n}\""));
    }
    writeln!(text, "build {{\n  sources = [{}]\n}}", sources.join(", ")).unwrap();
    text
}

/// A cloud and a machine that both programs can work with.
struct Bed {
    cloud: Arc<Proxy>,
    port: u16,
    sshd: Sshd,
    _runtime: tokio::runtime::Runtime,
}

impl Bed {
    fn start() -> Self {
        // The older program signs with SHA-1, and the keys are the ones that the cloud makes.
        let sshd = Sshd::start_with(
            "AuthorizedKeysCommand /bin/echo %t %k\nAuthorizedKeysCommandUser root\n\
             PubkeyAcceptedAlgorithms +ssh-rsa\nHostKeyAlgorithms +ssh-rsa",
        );
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let cloud = Arc::new(Proxy { moto: Moto::start(), http, answering: Mutex::default() });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let app = Router::new().fallback(forward).with_state(cloud.clone());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(listener).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { cloud, port, sshd, _runtime: runtime }
    }

    /// A legacy template of `count` builders that both programs take.
    fn template(&self, count: usize) -> String {
        let builder = |n| {
            serde_json::json!({
                "type": "amazon-ebs",
                "name": format!("b{n}"),
                "region": "us-east-1",
                "custom_endpoint_ec2": format!("http://127.0.0.1:{}", self.port),
                "skip_credential_validation": true,
                "skip_metadata_api_check": true,
                "ami_name": format!("bench{n}-{{{{uuid}}}}"),
                "instance_type": "t2.micro",
                "ssh_username": self.sshd.user,
                "ssh_host": "127.0.0.1",
                "ssh_port": self.sshd.port,
                "temporary_security_group_source_cidrs": ["127.0.0.1/32"],
                "source_ami_filter": {
                    "filters": {"name": "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*"},
                    "owners": ["099720109477"],
                    "most_recent": true,
                },
            })
        };
        let builders: Vec<_> = (0..count).map(builder).collect();
        let shell = serde_json::json!({"type": "shell", "inline": ["echo hello"]});
        serde_json::json!({"builders": builders, "provisioners": [shell]}).to_string()
    }

    fn program(&self, count: usize) -> Program {
        let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
        let program = Program::new().with(keys).with([("AWS_EC2_METADATA_DISABLED", "true")]);
        program.write("template.json", self.template(count));
        program
    }

    /// Both programs take turns; the medians are compared.
    fn one_build(&self) {
        let program = self.program(1);
        let ours = || finish(program.command(["build", "template.json"]));
        let theirs = || finish(like(&program, "packer", &["build", "template.json"]));
        let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_runs.push(self.timed(&ours));
            their_runs.push(self.timed(&theirs));
        }
        let [ours, theirs] = [our_runs, their_runs].map(|mut runs| {
            runs.sort();
            runs[ROUNDS / 2]
        });
        for (name, (whole, servers)) in [("imgbake", ours), ("packer 1.6.6", theirs)] {
            println!(
                "{:<52} {:>9.2} s, of which the cloud answers {:.2} s",
                format!("build amazon-ebs with one shell, {name}"),
                whole.as_secs_f64(),
                servers.as_secs_f64(),
            );
        }
        let ratio = ours.0.as_secs_f64() / theirs.0.as_secs_f64();
        println!("{:<52} {ratio:>9.2}", "ratio");
    }

    /// How long a run takes, and how much of that the cloud was answering.
    fn timed(&self, run: &dyn Fn()) -> (Duration, Duration) {
        *self.cloud.answering.lock().unwrap() = Answering::default();
        let start = Instant::now();
        run();
        (start.elapsed(), self.cloud.answering.lock().unwrap().total)
    }

    /// Parallel builds in one process.
    fn many_builds(&self, count: usize) {
        *self.cloud.answering.lock().unwrap() = Answering::default();
        let program = self.program(count);
        let mut command = program.command(["build", "template.json"]);
        let start = Instant::now();
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(resident(Path::new(&status)).unwrap_or(0));
            pause(20);
        }
        assert!(child.wait().unwrap().success());
        println!(
            "{:<52} {:>9.2} s, {} MiB resident at most, {} calls",
            format!("{count} amazon-ebs builds in one process"),
            start.elapsed().as_secs_f64(),
            peak / 1024,
            self.cloud.answering.lock().unwrap().begun,
        );
    }
}

/// The greatest resident memory of a process so far, in KiB.
fn resident(status: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

/// Another program in the same directory and environment.
fn like(program: &Program, name: &str, args: &[&str]) -> Command {
    let ours = program.command([]);
    let mut command = Command::new(name);
    command.args(args).current_dir(program.dir()).env_clear().stdin(Stdio::null());
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("CHECKPOINT_DISABLE", "1");
    command
}

fn finish(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

fn median(rounds: usize, run: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Passes calls on to moto, and notes when it is answering.
struct Proxy {
    moto: Moto,
    http: reqwest::Client,
    answering: Mutex<Answering>,
}

/// For how long at least one call was being answered.
#[derive(Default)]
struct Answering {
    calls: usize,
    begun: usize,
    since: Option<Instant>,
    total: Duration,
}

async fn forward(
    State(proxy): State<Arc<Proxy>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    proxy.begin();
    headers.remove("host");
    headers.remove("content-length");
    let url = format!("{}{uri}", proxy.moto.endpoint());
    let answer = proxy.http.request(method, url).headers(headers).body(body).send().await.unwrap();
    let status = answer.status();
    let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
    *response.status_mut() = status;
    proxy.end();
    response
}

impl Proxy {
    fn begin(&self) {
        let mut answering = self.answering.lock().unwrap();
        answering.calls += 1;
        answering.begun += 1;
        answering.since.get_or_insert_with(Instant::now);
    }

    fn end(&self) {
        let mut answering = self.answering.lock().unwrap();
        answering.calls -= 1;
        if answering.calls == 0
            && let Some(since) = answering.since.take()
        {
            answering.total += since.elapsed();
        }
    }
}
