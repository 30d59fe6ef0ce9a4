//! The option group `boot`, and what is checked of it before any machine starts.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use smart_default::SmartDefault;

use super::keys::Key;
use super::language::{self, Command, Finding};
use crate::component::Check;
use crate::config::{GoDuration, Late, late_fields};
use crate::diagnostic::{Diagnostic, code};
use crate::env::Environment;
use crate::interpolate::{Dot, Scope};

late_fields! {
    /// What a boot command knows of its machine.
    pub BootFields = ["Name", "HTTPIP", "HTTPPort", "SSHPublicKey"];
}

/// A text to type.
pub type BootText = Late<BootFields>;

/// The variable that says how long to pause after each press and each release.
const INTERVAL_VARIABLE: &str = "PACKER_KEY_INTERVAL";

/// What is typed at a machine that boots.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// What to type when the machine boots: texts that are typed one after the other. `<enter>`
    /// presses a key; `<leftAltOn>` and `<leftAltOff>` hold and release one, and so do `<aOn>` and
    /// `<aOff>`; `<wait>` waits for a second, `<wait5>` for five, `<wait1m30s>` for as long.
    ///
    /// Keys: `bs`, `del`, `enter`, `return`, `esc`, `tab`, `f1` to `f12`, `up`, `down`, `left`,
    /// `right`, `spacebar`, `insert`, `home`, `end`, `pageUp`, `pageDown`, `menu`, `leftAlt`,
    /// `rightAlt`, `leftCtrl`, `rightCtrl`, `leftShift`, `rightShift`, `leftSuper`, `rightSuper`,
    /// and as on a Mac `leftCommand`, `rightCommand`, `leftOption`, `rightOption`.
    /// Everything else is typed as at a keyboard with the US layout, which boot loaders assume.
    ///
    /// `{{ .HTTPIP }}` and `{{ .HTTPPort }}` say where the guest finds `http_directory` or
    /// `http_content`; `{{ .Name }}` is the machine's name, `{{ .SSHPublicKey }}` the key that the
    /// build logs in with.
    ///
    /// Only imgbake knows two more: `<waitForText 'login: '>` waits until the machine has printed
    /// that on its serial console, and `<waitForChange>` until at least a hundredth of the screen
    /// looks different from how it looked before the last key. Both wait for five minutes at most,
    /// or as they say: `<waitForText 20m 'reboot'>`, `<waitForChange 30s>`; then the build fails.
    /// Packer types them as plain text.
    pub boot_command: Vec<BootText>,
    /// Like `boot_command`, in steps: each is a list of what to type and, if wanted, a few words that
    /// say what it is for. With `-debug` the build pauses after each. Not together with
    /// `boot_command`.
    pub boot_steps: Vec<Vec<BootText>>,
    /// How long to wait before the first key. `-1s`: not at all; zero is as if it were not given.
    /// Without a boot command, nothing waits for it.
    #[default(USUAL_WAIT)]
    pub boot_wait: GoDuration,
    /// How long to pause after each press and after each release of a key; `PACKER_KEY_INTERVAL` if
    /// not given. Without both, keys follow each other as fast as the guest is seen to read them:
    /// up to a hundred in a second. Of a keyboard that `qemuargs` add, and of a machine that is no
    /// PC, that cannot be seen: there the pause is 40 ms.
    pub boot_key_interval: GoDuration,
    /// How long to pause after each group of keys: those between two waits.
    pub boot_keygroup_interval: GoDuration,
}

/// How long Packer waits for a machine.
const USUAL_WAIT: GoDuration = GoDuration::from_secs(10);

/// What will be typed, and when.
#[derive(Clone, Debug)]
pub struct Boot {
    /// How long to wait before the first key.
    pub wait: Duration,
    /// What to type; never empty.
    pub steps: Vec<BootStep>,
    /// The pause after each press and each release; `None`: as fast as the guest reads.
    pub key_interval: Option<Duration>,
    /// The pause after each group of keys.
    pub group_interval: Duration,
}

/// Texts that are typed together.
#[derive(Clone, Debug)]
pub struct BootStep {
    /// What for, if anybody said so.
    pub description: Option<String>,
    texts: Vec<BootText>,
    /// Where they stand: `boot_command`, or `boot_steps.1`.
    place: String,
}

impl Options {
    /// Checks the options; `None` where there is nothing to type, or that cannot be. `has_console`:
    /// whether the machine's serial console is there to be waited for.
    pub fn check(&self, has_console: bool, check: &mut Check<'_>) -> Option<Boot> {
        let key_interval = self.key_interval(check);
        for (option, interval) in [
            ("boot_key_interval", self.boot_key_interval),
            ("boot_keygroup_interval", self.boot_keygroup_interval),
        ] {
            if interval.is_negative() {
                check.error(option, "a pause cannot be negative");
            }
        }
        let steps = self.steps(check);
        let commands: Vec<Command> =
            steps.iter().map(|step| step.check(has_console, check)).collect();
        if let Some(last) = steps.last() {
            check_held(&language::held_in_the_end(&commands), last, check);
        }
        let wait = if self.boot_wait.is_zero() { USUAL_WAIT } else { self.boot_wait };
        let group_interval = self.boot_keygroup_interval.get();
        let boot = Boot { wait: wait.get(), steps, key_interval, group_interval };
        (!boot.steps.is_empty()).then_some(boot)
    }

    fn steps(&self, check: &mut Check<'_>) -> Vec<BootStep> {
        if !self.boot_command.is_empty() && !self.boot_steps.is_empty() {
            let cause = "`boot_command` is given too: give one of the two";
            check.error("boot_steps", cause);
        }
        if !self.boot_command.is_empty() {
            let (texts, place) = (self.boot_command.clone(), "boot_command".to_owned());
            return vec![BootStep { description: None, texts, place }];
        }
        let mut steps = Vec::new();
        for (at, step) in self.boot_steps.iter().enumerate() {
            let place = format!("boot_steps.{at}");
            let (command, description) = match step.as_slice() {
                [command] => (command, None),
                [command, description] => (command, Some(description.raw().to_owned())),
                _ => {
                    let cause = format!("a step has two texts, not {}", step.len());
                    let help = "write `[\"<enter>\", \"what it is for\"]`";
                    check.error(&place, cause).help = Some(help.to_owned());
                    continue;
                }
            };
            let description = description.filter(|text| !text.is_empty());
            steps.push(BootStep { description, texts: vec![command.clone()], place });
        }
        steps
    }

    fn key_interval(&self, check: &mut Check<'_>) -> Option<Duration> {
        if !self.boot_key_interval.is_zero() {
            return Some(self.boot_key_interval.get());
        }
        let environment: &Environment = &check.facts.scope.environment;
        let written = environment.get(INTERVAL_VARIABLE)?;
        match GoDuration::parse(written) {
            Ok(interval) => Some(interval.get()),
            Err(error) => {
                let cause = format!("{INTERVAL_VARIABLE} says so: {error}");
                check.error("boot_key_interval", cause);
                None
            }
        }
    }
}

impl BootStep {
    /// What is to be typed, and where in it each text begins.
    fn text(&self, scope: &Scope, dot: &Dot) -> Result<(String, Vec<usize>), (usize, String)> {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for (at, part) in self.texts.iter().enumerate() {
            starts.push(text.len());
            text.push_str(&part.render(scope, dot).map_err(|error| (at, error.to_string()))?);
        }
        Ok((text, starts))
    }

    /// What is to be typed at the machine that `dot` tells of.
    ///
    /// # Errors
    /// When something of it cannot be typed.
    pub fn command(&self, scope: &Scope, dot: &Dot) -> anyhow::Result<Command> {
        let option = &self.place;
        let rendered = self.text(scope, dot);
        let (text, _) = rendered.map_err(|(_, error)| anyhow::anyhow!("`{option}`: {error}"))?;
        let command = Command::parse(&text);
        match command.findings.iter().find(|found| found.is_error) {
            None => Ok(command),
            Some(Finding { cause, help, .. }) => anyhow::bail!("`{option}`: {cause}: {help}"),
        }
    }

    /// What the template says.
    pub fn written(&self) -> String {
        self.texts.iter().map(BootText::raw).collect()
    }

    /// Where the text with this number stands.
    fn option(&self, number: usize) -> String {
        format!("{}.{number}", self.place)
    }

    /// The command as far as it is known before the machine is.
    fn check(&self, has_console: bool, check: &mut Check<'_>) -> Command {
        let (text, starts) = match self.text(&check.facts.scope, &any_machine()) {
            Ok(rendered) => rendered,
            Err((number, error)) => {
                check.error(&self.option(number), error);
                return Command::default();
            }
        };
        let command = Command::parse(&text);
        for Finding { part, is_error, cause, help } in &command.findings {
            let option = self.option(text_at(&starts, part));
            let found = match is_error {
                true => check.error(&option, cause),
                false => check.warn(code::OPTION_VALUE, &option, cause),
            };
            about(found, &text[part.clone()], help);
        }
        if command.waits_for_text() && !has_console {
            let cause =
                "it waits for a text on the serial console, which `qemuargs` has taken away";
            let found = check.error(&self.option(0), cause);
            about(found, "<waitForText", "leave `-serial` out of `qemuargs`");
        }
        command
    }
}

/// The number of the text in which `part` begins.
fn text_at(starts: &[usize], part: &Range<usize>) -> usize {
    starts.partition_point(|&start| start <= part.start).saturating_sub(1)
}

fn about(found: &mut Diagnostic, part: &str, help: &str) {
    // The end of a line is written in many ways.
    found.part = (!part.contains(char::is_control)).then(|| part.to_owned());
    found.help = Some(help.to_owned());
}

fn check_held(held: &BTreeSet<Key>, last: &BootStep, check: &mut Check<'_>) {
    if held.is_empty() {
        return;
    }
    let names: Vec<_> = held.iter().map(|key| format!("`{}`", key.name())).collect();
    let (names, option) = (names.join(", "), last.option(last.texts.len() - 1));
    let text = format!("keys are still held when all is typed, and released then: {names}");
    let found = check.warn(code::OPTION_VALUE, &option, text);
    found.help =
        Some("release each key that is held: `<leftAltOff>` after `<leftAltOn>`".to_owned());
}

/// What stands for a machine that is not there yet.
fn any_machine() -> Dot {
    Dot::from([
        ("Name".into(), json!("name")),
        ("HTTPIP".into(), json!("10.0.2.2")),
        ("HTTPPort".into(), json!(8000)),
        ("SSHPublicKey".into(), json!("ssh-ed25519 AAAA imgbake")),
    ])
}
