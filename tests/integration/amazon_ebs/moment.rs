//! The program `imgbake`, and the moments of its builds at which something may happen to it.
//!
//! A moment is a line of the program's log (a step that starts, or a sentence for people) or a call
//! that reaches the API. An undisturbed run tells them all; nobody has to write a list.

use std::collections::{BTreeSet, HashMap};
use std::process::Stdio;
use std::sync::LazyLock;

use regex::Regex;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::bed::Bed;
use super::proxy::{Fate, Proxy};
use crate::support::Program;

/// What happens in a build, and the how manieth time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(What, usize);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum What {
    Step(String),
    Said(String),
    Called(String),
}

/// What is done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// One signal of this name; what it does may take its time.
    Once(&'static str),
    /// Another one as soon as the first was heard, while no call gets through.
    Twice(&'static str),
}

/// A build to run by the program.
pub struct Bake<'a> {
    pub bed: &'a Bed,
    /// The template's file name and text.
    pub template: (&'static str, String),
    pub args: Vec<&'static str>,
}

/// What came of it.
#[derive(Debug)]
pub struct Baked {
    pub code: Option<i32>,
    /// What people were told, each line without the build's name.
    pub said: Vec<String>,
    pub moments: Vec<Moment>,
}

impl Baked {
    /// What `pattern`'s group catches in the lines that people were told.
    pub fn told(&self, pattern: &str) -> BTreeSet<String> {
        let pattern = Regex::new(pattern).unwrap();
        let found = self.said.iter().filter_map(|line| pattern.captures(line));
        found.map(|found| found[1].to_owned()).collect()
    }

    /// How many lines a good build says before its steps are undone.
    pub fn lines_of_steps(&self) -> usize {
        let undoing = |line: &&String| {
            line.starts_with("Deleting the temporary") || line.starts_with("Terminating")
        };
        self.said.iter().position(|line| undoing(&line)).unwrap_or(self.said.len())
    }

    /// Whether the interruption came only when a good build, which says as much as `undisturbed`,
    /// had nothing more to do.
    pub fn was_whole_when_cancelled(&self, undisturbed: &Self) -> bool {
        let cancelled = self.said.iter().position(|line| line.starts_with("Cancelling build"));
        cancelled.is_none_or(|at| at >= undisturbed.lines_of_steps())
    }

    pub fn has_said(&self, text: &str) -> bool {
        self.said.iter().any(|line| line.contains(text))
    }
}

impl Moment {
    /// Whether a step starts.
    pub fn is_step(&self) -> bool {
        matches!(self.0, What::Step(_))
    }
}

impl Bake<'_> {
    /// Undisturbed.
    pub async fn run(&self) -> Baked {
        self.run_with(None).await
    }

    /// With `signals` at `moment`, which must come.
    pub async fn disturbed(&self, moment: &Moment, signals: Signals) -> Baked {
        self.run_with(Some((moment, signals))).await
    }

    async fn run_with(&self, trouble: Option<(&Moment, Signals)>) -> Baked {
        let (news, heard) = unbounded_channel();
        let wanted = trouble.map(|(moment, _)| moment.clone());
        let called = news.clone();
        let rule = move |action: &str, before: usize| {
            let what = What::Called(action.to_owned());
            let is_it = wanted.as_ref() == Some(&Moment(what, before));
            let _ = called.send(News::Called(action.to_owned()));
            if is_it { Fate::Held } else { Fate::Passes }
        };
        let proxy = Proxy::start(self.bed.moto.endpoint(), Box::new(rule)).await;
        let program = Program::new();
        let mut child = self.start(&program, &proxy);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = news.send(News::Logged(line));
            }
            let _ = news.send(News::End);
        });
        let mut watch =
            Watch { trouble, proxy, sent: 0, counts: HashMap::new(), baked: Vec::new() };
        let mut said = Vec::new();
        watch.until_the_end(&child, heard, &mut said).await;
        let code = child.wait().await.unwrap().code();
        assert!(trouble.is_none() || watch.sent > 0, "{trouble:?} never came: {said:#?}");
        Baked { code, said, moments: watch.baked }
    }

    fn start(&self, program: &Program, proxy: &Proxy) -> Child {
        program.write(self.template.0, &self.template.1);
        let args = ["build", "-color=false"].into_iter().chain(self.args.iter().copied());
        let mut command = Command::from(program.command(args.chain([self.template.0])));
        command
            .envs(proxy.environment())
            // The file log has both what people see and the steps, in their order.
            .env("PACKER_LOG_PATH", "/dev/stderr")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().unwrap()
    }
}

enum News {
    Logged(String),
    Called(String),
    End,
}

/// Follows a run, and does at its moment what shall be done.
struct Watch<'a> {
    trouble: Option<(&'a Moment, Signals)>,
    proxy: Proxy,
    sent: usize,
    counts: HashMap<What, usize>,
    baked: Vec<Moment>,
}

impl Watch<'_> {
    async fn until_the_end(
        &mut self,
        child: &Child,
        mut heard: UnboundedReceiver<News>,
        said: &mut Vec<String>,
    ) {
        while let Some(news) = heard.recv().await {
            let what = match news {
                News::End => return,
                News::Called(action) => Some(What::Called(action)),
                News::Logged(line) => {
                    said.extend(told(&line));
                    what(&line)
                }
            };
            self.count(what, child);
            if said.last().is_some_and(|line| line.starts_with("Cancelling build after")) {
                self.cancelled(child);
            }
        }
    }

    fn count(&mut self, what: Option<What>, child: &Child) {
        let Some(what) = what else { return };
        let count = self.counts.entry(what.clone()).or_default();
        let moment = Moment(what, *count);
        *count += 1;
        if let Some((wanted, signals)) = self.trouble
            && *wanted == moment
        {
            self.proxy.hold();
            self.signal(child, signals);
        }
        self.baked.push(moment);
    }

    /// The first signal was heard.
    fn cancelled(&mut self, child: &Child) {
        match self.trouble {
            Some((_, signals @ Signals::Twice(_))) if self.sent == 1 => self.signal(child, signals),
            Some((_, Signals::Once(_))) => self.proxy.release(),
            _ => {}
        }
    }

    fn signal(&mut self, child: &Child, signals: Signals) {
        let (Signals::Once(name) | Signals::Twice(name)) = signals;
        // It may have ended in this moment.
        let Some(id) = child.id() else { return };
        let args = [format!("-{name}"), id.to_string()];
        assert!(std::process::Command::new("kill").args(args).status().unwrap().success());
        self.sent += 1;
    }
}

/// What people were told by a line of the log; lines after the first of a text stand alone there.
fn told(line: &str) -> Option<String> {
    static LINE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\S+Z +(\w+) (\S+): (.*)$").unwrap());
    let text = match LINE.captures(line) {
        Some(found) if &found[2] == "imgbake::ui" => found[3].to_owned(),
        Some(_) => return None,
        None => line.to_owned(),
    };
    Some(text.split(" build=\"").next().unwrap_or_default().to_owned())
}

/// What a line of the log says that happened, without what differs from run to run.
fn what(line: &str) -> Option<What> {
    static VARIES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"packer_[0-9a-f-]+|\b(i|ami|sg|snap|vol)-[0-9a-f]+|SHA256:\S+|/tmp/\S+|port \d+",
        )
        .unwrap()
    });
    let of_build = line.contains(" build=\"") && !line.contains(" build=\"\"");
    if let Some((_, step)) = line.split_once(": step started ") {
        let step = step.split_once("step=\"")?.1.trim_end_matches('"');
        return Some(What::Step(step.to_owned()));
    }
    let text = told(line).filter(|_| of_build && line.contains(" imgbake::ui: "))?;
    Some(What::Said(VARIES.replace_all(&text, "[…]").into_owned()))
}
