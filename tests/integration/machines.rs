//! qemu, null and file builders.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;

use crate::support::{
    GREETING, Program, Run, Served, Sshd, Then, debian_disk, debian_source, image_info, pause,
    processes_with, signal, small_disk, wait_for_the_end_of,
};

#[test]
fn null_provisions_a_machine_that_is_there() {
    let sshd = Sshd::start();
    let program = Program::new();
    let source = format!("source \"null\" \"n\" {{\n{}}}\n", sshd.hcl_options());
    program.write(
        "null.pkr.hcl",
        source
            + r#"build {
  sources = ["null.n"]
  provisioner "shell" {
    inline = ["echo ran as ${build.User} by ${build.ID}"]
  }
}"#,
    );
    let run = program.run(["build", "-color=false", "null.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains(&format!("ran as {} by Null", sshd.user)), "{}", run.stdout);
    assert!(run.stdout.contains("Did not export anything. This is the null builder"));
}

#[test]
fn null_needs_one_way_to_log_in() {
    let program = Program::new();
    program.write("none.json", r#"{"builders": [{"type": "null", "communicator": "none"}]}"#);
    program.run(["validate", "none.json"]).succeeded();
    program.write(
        "two.json",
        r#"{"builders": [{"type": "null", "ssh_host": "h", "ssh_username": "u",
            "ssh_password": "p", "ssh_agent_auth": true}]}"#,
    );
    let run = program.run(["validate", "two.json"]).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("choose one way to log in"));
    program.write("where.json", r#"{"builders": [{"type": "null", "ssh_username": "u"}]}"#);
    let run = program.run(["validate", "where.json"]).failed_with(1);
    let text = run.stdout + &run.stderr;
    assert!(text.contains("`ssh_host`") && text.contains("`ssh_password`"), "{text}");
}

#[test]
fn file_writes_its_content_and_a_failed_build_takes_it_back() {
    let program = Program::new();
    let builder = r#"{"type": "file", "target": "out/hello", "content": "hello"}"#;
    program.write("file.json", format!("{{\"builders\": [{builder}]}}"));
    let run = program.run(["build", "-color=false", "file.json"]).succeeded();
    assert!(run.stdout.contains("Stored file: out/hello"), "{}", run.stdout);
    assert_eq!(program.read("out/hello"), "hello");
    let mode = std::fs::metadata(program.path("out/hello")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let provisioner = r#"{"type": "shell-local", "inline": ["exit 3"]}"#;
    program.write(
        "fails.json",
        format!("{{\"builders\": [{builder}], \"provisioners\": [{provisioner}]}}"),
    );
    program.run(["build", "fails.json"]).failed_with(1);
    assert!(!program.path("out/hello").exists());
}

/// A template for a small guest.
fn small_template(options: &str) -> String {
    format!(
        r#"source "qemu" "q" {{
  disk_image  = true
  disk_size   = "2M"
  memory      = 16
  headless    = true
  accelerator = "tcg"
  vm_name     = "small.qcow2"
{options}
}}
build {{
  sources = ["qemu.q"]
}}
"#
    )
}

/// Options for a guest that powers off by itself.
const BY_ITSELF: &str =
    "communicator = \"none\"\niso_url = \"small.raw\"\niso_checksum = \"none\"\n";

/// Options for a guest that has no SSH server.
const NEVER_THERE: &str = "ssh_username = \"u\"\nssh_password = \"a-password\"\nssh_timeout = \"2s\"\n\
                           iso_url = \"small.raw\"\niso_checksum = \"none\"\n";

fn small_program(then: Then, options: &str) -> Program {
    let program = Program::new();
    program.write("small.raw", small_disk(then));
    program.write("small.pkr.hcl", small_template(options));
    program
}

fn build(program: &Program) -> Run {
    program.run(["build", "-color=false", "small.pkr.hcl"])
}

/// Nothing that belongs to `program`'s build runs or lies around any more.
#[track_caller]
fn assert_nothing_left(program: &Program) {
    let marker = program.path("output-q").display().to_string();
    assert!(!program.path("output-q").exists(), "{marker} is still there");
    let name = "file=output-q/small.qcow2";
    let mine = processes_with(name).into_iter().filter(|line| line.contains("small.qcow2"));
    let mine: Vec<_> = mine.filter(|line| line.contains(&unique_name(program))).collect();
    assert!(mine.is_empty(), "still running: {mine:?}");
}

/// A name for the machine that no other test has: processes are found by it.
fn unique_name(program: &Program) -> String {
    program.dir().file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn a_guest_that_powers_off_becomes_an_image_of_its_own() {
    let program = small_program(Then::PowerOff, BY_ITSELF);
    let run = build(&program).succeeded();
    assert!(run.stdout.contains("VM files in directory: output-q"), "{}", run.stdout);
    let info = image_info(&program.path("output-q/small.qcow2"));
    assert_eq!(info["format"], "qcow2");
    assert_eq!(info["virtual-size"], 2 << 20);
    assert_eq!(info.get("backing-filename"), None);
    let run = build(&program).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("exists already: remove it, or build with -force"));
    program.run(["build", "-force", "small.pkr.hcl"]).succeeded();
}

#[test]
fn a_raw_image_and_more_disks() {
    let options = format!(
        "{BY_ITSELF}format = \"raw\"\ndisk_interface = \"ide\"\ndisk_additional_size = [\"1M\"]"
    );
    let program = small_program(Then::PowerOff, &options);
    build(&program).succeeded();
    let disk = std::fs::read(program.path("output-q/small.qcow2")).expect("the disk");
    assert_eq!(disk.len(), 2 << 20);
    assert_eq!(disk[..512], small_disk(Then::PowerOff)[..512]);
    assert!(program.path("output-q/small.qcow2-1").exists());
}

#[test]
fn a_failed_build_shows_the_console_and_leaves_nothing() {
    let program = small_program(Then::Wait, NEVER_THERE);
    let run = build(&program).failed_with(1);
    assert!(run.stdout.contains(&format!("qemu.q: {GREETING}\n")), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'));
    assert_nothing_left(&program);
}

#[test]
fn a_qemu_that_ends_is_noticed_at_once_with_its_last_words() {
    let options = format!("{NEVER_THERE}qemu_binary = \"./fake\"\n").replace("\"2s\"", "\"5m\"");
    let program = small_program(Then::Wait, &options);
    program.write("fake", "#!/bin/sh\necho 'no such machine' >&2\nexit 7\n");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(program.path("fake"), executable).expect("chmod");
    let started = Instant::now();
    let run = build(&program).failed_with(1);
    let text = run.stdout + &run.stderr;
    assert!(text.contains("QEMU ended (exit status: 7): no such machine"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(20));

    // While it waits for SSH, too.
    let options = NEVER_THERE.replace("\"2s\"", "\"5m\"");
    let program = small_program(Then::PowerOff, &options);
    let run = build(&program).failed_with(1);
    let text = run.stdout + &run.stderr;
    assert!(text.contains("QEMU ended (exit status: 0)"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(40));
    assert_nothing_left(&program);
}

/// Starts a build of a guest that is never there, and waits until its machine runs.
fn start_build(program: &Program) -> std::process::Child {
    let mut child = program.start(["build", "-color=false", "small.pkr.hcl"]);
    let mut lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
    let waits = |line: &std::io::Result<String>| {
        line.as_ref().is_ok_and(|line| line.contains("Waiting for SSH"))
    };
    assert!(lines.any(|line| waits(&line)), "it waits for SSH");
    child
}

fn never_there_with_a_name() -> Program {
    let program = Program::new();
    program.write("small.raw", small_disk(Then::Wait));
    let name = unique_name(&program);
    let options = NEVER_THERE.replace("\"2s\"", "\"5m\"")
        + &format!("qemuargs = [[\"-name\", \"{name}\"]]\n");
    program.write("small.pkr.hcl", small_template(&options));
    program
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    for name in ["INT", "TERM"] {
        let program = never_there_with_a_name();
        let child = start_build(&program);
        assert_eq!(processes_with(&format!("-name {}", unique_name(&program))).len(), 1);
        let started = Instant::now();
        signal(&child, name);
        let run = Program::finish(child);
        assert_ne!(run.code, Some(0));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert_nothing_left(&program);
    }
}

#[test]
fn qemu_does_not_outlive_a_build_that_is_killed() {
    let program = never_there_with_a_name();
    let child = start_build(&program);
    let machine = format!("-name {}", unique_name(&program));
    assert_eq!(processes_with(&machine).len(), 1);
    signal(&child, "KILL");
    Program::finish(child);
    wait_for_the_end_of(&machine);
}

/// Serves `files` over HTTP and counts the requests.
fn serve(files: Vec<(&'static str, Vec<u8>)>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 4096];
            let read = stream.read(&mut request).expect("a request");
            counted.fetch_add(1, Ordering::Relaxed);
            let line = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = line.split(' ').nth(1).unwrap_or_default();
            let found = files.iter().find(|(name, _)| *name == path);
            let (status, body) = match found {
                Some((_, body)) => ("200 OK", body.as_slice()),
                None => ("404 Not Found", &b""[..]),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    (port, count)
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[test]
fn a_download_is_verified_and_kept_for_the_next_build() {
    let disk = small_disk(Then::PowerOff);
    let sums = format!("{}  small.raw\n", sha256(&disk));
    let (port, requests) = serve(vec![("/small.raw", disk), ("/SHA256SUMS", sums.into_bytes())]);
    let options = |checksum: &str| {
        small_template(&format!(
            "communicator = \"none\"\niso_checksum = \"{checksum}\"\n\
             iso_urls = [\"http://127.0.0.1:{port}/gone.raw\", \"http://127.0.0.1:{port}/small.raw\"]\n"
        ))
    };
    let program = Program::new().with([("PACKER_CACHE_DIR", "cache")]);

    program.write("small.pkr.hcl", options(&format!("sha256:{}", "0".repeat(64))));
    let run = build(&program).failed_with(1);
    let text = run.stdout + &run.stderr;
    assert!(text.contains("404") && text.contains("its checksum is sha256:"), "{text}");

    let good = format!("sha256:{}", sha256(&small_disk(Then::PowerOff)));
    program.write("small.pkr.hcl", options(&good));
    build(&program).succeeded();
    let before = requests.load(Ordering::Relaxed);
    let sums = format!("file:http://127.0.0.1:{port}/SHA256SUMS");
    let listed = options(&sums).replace(&format!("\"http://127.0.0.1:{port}/gone.raw\", "), "");
    program.write("small.pkr.hcl", listed);
    program.run(["build", "-force", "small.pkr.hcl"]).succeeded();
    assert_eq!(requests.load(Ordering::Relaxed), before + 1, "only the sums file is fetched");
}

#[test]
fn a_damaged_file_is_refused() {
    let options = BY_ITSELF.replace("\"none\"\n", "\"file:SUMS\"\n");
    let options = options.replacen("\"file:SUMS\"", "\"none\"", 1);
    let program = small_program(Then::PowerOff, &options);
    program.write("SUMS", format!("SHA256 (small.raw) = {}\n", sha256(b"another")));
    let run = build(&program).failed_with(1);
    let text = run.stdout + &run.stderr;
    assert!(text.contains("the checksum of small.raw is sha256:"), "{text}");
    assert!(text.contains(&format!("but sha256:{} is expected", sha256(b"another"))), "{text}");
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let program = small_program(Then::Wait, &format!("{BY_ITSELF}ssh_public_key = \"x\"\n"));
    let run = program.run(["validate", "small.pkr.hcl"]).failed_with(1);
    let text = run.stdout + &run.stderr;
    assert!(text.contains("`ssh_public_key` of `qemu` is not built yet"), "{text}");
}

/// A Debian on which `command` runs.
fn debian_template(disk: &std::path::Path, name: &str, options: &str, command: &str) -> String {
    let answer = "http_content = { \"/answer\" = \"forty-two\\n\" }";
    let source = debian_source(disk, name, &format!("{answer}\n{options}"));
    format!(
        r#"{source}build {{
  sources = ["qemu.debian"]
  provisioner "shell" {{
    inline = ["{command}"]
  }}
}}
"#
    )
}

#[test]
fn a_debian_is_baked_and_the_image_boots() {
    let program = Program::new();
    let answer = "python3 -c 'import sys, urllib.request as r; \
                  sys.stdout.write(r.urlopen(sys.argv[1]).read().decode())' \
                  http://$PACKER_HTTP_ADDR/answer | sudo tee /etc/baked";
    let base = debian_disk();
    program.write("small.pkr.hcl", debian_template(&base, "first", "", answer));
    let run = build(&program).succeeded();
    assert!(run.stdout.contains("qemu.debian: forty-two"), "{}", run.stdout);

    let baked = program.path("first/disk.qcow2");
    let overlay = "use_backing_file = true\nskip_resize_disk = true\n";
    program.write(
        "small.pkr.hcl",
        debian_template(&baked, "second", overlay, "echo baked: $(cat /etc/baked)"),
    );
    let run = build(&program).succeeded();
    assert!(run.stdout.contains("qemu.debian: baked: forty-two"), "{}", run.stdout);
    let size = |path: &str| std::fs::metadata(program.path(path)).expect("an image").len();
    assert!(size("second/disk.qcow2") < size("first/disk.qcow2") / 2);
}

/// `qemu-img` with these words, in the directory of `program`.
fn qemu_img(program: &Program, words: &str) {
    let mut command = std::process::Command::new("qemu-img");
    let status = command.current_dir(program.dir()).args(words.split(' ')).status();
    assert!(status.expect("qemu-img").success(), "{words}");
}

#[test]
fn an_image_that_names_a_file_of_this_machine_is_refused() {
    for (make, options) in [
        ("create -q -f qcow2 -F raw -b host.secret image", ""),
        ("create -q -f qcow2 -F raw -b host.secret image", "skip_compaction = true\n"),
        ("create -q -f qcow2 -F raw -b host.secret image", "format = \"raw\"\n"),
        ("create -q -f qcow2 -o data_file=host.secret,data_file_raw=on image 1M", ""),
        ("create -q -f vmdk -o subformat=monolithicFlat image 1M", ""),
    ] {
        let image = "communicator = \"none\"\niso_url = \"image\"\niso_checksum = \"none\"\n";
        let program = small_program(Then::PowerOff, &format!("{image}{options}"));
        program.write("host.secret", "secret".repeat(100_000));
        qemu_img(&program, make);
        let run = build(&program).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("this machine's files could get into it"), "{make}: {said}");
        assert!(!program.path("output-q").exists(), "{make}");
    }
}

#[test]
fn what_a_guest_wrote_to_a_raw_disk_is_not_followed_by_the_next_build() {
    let options = format!("{BY_ITSELF}format = \"raw\"\nskip_resize_disk = true\n");
    let program = small_program(Then::PowerOff, &options);
    build(&program).succeeded();
    // As if the guest had done it.
    program.write("host.secret", "secret".repeat(100_000));
    qemu_img(&program, "create -q -f qcow2 -F raw -b host.secret header");
    let header = std::fs::read(program.path("header")).unwrap();
    let disk = std::fs::OpenOptions::new().write(true).open(program.path("output-q/small.qcow2"));
    disk.unwrap().write_all(&header[..512]).unwrap();
    let next = "communicator = \"none\"\niso_url = \"output-q/small.qcow2\"\n\
                iso_checksum = \"none\"\noutput_directory = \"next\"\nskip_resize_disk = true\n";
    program.write("small.pkr.hcl", small_template(next));
    let run = build(&program).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("(qcow2) has a backing file"));
}

#[test]
fn options_take_the_values_that_the_usual_tool_takes() {
    for value in ["true", "\"true\"", "\"1\"", "1"] {
        let program = Program::new();
        program.write(
            "t.json",
            format!(
                r#"{{"builders": [{{"type": "qemu", "iso_url": "http://127.0.0.1/x.img",
                    "iso_checksum": "none", "disk_image": {value}, "communicator": "none",
                    "http_bind_address": "localhost"}}]}}"#
            ),
        );
        program.run(["validate", "t.json"]).succeeded();
    }
    for value in ["true", "\"true\"", "\"1\""] {
        let program = Program::new();
        program.write(
            "t.pkr.hcl",
            format!(
                "source \"qemu\" \"q\" {{\n  iso_url = \"x.img\"\n  iso_checksum = \"none\"\n  \
                 communicator = \"none\"\n  disk_image = {value}\n  \
                 http_bind_address = \"localhost\"\n}}\n\
                 build {{\n  sources = [\"source.qemu.q\"]\n}}\n"
            ),
        );
        program.run(["validate", "t.pkr.hcl"]).succeeded();
    }
}

/// A server that answers everything with `head`, and then a byte now and then.
fn drip(head: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut more =
                stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(head.as_bytes()));
            while more.is_ok() {
                pause(100);
                more = stream.write_all(b"x");
            }
        }
    });
    port
}

#[test]
fn a_download_that_cannot_be_says_why() {
    let program = Program::new()
        .with([("PACKER_CACHE_DIR", "cache"), ("PACKER_GETTER_READ_TIMEOUT", "1500ms")]);
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (empty, _) = serve(Vec::new());
    let overloaded = drip("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let slow = drip("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    let huge = drip("HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n");
    let sums = drip("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    for (url, checksum, words) in [
        (
            "http://nobody.invalid/x".to_owned(),
            "none".to_owned(),
            "nobody.invalid does not resolve",
        ),
        (format!("http://127.0.0.1:{refused}/x"), "none".into(), "nobody listens there"),
        (format!("http://127.0.0.1:{empty}/x"), "none".into(), "the server answers 404 Not Found"),
        (format!("http://127.0.0.1:{overloaded}/x"), "none".into(), "the server answers 503 "),
        (
            format!("http://127.0.0.1:{slow}/x"),
            "none".into(),
            "the image did not come within 1.5s: PACKER_GETTER_READ_TIMEOUT may allow more",
        ),
        (format!("http://127.0.0.1:{huge}/x"), "none".into(), "the image is larger than "),
        (
            format!("http://127.0.0.1:{empty}/x"),
            format!("file:http://127.0.0.1:{sums}/s"),
            "the sums file is larger than 16777216 bytes",
        ),
    ] {
        let options = format!(
            "communicator = \"none\"\niso_url = \"{url}\"\niso_checksum = \"{checksum}\"\n"
        );
        program.write("small.pkr.hcl", small_template(&options));
        let start = Instant::now();
        let run = build(&program).failed_with(1);
        let said = run.stdout + &run.stderr;
        assert!(said.contains(words), "{url}: {said}");
        assert!(start.elapsed() < Duration::from_secs(3), "{url}: {:?}", start.elapsed());
        let left = std::fs::read_dir(program.path("cache")).into_iter().flatten().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
    }
}

/// Serves a disk to whoever logs in.
fn guarded(disk: Vec<u8>) -> Served {
    // `me:hunter22`
    const LOGIN: &str = "Basic bWU6aHVudGVyMjI=";
    let answer = move |headers: HeaderMap| {
        let is_known = headers.get("authorization").is_some_and(|login| login == LOGIN);
        let answer = if is_known { Ok(disk.clone()) } else { Err(StatusCode::UNAUTHORIZED) };
        async move { answer }
    };
    Served::start(Router::new().route("/small.raw", get(answer)))
}

#[test]
fn an_image_is_fetched_with_the_login_that_netrc_or_its_url_has() {
    let server = guarded(small_disk(Then::PowerOff));
    let program = Program::new().with([("PACKER_CACHE_DIR", "cache")]);
    let options = |url: &str| {
        small_template(&format!(
            "communicator = \"none\"\niso_url = \"{url}/small.raw\"\niso_checksum = \"none\"\n"
        ))
    };
    program.write("small.pkr.hcl", options(&server.url()));
    let run = build(&program).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("the server answers 401"));
    program.write(".netrc", "machine 127.0.0.1\n  login me\n  password hunter22\n");
    build(&program).succeeded();
    std::fs::remove_file(program.path(".netrc")).unwrap();
    std::fs::remove_dir_all(program.path("cache")).unwrap();
    let url = server.url().replace("http://", "http://me:hunter22@");
    program.write("small.pkr.hcl", options(&url));
    let args = ["build", "-force", "-color=false", "small.pkr.hcl"];
    let run = program.run(args).succeeded();
    let said = run.stdout + &run.stderr;
    assert!(said.contains("Trying http://me:<sensitive>@") && !said.contains("hunter22"), "{said}");
}
