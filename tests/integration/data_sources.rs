//! `data` blocks: checked by every command, asked only where their answers are wanted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use crate::support::{Program, Run};

/// A server that answers every request alike and keeps the requests.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: &'static str) -> Self {
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
