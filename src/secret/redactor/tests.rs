use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::*;

fn knowing(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    secrets.iter().for_each(|secret| redactor.register(secret));
    redactor
}

#[test]
fn each_line_of_a_secret_and_all_of_what_overlaps() {
    let redactor = knowing(&["abcd", "abcdef\r\nsecond line", "efgh-ijkl"]);
    assert_eq!(redactor.redact("x abcdef y"), "x <sensitive> y");
    assert_eq!(redactor.redact("abcd second line"), "<sensitive> <sensitive>");
    assert_eq!(redactor.redact("abcdefgh-ijkl"), "<sensitive>");
    assert_eq!(format!("{:?}", Secret::new("abcd")), MASK);
}

#[test]
fn what_comes_late_is_found_as_well() {
    let redactor = Redactor::default();
    let secrets: Vec<String> = (0..50).map(|number| format!("secret-{number:03}!")).collect();
    for (count, secret) in secrets.iter().enumerate() {
        redactor.register(secret);
        let text = secrets[..=count].join(" ");
        assert!(!redactor.redact(&text).contains("secret"), "{count}");
    }
    assert!(redactor.known().searchers.len() < 10);
    assert_eq!(redactor.since(48).len(), 2);
}

#[test]
fn a_cut_never_goes_through_a_secret() {
    let redactor = knowing(&["hunter22"]);
    let text = "xxxx hunter22 yyyy";
    assert_eq!(redactor.cut_near(text, 3), 3);
    assert_eq!((6..13).map(|at| redactor.cut_near(text, at)).max(), Some(5));
    assert_eq!(redactor.cut_near(text, 13), 13);
    assert_eq!(redactor.cut_near("hunter22 at the start", 4), 8);
}

const SECRET: &str = "p@ss'w\"ord <&> é/$1";

/// All that is left of `text` between brackets.
#[track_caller]
fn gone(secret: &str, text: &str) {
    let redactor = knowing(&[secret]);
    let shown = redactor.redact(text);
    assert_eq!(shown, "[<sensitive>]", "{text}");
}

#[test]
fn a_secret_in_another_form_is_masked() {
    let url = "p%40ss%27w%22ord%20%3C%26%3E%20%C3%A9%2F%241";
    for form in [
        SECRET.chars().rev().collect(),
        hex::encode(SECRET),
        hex::encode_upper(SECRET),
        r#"p@ss'w\"ord <&> é/$1"#.to_owned(),
        r#"p@ss'w\"ord \u003c\u0026\u003e é/$1"#.to_owned(),
        r#"p@ss'w\"ord <&> \u00e9/$1"#.to_owned(),
        url.to_owned(),
        url.replace("%20", "+"),
        url.replace("%2F", "/"),
        url.to_lowercase().replace("%20", "+"),
        "p@ss'w\"ord &lt;&amp;&gt; é/$1".to_owned(),
        "p@ss&#39;w&#34;ord &lt;&amp;&gt; é/$1".to_owned(),
        "p@ss&#x27;w&quot;ord &lt;&amp;&gt; é/$1".to_owned(),
        r#"p@ss'\''w"ord <&> é/$1"#.to_owned(),
        r#"p@ss'"'"'w"ord <&> é/$1"#.to_owned(),
        r#"p@ss\'w\"ord\ \<\&\>\ é/\$1"#.to_owned(),
        r#"p@ss'w\"ord <&> é/\$1"#.to_owned(),
    ] {
        gone(SECRET, &format!("[{form}]"));
    }
    gone("with\ttab and\u{1}", r"[with\ttab and\001]");
}

#[test]
fn base64_is_masked_wherever_the_secret_begins_in_it() {
    for secret in ["hunter22", "hunter222", "hunter2222", "?>?>~~ÿÿ"] {
        for before in ["", "u", "us", "use", "user:"] {
            for after in ["", "x", "xy"] {
                let bytes = format!("{before}{secret}{after}");
                for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let shown = knowing(&[secret]).redact(&engine.encode(&bytes)).into_owned();
                    let left = shown.replace(MASK, "");
                    // Characters in which something else has a part may stay.
                    let most = (before.len() * 8).div_ceil(6) + (after.len() * 8).div_ceil(6) + 1;
                    let most = if after.is_empty() { most - 1 } else { most + 2 };
                    assert!(shown.contains(MASK) && left.len() <= most, "{bytes}: {shown}");
                }
            }
        }
    }
}

#[test]
fn a_long_secret_is_masked_as_a_whole_in_base64_and_line_by_line() {
    let secret: String = (0..400).map(|number| format!("{number:x}é")).collect();
    gone(&secret, &format!("[{secret}]"));
    gone(&secret, &format!("[{}]", STANDARD.encode(&secret)));
    gone(&secret, &format!("[{}]", hex::encode(&secret)));
    let redactor = knowing(&[&secret]);
    for line in STANDARD.encode(&secret).as_bytes().chunks(76) {
        let line = String::from_utf8_lossy(line);
        assert_eq!(redactor.redact(&line), MASK, "{line}");
    }
}

#[test]
fn a_secret_is_known_as_guests_lines_show_it() {
    let redactor = knowing(&[" blank-ended  \n", "con\u{7}trol\u{0}led", "over\rwritten"]);
    assert_eq!(redactor.redact("(blank-ended)"), "(<sensitive>)");
    assert_eq!(redactor.redact("(controlled)"), "(<sensitive>)");
    assert_eq!(redactor.redact("(written)"), "(<sensitive>)");
}

#[test]
fn signs_and_common_words_stay() {
    let redactor = knowing(&["{\n  \"key\": \"hunter22\"\n}\n", "p", "root", "  ", "--\nhunter23"]);
    for plain in ["if { }", "ssh_private_key_file of root", "-- \n", "key"] {
        assert_eq!(redactor.redact(plain), plain);
    }
    assert_eq!(redactor.redact("  \"key\": \"hunter22\""), "  <sensitive>");
    assert_eq!(redactor.redact("hunter23"), MASK);
}

#[test]
fn a_huge_secret_is_bounded() {
    let redactor = knowing(&[&"line of a file\n".repeat(1 << 20)]);
    assert_eq!(redactor.redact("line of a file"), MASK);
    assert!(redactor.longest() <= 8 * 1024, "{}", redactor.longest());
}
