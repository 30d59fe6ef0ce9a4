//! `data` blocks: checked by every command, asked only where their answers are wanted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Program, Run, free_port, pause};

/// A server that answers every request alike and keeps the requests.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers `answer`, which is all of it, with the empty line after the head.
    pub fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
                let head = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
                seen.lock().expect("no panic").push(head.collect::<Vec<_>>().join("\n"));
                stream.write_all(answer.as_bytes()).expect("an answer");
            }
        });
        Self { port, requests }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Version: 7\r\nX-Version: 8\r\n\
                  Content-Length: 3\r\nConnection: close\r\n\r\n1.2";
const MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Writes what the server said into a file.
fn program(server: &Server) -> Program {
    let program = Program::new();
    let template = r#"
data "null" "address" {
  input = "http://127.0.0.1:PORT/${local.path}"
}
locals {
  path    = "version"
  version = data.http.version.body
}
data "http" "version" {
  url             = data.null.address.output
  method          = "POST"
  request_headers = { Accept = "text/plain" }
}
source "file" "version" {
  content = "${local.version} ${data.http.version.request_headers["X-Version"]}"
  target  = "version.txt"
}
build {
  sources = ["source.file.version"]
}
"#;
    program.write("web.pkr.hcl", template.replace("PORT", &server.port.to_string()));
    program
}

#[test]
fn build_asks_in_the_order_in_which_locals_and_data_need_each_other() {
    let server = Server::start(OK);
    let program = program(&server);
    program.run(["build", "web.pkr.hcl"]).succeeded();
    assert_eq!(program.read("version.txt"), "1.2 7, 8");
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("POST /version HTTP/1.1\n"), "{requests:?}");
    assert!(requests[0].contains("accept: text/plain"), "{requests:?}");
}

#[test]
fn validate_asks_only_when_told_to() {
    let server = Server::start(OK);
    let program = program(&server);
    program.run(["validate", "web.pkr.hcl"]).succeeded();
    assert!(server.requests().is_empty());
    program.run(["validate", "-evaluate-datasources", "web.pkr.hcl"]).succeeded();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_refuses_is_an_error_at_the_data_block() {
    let server = Server::start(MISSING);
    let run = program(&server).run(["build", "-color=false", "web.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("error[V010]: `http` has no answer"), "{}", run.stderr);
    assert!(run.stderr.contains("web.pkr.hcl:9:6"), "{}", run.stderr);
    assert!(run.stderr.contains("the server answers 404 Not Found"), "{}", run.stderr);
}

fn validate(blocks: &str) -> Run {
    let program = Program::new();
    let build = "source \"null\" \"n\" {\n  communicator = \"none\"\n}\n\
                 build {\n  sources = [\"null.n\"]\n}\n";
    program.write("t.pkr.hcl", format!("{blocks}\n{build}"));
    program.run(["validate", "t.pkr.hcl"])
}

#[test]
fn an_unused_data_source_is_checked_too() {
    let run = validate("data \"http\" \"unused\" {\n  methd = \"GET\"\n}").failed_with(1);
    assert!(run.stderr.contains("`http` has no option `methd`"), "{}", run.stderr);
    assert!(run.stderr.contains("did you mean `method`?"), "{}", run.stderr);
}

#[test]
fn a_circle_is_shown_as_a_path() {
    let blocks = "data \"null\" \"a\" {\n  input = local.b\n}\n\
                  locals {\n  b = upper(data.null.a.output)\n}";
    let run = validate(blocks).failed_with(1);
    assert!(run.stderr.contains("data.null.a → local.b → data.null.a"), "{}", run.stderr);
}

#[test]
fn a_name_that_no_data_block_has_is_an_error() {
    let run = validate("locals {\n  b = data.null.nothing.output\n}").failed_with(1);
    assert!(run.stderr.contains("t.pkr.hcl:2:"), "{}", run.stderr);
}

#[test]
fn what_is_not_asked_counts_as_something_of_its_type() {
    let blocks = "data \"null\" \"a\" {\n  input = 5\n}\n\
                  locals {\n  twice = data.null.a.output * 2\n}";
    validate(blocks).succeeded();
}

/// Two builds, of which only the first needs what the server at `port` says.
fn two_builds(port: u16) -> Program {
    let program = Program::new();
    program.write("two.pkr.hcl", TWO_BUILDS.replace("PORT", &port.to_string()));
    program
}

const TWO_BUILDS: &str = r#"
data "http" "version" {
  url = "http://127.0.0.1:PORT/"
}
data "http" "unused" {
  url = "http://127.0.0.1:PORT/unused"
}
locals {
  version = upper(data.http.version.body)
  names   = { b = "b" }
}
source "file" "a" {
  content = local.version
  target  = "a.txt"
}
source "file" "b" {
  content = local.names["b"]
  target  = "b.txt"
}
build {
  name    = "first"
  sources = ["source.file.a"]
}
build {
  name    = "second"
  sources = ["source.file.b"]
}
"#;

#[test]
fn a_data_source_is_asked_where_a_selected_build_needs_it() {
    let server = Server::start(OK);
    let program = two_builds(server.port);
    for flag in ["-only=second.*", "-except=first.file.a"] {
        program.run(["build", "-force", flag, "two.pkr.hcl"]).succeeded();
        assert_eq!(program.read("b.txt"), "b");
        assert!(server.requests().is_empty(), "{flag}: {:?}", server.requests());
    }
    program.run(["build", "-only=first.*", "two.pkr.hcl"]).succeeded();
    assert_eq!(program.read("a.txt"), "1.2");
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "nobody needs the other one: {requests:?}");
    assert!(requests[0].starts_with("GET / HTTP/1.1\n"), "{requests:?}");
    let server = Server::start(OK);
    two_builds(server.port).run(["build", "two.pkr.hcl"]).succeeded();
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "without a choice all are asked: {requests:?}");
}

#[test]
fn what_a_data_source_needs_is_asked_too_and_what_a_provisioner_needs() {
    let server = Server::start(OK);
    let program = Program::new();
    let template = r#"
data "http" "first" {
  url = "http://127.0.0.1:PORT/first"
}
data "http" "second" {
  url = "http://127.0.0.1:PORT/${data.http.first.body}"
}
source "null" "n" {
  communicator = "none"
}
build {
  sources = ["source.null.n"]
  provisioner "shell-local" {
    inline = ["echo said ${local["second"]}"]
  }
}
locals {
  second = data.http.second.body
}
"#;
    program.write("t.pkr.hcl", template.replace("PORT", &server.port.to_string()));
    let run = program.run(["build", "-only=null.n", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains("said 1.2"), "{}", run.stdout);
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(lines, ["GET /first HTTP/1.1", "GET /1.2 HTTP/1.1"]);
}

/// What `build` makes of a template with one `http` data source with these options.
fn asked(options: &str) -> Run {
    let program = Program::new();
    let data = format!("data \"http\" \"d\" {{\n{options}\n}}\n");
    let file = "source \"file\" \"f\" {\n  content = data.http.d.body\n  target = \"out\"\n}\n";
    program.write("t.pkr.hcl", data + file + "build {\n  sources = [\"source.file.f\"]\n}\n");
    program.run(["build", "-color=false", "t.pkr.hcl"])
}

/// A server that sends every request to `url`, with this status.
fn redirecting(status: &str, url: &str) -> Server {
    let head = format!("HTTP/1.1 {status}\r\nLocation: {url}\r\n");
    let answer = head + "Content-Length: 0\r\nConnection: close\r\n\r\n";
    Server::start(Box::leak(answer.into_boxed_str()))
}

#[test]
fn a_redirect_takes_nothing_of_the_template_to_another_server() {
    let other = Server::start(OK);
    let elsewhere = format!("http://127.0.0.1:{}/other", other.port);
    let server = redirecting("302 Found", &elsewhere);
    let options = |more: &str| {
        format!(
            "url = \"http://127.0.0.1:{}/\"\nrequest_headers = {{ X-Token = \"a-token\" }}\n{more}",
            server.port
        )
    };
    asked(&options("")).succeeded();
    asked(&options("method = \"POST\"\nrequest_body = \"a-body\"")).succeeded();
    for request in server.requests() {
        assert!(request.contains("x-token: a-token"), "{request}");
    }
    for request in other.requests() {
        assert!(request.starts_with("GET /other HTTP/1.1\n"), "{request}");
        assert!(!request.contains("a-token") && !request.contains("a-body"), "{request}");
    }
    assert_eq!((server.requests().len(), other.requests().len()), (2, 2));

    let server = redirecting("307 Temporary Redirect", &elsewhere);
    let url = format!("url = \"http://127.0.0.1:{}/\"", server.port);
    let run = asked(&format!("{url}\nmethod = \"POST\"\nrequest_body = \"b\"")).failed_with(1);
    assert!(run.stderr.contains("does not get the body that is meant for"), "{}", run.stderr);
    assert_eq!(other.requests().len(), 2);

    let server = redirecting("302 Found", "/again");
    let url = format!("url = \"http://127.0.0.1:{}/\"", server.port);
    let run = asked(&format!("{url}\nrequest_headers = {{ X-Token = \"t\" }}")).failed_with(1);
    assert!(run.stderr.contains("the server redirects more than 10 times"), "{}", run.stderr);
    assert!(server.requests().iter().all(|request| request.contains("x-token: t")));
}

#[test]
fn what_is_wrong_with_a_server_is_said_soon() {
    let refused = format!("url = \"http://127.0.0.1:{}/\"", free_port());
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    let overloaded = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let at = |server: &Server| format!("url = \"http://127.0.0.1:{}/\"", server.port);
    for (options, words) in [
        ("url = \"http://nobody.invalid/\"".to_owned(), "nobody.invalid does not resolve"),
        (refused, "nobody listens there (connection refused)"),
        (at(&Server::start(endless)), "the answer is larger than 67108864 bytes"),
        (at(&Server::start(overloaded)), "the server answers 503 Service Unavailable"),
    ] {
        let start = Instant::now();
        let run = asked(&options).failed_with(1);
        assert!(run.stderr.contains(words), "{options}: {}", run.stderr);
        assert!(start.elapsed() < Duration::from_secs(3), "{options}: {:?}", start.elapsed());
    }
}

#[test]
fn a_long_wait_says_for_what() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        pause(2500);
        stream.write_all(OK.as_bytes()).expect("an answer");
    });
    let run = asked(&format!("url = \"http://127.0.0.1:{port}/\"")).succeeded();
    assert!(run.stderr.contains("Waiting for the data source `http.d` ..."), "{}", run.stderr);
}
