//! A Docker engine, and the image of the action: its Dockerfile's, but for the first stage, whose
//! result is the program under test.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use tempfile::TempDir;

/// A running engine; it ends with the test run, when its input does.
struct Engine {
    host: String,
    _input: ChildStdin,
    _output: BufReader<ChildStdout>,
}

impl Engine {
    #[expect(clippy::zombie_processes, reason = "it ends with the test run, when its input does")]
    fn start() -> Self {
        let mut child = Command::new(root().join("tests/engine"))
            .args(["sh", "-c", "echo $DOCKER_HOST; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/engine");
        let input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut host = String::new();
        output.read_line(&mut host).expect("tests/engine says where it is");
        assert!(host.starts_with("unix://"), "tests/engine started no engine: {host}");
        Self { host: host.trim().to_owned(), _input: input, _output: output }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The image that the action uses.
pub struct Image {
    engine: Engine,
}

const NAME: &str = "imgbake:test";

impl Image {
    /// Built once for a test run.
    pub fn slim() -> &'static Self {
        static SLIM: LazyLock<Image> = LazyLock::new(Image::build);
        &SLIM
    }

    fn build() -> Self {
        let image = Self { engine: Engine::start() };
        let context = TempDir::new().expect("a directory");
        let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).expect("a file");
        let compiled = "FROM scratch AS compiled\nCOPY imgbake /usr/local/bin/imgbake\n";
        // An engine without BuildKit would build the larger image, too.
        let rest = stages(&dockerfile, ["system", "tree", "slim"]);
        let text: String = std::iter::once(compiled).chain(rest).collect();
        // The base image is made here, and not a registry's.
        let text = Regex::new("@sha256:[0-9a-f]*").expect("a pattern").replace_all(&text, "");
        std::fs::write(context.path().join("Dockerfile"), &*text).expect("a file");
        // What debuggers read is most of it.
        let program = context.path().join("imgbake");
        let mut strip = Command::new("strip");
        strip.args(["-o".as_ref(), program.as_os_str(), env!("CARGO_BIN_EXE_imgbake").as_ref()]);
        assert!(strip.status().expect("strip").success());
        let mut build = image.docker();
        build.args(["build", "--network", "host", "--target", "slim", "--tag", NAME]);
        done(build.arg(context.path()));
        // What an older program's images leave would fill the disk.
        done(image.docker().args(["image", "prune", "--force"]));
        image
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Docker's client.
    pub fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", &self.engine.host);
        docker
    }
}

/// The stages of a Dockerfile that are named so.
fn stages<'a>(text: &'a str, names: [&'a str; 3]) -> impl Iterator<Item = &'a str> {
    let starts = text.match_indices("\nFROM ").map(|(at, _)| at + 1);
    let ends = starts.clone().skip(1).chain([text.len()]);
    let stages = starts.zip(ends).map(|(start, end)| &text[start..end]);
    stages.filter(move |stage| {
        let first = stage.lines().next().unwrap_or_default();
        names.iter().any(|name| first.ends_with(&format!(" AS {name}")))
    })
}

#[test]
fn base_images_are_named_by_their_digests() {
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let digest = Regex::new("^[a-z]+:[^@ ]+@sha256:[0-9a-f]{64}$").unwrap();
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    let mut stages = vec!["scratch"];
    for (image, stage) in lines.map(|line| line.split_once(" AS ").unwrap()) {
        assert!(stages.contains(&image) || digest.is_match(image), "{image}");
        stages.push(stage);
    }
}

/// Runs a command that must end well: what it prints.
pub fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().expect("a program");
    let [said, failed] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{command:?}: {said}{failed}");
    said.trim().to_owned()
}
