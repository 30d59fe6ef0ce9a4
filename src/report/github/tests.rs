use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::record::RunRecord;
use super::summary::{About, Change, summary};
use super::*;
use crate::diagnostic::Severity;
use crate::event::{
    Annotation, ArtifactSummary, Contents, Event, Finished, Message, PackageChange, Phase, Picture,
    SpentBy, Stream, Ui,
};
use crate::fault::{Fault, Kind};
use crate::source::{Place, Position};

#[test]
fn files_are_called_as_the_repository_calls_them() {
    for (root, file, called) in [
        ("", "./web.pkr.hcl", "web.pkr.hcl"),
        ("images", "web.pkr.hcl", "images/web.pkr.hcl"),
        ("images/web", "../db/./db.pkr.hcl", "images/db/db.pkr.hcl"),
        ("", "../x", "../x"),
        ("images", "/etc/x", "/etc/x"),
    ] {
        assert_eq!(in_repository(Path::new(root), file), called);
    }
}

/// Hears what is said, as if it had been said so many seconds after the start.
struct Told {
    record: RunRecord,
    ui: Ui,
    said: tokio::sync::mpsc::UnboundedReceiver<Event>,
}

impl Told {
    fn new() -> Self {
        let (ui, said) = Ui::new();
        Self { record: RunRecord::default(), ui, said }
    }

    fn at(&mut self, second: i64, build: &str, message: Message) {
        self.ui.for_target(build).send(message);
        let mut event = self.said.try_recv().unwrap();
        event.at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        self.record.hear(&event);
    }

    fn step(&mut self, build: &str, step: &str, phase: Phase, (from, until): (i64, i64), ok: bool) {
        let name = step.to_owned();
        self.at(from, build, Message::StepStarted { step: name.clone(), phase });
        let took = Duration::from_secs((until - from).unsigned_abs());
        self.at(until, build, Message::StepFinished { step: name, took, ok });
    }
}

fn place(file: &str, line: usize) -> Place {
    Place { file: file.into(), position: Position { line, column: 3 } }
}

fn finished(seconds: u64, error: Option<&str>, products: Vec<ArtifactSummary>) -> Message {
    let took = Duration::from_secs(seconds);
    let error = error.map(str::to_owned);
    Message::BuildFinished(Box::new(Finished {
        took,
        fault: error.as_ref().map(|_| Fault::lasting(Kind::Guest)),
        error,
        stopped: None,
        place: place("web.pkr.hcl", 3),
        products,
    }))
}

fn amis(images: &[(&str, &str)]) -> ArtifactSummary {
    ArtifactSummary {
        builder_id: "mitchellh.amazonebs".into(),
        id: "ids".into(),
        files: Vec::new(),
        description: String::new(),
        images: images.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        facts: [].into(),
    }
}

/// What is inside the image of the build that went well.
fn contents() -> Contents {
    let change = |name: &str, before: Option<&str>, now: Option<&str>| PackageChange {
        name: name.to_owned(),
        before: before.map(str::to_owned),
        now: now.map(str::to_owned),
    };
    let baked = vec![
        change("nginx", None, Some("1.24.0-2")),
        change("<img src=x>|@all", None, Some("1")),
        change("openssl", Some("3.0.11"), Some("3.0.13")),
        change("telnet", Some("0.17"), None),
    ];
    let many = (1..=120).map(|n| change(&format!("lib-{n}"), Some("1.0"), Some("1.1")));
    Contents {
        packages: 412,
        baked: Some(baked),
        since_previous: Some(many.collect()),
        files: vec!["sbom/amazon-ebs.web.cdx.json".into(), "sbom/amazon-ebs.web.spdx.json".into()],
    }
}

/// A run with a build that went well, and one that did not.
fn record() -> RunRecord {
    let mut told = Told::new();
    let planned = ["amazon-ebs.web", "amazon-ebs.db"].map(str::to_owned).to_vec();
    told.at(0, "", Message::BuildsPlanned(planned));
    told.step("amazon-ebs.web", "find the source AMI", Phase::Prepare, (0, 2), true);
    told.at(
        2,
        "amazon-ebs.web",
        Message::StepStarted { step: "run the instance".into(), phase: Phase::Launch },
    );
    told.at(
        30,
        "amazon-ebs.web",
        Message::Spent {
            whose: SpentBy::Clouds,
            what: "instance running",
            took: Duration::from_secs(25),
        },
    );
    told.step("amazon-ebs.web", "connect", Phase::Connect, (30, 45), true);
    told.at(
        45,
        "amazon-ebs.web",
        finished(200, None, vec![amis(&[("eu-west-1", "ami-1"), ("us-gov-west-1", "ami-2")])]),
    );
    for (minute, moment) in (1..=13).map(|minute| (minute, format!("after {minute} min"))) {
        let path = format!("output-web.screens/{minute:03}-{minute}m.png");
        let picture = Picture { path, moment, is_told: false };
        told.at(44, "amazon-ebs.web", Message::Picture(picture));
    }
    told.at(45, "amazon-ebs.web", Message::Contents(contents()));
    let db = "amazon-ebs.db";
    told.at(1, db, Message::StepStarted { step: "provision".into(), phase: Phase::Connect });
    told.at(40, db, Message::PhaseStarted(Phase::Provision("install: nginx".into())));
    let lines: Vec<_> = (1..=60).map(|n| format!("line {n} ```")).collect();
    told.at(50, db, Message::Output { stream: Stream::Stdout, text: lines.join("\n") });
    told.at(60, db, Message::PhaseFinished { ok: false });
    told.at(
        60,
        db,
        Message::StepFinished { step: "provision".into(), took: Duration::ZERO, ok: false },
    );
    told.at(61, db, Message::PhaseStarted(Phase::Cleanup));
    told.at(62, db, Message::Say("Terminating the instance".into()));
    told.at(70, db, Message::PhaseFinished { ok: true });
    told.at(
        70,
        db,
        finished(69, Some("web.pkr.hcl:9:3: the provisioner failed: exit 1"), Vec::new()),
    );
    told.record
}

fn about() -> About {
    About {
        command: "build".into(),
        ok: false,
        files: "https://github.com/org/images/blob/a1b2c3/".into(),
        root: "images".into(),
        changes: Some(vec![Change {
            build: "amazon-ebs.web".into(),
            before: vec!["eu-west-1:ami-0".into()],
            now: vec!["eu-west-1:ami-1".into()],
        }]),
        brief: false,
        artifact: String::new(),
    }
}

fn end() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(240)
}

#[test]
fn a_summary_tells_all_of_a_run() {
    let mut record = record();
    let place = Some((place("./my web.pkr.hcl", 12), Position { line: 12, column: 9 }));
    let text = "`amazon-ebs` has no option `x|y`\nhelp: did you mean `xy`?".into();
    let severity = Severity::Warning;
    record.annotations.push(Annotation {
        severity,
        place,
        title: "C002 …".into(),
        text,
        fault: None,
    });
    insta::assert_snapshot!(summary(&record, &about(), end(), 1 << 20));
}

#[test]
fn the_first_part_that_failed_is_the_one_to_tell() {
    let record = record();
    let (phase, lines) = record.builds["amazon-ebs.db"].failed.as_ref().unwrap();
    assert_eq!(*phase, Phase::Provision("install: nginx".into()));
    assert_eq!((lines.len(), lines[0].as_str()), (50, "line 11 ```"));
}

#[test]
fn what_is_too_long_is_told_shorter_and_never_longer_than_allowed() {
    let mut told = Told::new();
    for n in 0..400 {
        let build: Arc<str> = format!("null.build-{n}").into();
        told.at(0, &build, Message::PhaseStarted(Phase::Provision("shell".into())));
        let text = vec!["x".repeat(900); 60].join("\n");
        told.at(1, &build, Message::Output { stream: Stream::Stdout, text });
        told.at(2, &build, finished(2, Some("it failed"), Vec::new()));
    }
    let (about, now) = (About::default(), end());
    let mut lengths = Vec::new();
    for room in [1 << 24, 1 << 20, 1 << 17, 60_000, 1000] {
        let text = summary(&told.record, &about, now, room);
        assert!(text.len() <= room, "{} of {room}", text.len());
        assert!(text.contains("0 of 400 builds succeeded"), "the heading stays");
        lengths.push(text.len());
    }
    assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
    assert!(summary(&told.record, &about, now, 1000).ends_with("the log has all of it.\n"));
}
