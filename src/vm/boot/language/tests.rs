use proptest::prelude::*;

use super::*;

fn typed(stroke: Stroke) -> Action {
    Action::Type(stroke, Motion::Press)
}

fn key(name: &str, motion: Motion) -> Action {
    let key = Key::named(name).unwrap();
    Action::Type(Stroke { key, shift: false }, motion)
}

fn characters(text: &str) -> Vec<Action> {
    text.chars().map(|next| typed(Stroke::of(next).unwrap())).collect()
}

#[track_caller]
fn actions(text: &str) -> Vec<Action> {
    let command = Command::parse(text);
    assert!(command.findings.is_empty(), "{text}: {:?}", command.findings);
    command.actions
}

/// Each finding: its part of the text, whether it is an error, and its cause.
fn findings(text: &str) -> Vec<(&str, bool, String)> {
    let found = Command::parse(text).findings.into_iter();
    found.map(|one| (&text[one.part], one.is_error, one.cause)).collect()
}

#[test]
fn waits_are_seconds_or_durations() {
    for (text, millis) in [
        ("<wait>", 1000),
        ("<wait0>", 0),
        ("<wait5>", 5000),
        ("<wait10>", 10_000),
        ("<wait1m30s>", 90_000),
        ("<wait1.5s>", 1500),
        ("<wait300ms>", 300),
        ("<wait250us>", 0),
    ] {
        let wait = actions(text).remove(0);
        let Action::Wait(wait) = wait else { panic!("{text}: {wait:?}") };
        assert_eq!(wait.as_millis(), millis, "{text}");
    }
}

/// Verdicts of Packer.
#[test]
fn waits_that_cannot_be_are_errors() {
    for text in ["<wait-5s>", "<wait5s-6s>", "<wait99999999999999999999>", "<wait99999999h>"] {
        let found = findings(text);
        assert!(matches!(found.as_slice(), [(part, true, _)] if *part == text), "{found:?}");
    }
}

/// As Packer does it.
#[test]
fn what_is_no_form_is_typed_as_it_stands() {
    for text in [
        "<WAIT-5s>",
        "<wait+5s>",
        "<wait1.5>",
        "<wait05>",
        "<wait-1.s>",
        "<wait-.5s>",
        "<wait 5s>",
        "<wait-5s",
        "<",
        "<>",
        "a < b",
        "<enterr>",
        "<domain type='kvm'>",
        "<f13>",
    ] {
        let command = Command::parse(text);
        assert_eq!(command.actions, characters(text), "{text}");
        assert!(command.findings.iter().all(|found| !found.is_error), "{text}");
    }
}

#[test]
fn what_looks_like_a_key_and_is_none_is_told() {
    let text = "x<enterr><enterr><wait 5s>";
    let command = Command::parse(text);
    let told: Vec<_> =
        command.findings.iter().map(|one| (&text[one.part.clone()], &*one.help)).collect();
    let waits = "write `<wait>`, `<wait5>` for five seconds, or `<wait1m30s>`";
    assert_eq!(told, [("<enterr>", "did you mean `<enter>`?"), ("<wait 5s>", waits)]);
    assert!(findings("<domain type='kvm'> a < b > c").is_empty());
}

#[test]
fn keys_are_pressed_held_and_released() {
    for name in Key::names() {
        for (word, motion) in [
            ("", Motion::Press),
            ("On", Motion::Hold),
            ("Off", Motion::Release),
            ("ON", Motion::Hold),
        ] {
            let text = format!("<{}{word}>", name.to_uppercase());
            assert_eq!(actions(&text), [key(name, motion)], "{text}");
        }
    }
    for (text, character, motion) in [
        ("<aOn>", 'a', Motion::Hold),
        ("<Aoff>", 'A', Motion::Release),
        ("<<On>", '<', Motion::Hold),
        ("<>Off>", '>', Motion::Release),
        ("< On>", ' ', Motion::Hold),
    ] {
        let expected = Action::Type(Stroke::of(character).unwrap(), motion);
        assert_eq!(actions(text), [expected], "{text}");
    }
}

#[test]
fn what_is_still_held_in_the_end_is_known() {
    let commands = ["<leftAltOn><aOn>", "<aOff><bOff>"].map(Command::parse);
    let held: Vec<_> = held_in_the_end(&commands).into_iter().map(Key::qcode).collect();
    assert_eq!(held, ["alt"]);
}

#[test]
fn a_character_that_no_key_types_is_an_error_at_its_place() {
    let text = "caf\u{e9} \u{e9}<\u{e9}On>\n\tx\u{7}";
    let found = findings(text);
    let parts: Vec<_> = found.iter().map(|(part, is_error, _)| (*part, *is_error)).collect();
    assert_eq!(parts, [("é", true), ("<éOn>", true), ("\n", true), ("\t", true), ("\u{7}", true)]);
    assert_eq!(found[0].2, "`é` cannot be typed at a US keyboard");
    assert_eq!(found[4].2, "`\\u{7}` cannot be typed at a US keyboard");
}

#[test]
fn waits_for_something_say_for_what_and_how_long() {
    let text = |text: &str, limit| Action::WaitForText { text: text.into(), limit };
    let change = |limit| Action::WaitForChange { limit };
    for (written, action) in [
        ("<waitForText 'login: '>", text("login: ", LIMIT)),
        ("<waitForText 'it's grub>'>", text("it's grub>", LIMIT)),
        ("<waitForText 10m 'ok'>", text("ok", Duration::from_secs(600))),
        ("<waitForText '10m 'ok'>", text("10m 'ok", LIMIT)),
        ("<waitForChange>", change(LIMIT)),
        ("<waitForChange 1m30s>", change(Duration::from_secs(90))),
    ] {
        assert_eq!(actions(written), [action], "{written}");
    }
    for wrong in [
        "<waitForText>",
        "<waitForText ''>",
        "<waitForText 'a>",
        "<waitForText login>",
        "<waitForText 5 'a'>",
        "<waitForText -5s 'a'>",
        "<waitForChange 5>",
        "<waitForChange5s>",
        "<waitForText 0s 'a'>",
        "<waitforchange>",
        "<waitForLogin>",
        "<waitFor",
    ] {
        let found = findings(wrong);
        assert!(matches!(found.as_slice(), [(_, true, _)]), "{wrong}: {found:?}");
    }
}

proptest! {
    /// Whatever the text is: nothing of it is lost.
    #[test]
    fn every_text_is_read_to_its_end(text in "(<|>|wait|On|Off|enter|'| |[a-c0-9é.-]|For|Text){0,20}") {
        let command = Command::parse(&text);
        for found in &command.findings {
            prop_assert!(text.get(found.part.clone()).is_some_and(|part| !part.is_empty()));
        }
        let told = command.findings.len();
        prop_assert!(told > 0 || text.is_empty() || !command.actions.is_empty());
    }

    /// What has no `<` is typed character by character.
    #[test]
    fn plain_text_is_typed_as_it_is(text in "[ -;=-~]{0,50}") {
        prop_assert_eq!(actions(&text), characters(&text));
    }
}
