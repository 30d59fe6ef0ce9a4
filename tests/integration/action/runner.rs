//! GitHub's runner, as far as a container action sees it: variables, files, mounts, signals.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::engine::Image;
use super::heard::{Log, entries};
use crate::support::{Program, signal};

/// A job with one step, which is the action.
pub struct Runner {
    pub program: Program,
    vars: BTreeMap<String, String>,
    inputs: BTreeMap<String, String>,
    image: Option<&'static Image>,
}

/// What the runner mounts into the container of an action, and where; what is inside of another
/// comes first.
const MOUNTS: [(&str, &str); 5] = [
    ("_temp/_github_home", "/github/home"),
    ("_temp/_github_workflow", "/github/workflow"),
    ("_temp/_runner_file_commands", "/github/file_commands"),
    ("_temp", "/github/runner_temp"),
    ("", "/github/workspace"),
];

/// What became of the step, as the runner sees it.
#[derive(Debug, Default)]
pub struct Step {
    pub code: Option<i32>,
    pub log: Log,
    pub outputs: BTreeMap<String, String>,
    pub state: BTreeMap<String, String>,
    pub summary: String,
    pub stderr: String,
}

impl Step {
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{:#?}\n{}", self.log, self.stderr);
        self
    }

    #[track_caller]
    pub fn failed(self) -> Self {
        assert_eq!(self.code, Some(1), "{:#?}\n{}", self.log, self.stderr);
        self
    }

    /// An output that is JSON.
    pub fn json(&self, name: &str) -> Json {
        serde_json::from_str(&self.outputs[name]).unwrap()
    }
}

/// The files that the runner reads when the step ends.
const FILES: [&str; 3] = ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"];

const MAIN: &str = "imgbake-action";
const POST: &str = "imgbake-action-post";

impl Runner {
    /// A push to the main branch of `org/images`, checked out in the program's directory.
    pub fn new(command: &str) -> Self {
        let program = Program::new();
        let path = |name: &str| program.path(name).display().to_string();
        let vars = [
            ("CI", "true".to_owned()),
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_ACTOR", "octocat".to_owned()),
            ("GITHUB_API_URL", "https://api.github.com".to_owned()),
            ("GITHUB_JOB", "bake".to_owned()),
            ("GITHUB_REPOSITORY", "org/images".to_owned()),
            ("GITHUB_RUN_ATTEMPT", "1".to_owned()),
            ("GITHUB_RUN_ID", "4711".to_owned()),
            ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
            ("GITHUB_SHA", "a1b2c3".to_owned()),
            ("GITHUB_WORKFLOW", "images".to_owned()),
            ("GITHUB_WORKSPACE", program.dir().display().to_string()),
            ("RUNNER_TEMP", path("_temp")),
            ("GITHUB_EVENT_PATH", path("_temp/_github_workflow/event.json")),
        ];
        for (dir, _) in MOUNTS {
            std::fs::create_dir_all(program.path(dir)).unwrap();
        }
        let vars = vars.map(|(name, value)| (name.to_owned(), value)).into();
        let runner = Self { program, vars, inputs: BTreeMap::new(), image: None };
        runner.event("push", &json!({})).with("command", command)
    }

    /// With this input.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.inputs.insert(name.to_owned(), value.into());
        self
    }

    /// With this variable in the environment.
    pub fn var(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    /// With these variables in the environment.
    pub fn vars<'a>(self, vars: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        vars.into_iter().fold(self, |runner, (name, value)| runner.var(name, value))
    }

    /// Started by this event.
    pub fn event(self, name: &str, event: &Json) -> Self {
        self.program.write("_temp/_github_workflow/event.json", event.to_string());
        self.var("GITHUB_EVENT_NAME", name)
    }

    /// With this file in the checkout.
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.program.write(name, text);
        self
    }

    /// The step is a container of `image`; without one it is the program itself.
    pub fn in_container(self, image: &'static Image) -> Self {
        Self { image: Some(image), ..self }
    }

    fn command_file(&self, entry: &str, name: &str) -> PathBuf {
        self.program.path(&format!("_temp/_runner_file_commands/{entry}_{name}"))
    }

    /// All that the step finds in its environment, with empty files for what it has to say.
    pub fn environment(
        &self,
        entry: &str,
        state: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut vars = self.vars.clone();
        for name in FILES {
            let path = self.command_file(entry, name);
            std::fs::write(&path, "").unwrap();
            vars.insert(name.to_owned(), path.display().to_string());
        }
        let inputs = self.inputs.iter();
        vars.extend(inputs.map(|(name, value)| {
            (format!("INPUT_{}", name.to_uppercase().replace(' ', "_")), value.clone())
        }));
        let state = state.iter().map(|(name, value)| (format!("STATE_{name}"), value.clone()));
        vars.extend(state);
        vars
    }

    fn spawn(&self, entry: &'static str, state: &BTreeMap<String, String>) -> Running<'_> {
        let path = format!("/usr/local/bin/{entry}");
        let vars = self.environment(entry, state);
        let mut process = match self.image {
            None => {
                let mut process = self.program.command([]);
                process.arg0(path).envs(vars);
                process
            }
            Some(image) => self.container(image, &path, &vars),
        };
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            loop {
                let mut line = Vec::new();
                if stdout.read_until(b'\n', &mut line).unwrap() == 0 {
                    return;
                }
                // Whoever does not wait for the end does not hear all.
                let _ = tell.send(String::from_utf8(line).unwrap());
            }
        });
        Running { runner: self, entry, child, lines, said: String::new() }
    }

    /// `docker run`, as the runner calls it: values come from the client's own environment.
    fn container(
        &self,
        image: &Image,
        entrypoint: &str,
        vars: &BTreeMap<String, String>,
    ) -> Process {
        let mut process = image.docker();
        process.args(["run", "--label", "imgbake-test", "--workdir", "/github/workspace", "--rm"]);
        for (name, value) in vars {
            process.args(["-e", name]).env(name, self.inside(value));
        }
        process.args(["-e", "HOME"]).env("HOME", "/github/home");
        process.args(["--entrypoint", entrypoint, "--network", "host"]);
        for (dir, inside) in MOUNTS {
            process.args(["-v", &format!("{}:{inside}", self.program.path(dir).display())]);
        }
        process.arg(image.name());
        process
    }

    /// A value that is a path of this machine, as the container calls it.
    fn inside(&self, value: &str) -> String {
        let translated = MOUNTS.iter().find_map(|(dir, inside)| {
            let dir = self.program.path(dir);
            let rest = value.strip_prefix(dir.display().to_string().trim_end_matches('/'))?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{inside}{rest}"))
        });
        translated.unwrap_or_else(|| value.to_owned())
    }

    /// Starts the step.
    pub fn start(&self) -> Running<'_> {
        self.spawn(MAIN, &BTreeMap::new())
    }

    /// Runs the step.
    pub fn run(&self) -> Step {
        self.start().end()
    }

    /// The end of the job after `step`.
    pub fn post(&self, step: &Step) -> Step {
        self.spawn(POST, &step.state).end()
    }
}

/// A step that goes on.
pub struct Running<'a> {
    runner: &'a Runner,
    entry: &'static str,
    pub child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Running<'_> {
    /// Waits until the step prints a line with `text`; whether it does before it ends.
    pub fn prints(&mut self, text: &str) -> bool {
        while let Ok(line) = self.lines.recv() {
            self.said.push_str(&line);
            if line.contains(text) {
                return true;
            }
        }
        false
    }

    /// Waits until it ends, as long as that takes.
    pub fn end(mut self) -> Step {
        while let Ok(line) = self.lines.recv() {
            self.said.push_str(&line);
        }
        let log = Log::of(&self.said);
        Step { log, ..self.files() }
    }

    /// Whether it ends within `patience`.
    fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// Cancels it as the runner does: it asks twice, then it kills. What it kills is what it has
    /// started: of a container that is docker's client.
    pub fn cancel(mut self) -> Step {
        for (name, patience) in [("INT", 7500), ("TERM", 2500)] {
            signal(&self.child, name);
            if self.ends_within(Duration::from_millis(patience)) {
                return self.end();
            }
        }
        self.kill()
    }

    /// Kills it; what it has printed may be anything.
    pub fn kill(self) -> Step {
        signal(&self.child, "KILL");
        self.files()
    }

    /// What stands in its files, and how it ended.
    fn files(self) -> Step {
        let output = self.child.wait_with_output().unwrap();
        let path = |name| self.runner.command_file(self.entry, name);
        let read = |name| std::fs::read_to_string(path(name)).unwrap();
        Step {
            code: output.status.code(),
            outputs: entries(&read("GITHUB_OUTPUT")),
            state: entries(&read("GITHUB_STATE")),
            summary: read("GITHUB_STEP_SUMMARY"),
            stderr: String::from_utf8(output.stderr).unwrap(),
            log: Log::default(),
        }
    }

    /// What it has kept for the end of the job so far.
    pub fn state(&self) -> BTreeMap<String, String> {
        let path = self.runner.command_file(self.entry, "GITHUB_STATE");
        entries(&std::fs::read_to_string(path).unwrap())
    }
}
