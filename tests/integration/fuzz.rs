//! What the fuzzer has found so far, and what reaches all the code that it has reached: no text of
//! `tests/fuzz/corpus/` breaks a promise.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

/// The texts for one target.
fn corpus(target: &str) -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
    let text = |path: &Path| String::from_utf8(std::fs::read(path).ok()?).ok();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter_map(|path| Some((path.display().to_string(), text(&path)?))).collect()
}

#[test]
fn no_text_that_was_found_breaks_a_promise() {
    for (name, target) in targets::TARGETS {
        let texts = corpus(name);
        assert!(texts.len() > 10, "the corpus of {name} has {} texts", texts.len());
        for (path, text) in texts {
            let kept = std::panic::catch_unwind(|| target(&text));
            assert!(kept.is_ok(), "{path} breaks a promise");
        }
    }
}
