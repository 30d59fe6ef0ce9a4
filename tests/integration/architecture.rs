//! The map in `src/lib.rs` is true: a room imports only rooms below it, and every room is on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rooms in the order of the table in `lib.rs`, the topmost first.
fn rooms_on_the_map() -> Vec<String> {
    let lib = fs::read_to_string(source_dir().join("lib.rs")).expect("lib.rs");
    let row = pattern(r"(?m)^//! \| `(\w+)` \|");
    row.captures_iter(&lib).map(|found| found[1].to_owned()).collect()
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room that a file of `src/` is in.
fn room_of(file: &Path) -> String {
    let relative = file.strip_prefix(source_dir()).expect("a file of src/");
    let first = relative.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms whose paths stand in the code of `text` as `crate::room`, wherever they stand;
/// a comment may point anywhere.
fn imported_rooms(text: &str) -> BTreeSet<String> {
    static SINGLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bcrate::(\w+)"));
    static SEVERAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)\bcrate::\{(.*?)\};"));
    static FIRST_OF_EACH: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|,)\s*(\w+)"));
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let text = &text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    let mut rooms = firsts(&SINGLE, text);
    for group in SEVERAL.captures_iter(text) {
        rooms.extend(firsts(&FIRST_OF_EACH, &group[1]));
    }
    rooms
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// What the first group of `pattern` is in `text`, wherever it fits.
fn firsts(pattern: &Regex, text: &str) -> BTreeSet<String> {
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// The modules that the file at `lib` has.
fn modules(lib: &Path) -> BTreeSet<String> {
    firsts(&pattern(r"(?m)^(?:pub )?mod (\w+);"), &fs::read_to_string(lib).expect("lib.rs"))
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let map = rooms_on_the_map();
    let height = |room: &str| map.iter().position(|on_map| on_map == room);
    let mut files = Vec::new();
    rust_files(&source_dir(), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let room = room_of(&file);
        if room == "lib" || room == "main" {
            continue;
        }
        let Some(own) = height(&room) else {
            wrong.push(format!("{} is in a room that is not on the map", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).expect("a source file");
        for imported in imported_rooms(&text) {
            if imported != room && height(&imported).is_none_or(|other| other <= own) {
                wrong.push(format!("{}: `{room}` imports `{imported}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_call_of_aws_goes_through_the_one_place_that_makes_it_again() {
    let mut files = Vec::new();
    rust_files(&source_dir(), &mut files);
    let sends = pattern(r"\.send\(\)\s*\.await");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        let of_aws = text.contains("aws_sdk_") || text.contains("aws::call");
        let place = file.display();
        assert!(!of_aws || !sends.is_match(&text), "{place} does not use `aws/call.rs`");
    }
}

#[test]
fn every_module_of_the_library_is_on_the_map_and_the_other_way_round() {
    let modules = modules(&source_dir().join("lib.rs"));
    assert_eq!(modules, rooms_on_the_map().into_iter().collect());
}

#[test]
fn the_rooms_that_are_fuzzed_import_only_each_other() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/src");
    let fuzzed = modules(&dir.join("lib.rs"));
    let mut files = Vec::new();
    rust_files(&source_dir(), &mut files);
    for file in files.iter().filter(|file| fuzzed.contains(&room_of(file))) {
        let imported = imported_rooms(&fs::read_to_string(file).expect("a source file"));
        let missing: Vec<_> = imported.difference(&fuzzed).collect();
        assert!(missing.is_empty(), "tests/fuzz/src lacks {missing:?} for {}", file.display());
    }
}

#[test]
fn every_test_file_is_run() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration");
    let main = fs::read_to_string(dir.join("main.rs")).expect("main.rs");
    for entry in fs::read_dir(&dir).expect("a directory") {
        let name = entry.expect("an entry").file_name();
        let module = name.to_string_lossy().trim_end_matches(".rs").to_owned();
        assert!(
            module == "main" || module == "snapshots" || main.contains(&format!("mod {module};")),
            "tests/integration/{module} is not in main.rs",
        );
    }
}

#[test]
fn only_the_documented_example_key_stands_in_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new("git")
        .args(["grep", "-haoE", "A(KIA|SIA)[0-9A-Z]{16}", "--", "."])
        .current_dir(root)
        .output()
        .expect("git");
    for key in String::from_utf8_lossy(&output.stdout).lines() {
        assert!(key.ends_with("EXAMPLE"), "{key} is no documented example key");
    }
}
