//! Every option does something that can be seen from outside: in a call that reaches the API, in one
//! that is spared, or in the words of a refusal. The options of the reference are in a fixture; what
//! is declared, what is refused by name, and what is shown here must be the same.

mod cases;

use std::collections::BTreeSet;

use futures::future::join_all;
use imgbake::builder::amazon::AmazonEbs;
use imgbake::communicator;
use imgbake::component::Component;
use imgbake::config::{OptionDoc, OptionGroups};
use regex::Regex;
use serde_json::Value as Json;

use super::bed::{Bed, Build, Ended};
use super::policy;
use super::proxy::{Call, Proxy, Rule};
use crate::support::fixture;

/// What an option does, as the tables of [`cases`] say it behind the option's name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shows {
    /// `Call Parameter = value`: a call has a parameter of this name, in which `*` stands for a
    /// number, and of this value.
    Sends(String, String, String),
    /// `Call without Parameter`: calls of this name have no parameter whose name begins so.
    Omits(String, String),
    /// `Call`: it is made.
    Calls(String),
    /// `Call 2 times`.
    Times(String, usize),
    /// `no Call`: it is not made.
    Spares(String),
    /// `Call in eu-west-1`.
    In(String, String),
    /// `signed by key`: so are calls of EC2.
    SignedBy(String),
    /// `fails: …`: the build fails with these words.
    Fails(String),
    /// `warns: …`: `validate` warns with these words.
    Warns(String),
    /// `test: …`: the test of this name shows it.
    By(String),
}

impl Shows {
    fn parse(text: &str) -> Self {
        let owned = str::to_owned;
        for (word, make) in [
            ("fails: ", Self::Fails as fn(String) -> Self),
            ("warns: ", Self::Warns),
            ("test: ", Self::By),
            ("signed by ", Self::SignedBy),
            ("no ", Self::Spares),
        ] {
            if let Some(rest) = text.strip_prefix(word) {
                return make(owned(rest));
            }
        }
        if let Some((call, value)) = text.split_once(" = ").or(text.split_once(" =")) {
            let (call, name) = call.split_once(' ').expect("a parameter");
            return Self::Sends(owned(call), owned(name), owned(value));
        }
        match text.split(' ').collect::<Vec<_>>().as_slice() {
            [call] => Self::Calls(owned(call)),
            [call, "without", name] => Self::Omits(owned(call), owned(name)),
            [call, "in", region] => Self::In(owned(call), owned(region)),
            [call, times, "times"] => Self::Times(owned(call), times.parse().expect("a number")),
            _ => panic!("what does `{text}` mean?"),
        }
    }
}

/// The rows of a table: an option, a colon, and what it does.
fn table(text: &str) -> Vec<(String, Shows)> {
    let rows = text.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| {
        let (option, shows) = row.split_once(": ").unwrap_or_else(|| panic!("`{row}`: no colon"));
        (option.to_owned(), Shows::parse(shows))
    })
    .collect()
}

/// A build, and what its options do.
struct Case {
    /// Changes of the options that most builds have.
    options: Json,
    /// What the API does beside what moto does.
    rule: Rule,
    /// Whether only `custom_endpoint_ec2` says where the API is.
    custom_endpoint: bool,
    shows: Vec<(String, Shows)>,
}

/// What became of it.
struct Played {
    ended: Ended,
    warnings: Vec<String>,
    /// What it did although its policy does not allow it.
    forbidden: BTreeSet<String>,
    calls: Vec<Call>,
    shows: Vec<(String, Shows)>,
}

impl Case {
    async fn play(self, bed: &Bed) -> Played {
        let proxy = Proxy::start(bed.moto.endpoint(), self.rule).await;
        let mut options = bed.options(self.options);
        if options["communicator"] == "none" {
            options.as_object_mut().unwrap().retain(|name, _| !name.starts_with("ssh_"));
        }
        let endpoint = match self.custom_endpoint {
            true => {
                options["custom_endpoint_ec2"] = proxy.endpoint().into();
                "http://127.0.0.1:9".to_owned()
            }
            false => proxy.endpoint(),
        };
        let build = Build::of(options, endpoint);
        let warnings = build.warnings();
        let allowed = policy::permissions(&build);
        let ended = build.run().await;
        let (calls, shows) = (proxy.calls(), self.shows);
        let forbidden = policy::forbidden(&calls, &allowed);
        Played { ended, warnings, forbidden, calls, shows }
    }
}

impl Played {
    fn is_shown(&self, shows: &Shows) -> bool {
        match shows {
            Shows::Sends(action, name, value) => self.of(action).any(|call| has(call, name, value)),
            Shows::Omits(action, name) => {
                let named =
                    |call: &Call| call.parameters.iter().any(|(n, _)| n.starts_with(name.as_str()));
                self.of(action).count() > 0 && !self.of(action).any(named)
            }
            Shows::Calls(action) => self.of(action).count() > 0,
            Shows::Times(action, times) => self.of(action).count() == *times,
            Shows::Spares(action) => self.of(action).count() == 0,
            Shows::SignedBy(key) => {
                let ec2 = self.calls.iter().filter(|call| call.service.as_deref() == Some("ec2"));
                let mut keys = ec2.map(|call| call.key.as_ref()).peekable();
                keys.peek().is_some() && keys.all(|signed| signed == Some(key))
            }
            Shows::In(action, region) => {
                self.of(action).any(|call| call.region.as_ref() == Some(region))
            }
            Shows::Fails(text) => {
                self.ended.result.as_ref().is_err_and(|error| format!("{error:#}").contains(text))
            }
            Shows::Warns(text) => self.warnings.iter().any(|warning| warning.contains(text)),
            Shows::By(test) => is_a_test(test),
        }
    }

    fn of<'a>(&'a self, action: &'a str) -> impl Iterator<Item = &'a Call> {
        self.calls.iter().filter(move |call| call.action == action)
    }

    /// What happened instead.
    fn instead_of(&self, shows: &Shows) -> String {
        let calls: Vec<_> = match shows {
            Shows::Sends(action, ..) | Shows::Omits(action, _) | Shows::In(action, _) => {
                self.of(action).collect()
            }
            _ => Vec::new(),
        };
        let said = format!("{:?}; {:?}", self.ended.result.as_ref().err(), self.warnings);
        if calls.is_empty() { said } else { format!("{calls:#?}") }
    }
}

/// Whether a parameter of `call` has a name like `pattern` and the value.
fn has(call: &Call, pattern: &str, value: &str) -> bool {
    let pattern = format!("^{}$", regex::escape(pattern).replace(r"\*", r"\d+"));
    let pattern = Regex::new(&pattern).unwrap();
    call.parameters.iter().any(|(name, found)| found == value && pattern.is_match(name))
}

/// Whether there is a test of this name.
fn is_a_test(name: &str) -> bool {
    let wanted = format!("fn {name}()");
    let mut dirs = vec![
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/aws").into(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/builder").into(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/amazon_ebs").into(),
    ];
    while let Some(dir) = dirs.pop() {
        let dir: std::path::PathBuf = dir;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if std::fs::read_to_string(path).unwrap_or_default().contains(&wanted) {
                return true;
            }
        }
    }
    false
}

/// The names of options, those inside of blocks with the names of their blocks before them.
fn names(docs: &[OptionDoc], block: &str) -> BTreeSet<String> {
    let name = |doc: &OptionDoc| match block {
        "" => doc.name.clone(),
        block => format!("{block}.{}", doc.name),
    };
    docs.iter()
        .flat_map(|doc| match doc.inside().as_slice() {
            [] => [name(doc)].into(),
            inside => names(inside, &name(doc)),
        })
        .collect()
}

/// What the builder declares beside the options of the communicator.
fn declared() -> BTreeSet<String> {
    let all = names(<AmazonEbs as Component>::Options::schema().options(), "");
    let of_communicator = names(<(communicator::Options,)>::schema().options(), "");
    all.difference(&of_communicator).cloned().collect()
}

/// What the builder has beside what the reference has.
const OURS: [&str; 3] =
    ["fallback_instance_types", "force_deregister_in_use", "spot_fallback_to_on_demand"];

/// What other tests show: `windows`.
const ELSEWHERE: [&str; 1] = ["windows_password_timeout"];

/// What the reference has.
fn reference() -> BTreeSet<String> {
    let text = std::fs::read_to_string(fixture("amazon-ebs-options.txt")).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_option_of_the_reference_is_built_or_refused_by_name() {
    let (declared, reference) = (declared(), reference());
    let schema = <AmazonEbs as Component>::Options::schema();
    let refused: BTreeSet<String> = schema.not_built().iter().cloned().collect();
    let missing: Vec<_> = reference
        .iter()
        .filter(|name| !declared.contains(*name) && !refused.contains(*name))
        .collect();
    assert!(missing.is_empty(), "nobody knows of these: {missing:?}");
    let both: Vec<_> = declared.intersection(&refused).collect();
    assert!(both.is_empty(), "built and refused: {both:?}");
    // A tag's key may be called `name` everywhere, as `run_volume_tag` has it.
    let ours: Vec<_> = declared
        .difference(&reference)
        .filter(|name| !name.ends_with("tag.name") && *name != "run_volume_tag.key")
        .collect();
    assert_eq!(ours, OURS, "the reference does not have these");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_does_what_it_says() {
    let bed = Bed::new();
    let cases = cases::all(&bed).await;
    let played = join_all(cases.into_iter().map(|case| case.play(&bed))).await;
    let (mut shown, mut wrong) = (BTreeSet::new(), Vec::new());
    for played in &played {
        assert!(played.forbidden.is_empty(), "{:?} ({:?})", played.forbidden, played.shows);
        for (option, shows) in &played.shows {
            shown.insert(option.clone());
            if !played.is_shown(shows) {
                let instead = played.instead_of(shows);
                wrong.push(format!("{option}: {shows:?}, but: {instead}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unseen: Vec<_> = declared()
        .into_iter()
        .filter(|name| reference().contains(name) || OURS.contains(&name.as_str()))
        .filter(|name| !shown.contains(name) && !ELSEWHERE.contains(&name.as_str()))
        .collect();
    assert!(unseen.is_empty(), "nobody has seen what these do: {unseen:?}");
}
