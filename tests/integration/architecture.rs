//! The map in `src/lib.rs` is true: a room imports only rooms below it, and every room is on it.

use std::collections::{BTreeMap, BTreeSet};
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
    let text = &code_of(text);
    let mut rooms = firsts(&SINGLE, text);
    for group in SEVERAL.captures_iter(text) {
        rooms.extend(firsts(&FIRST_OF_EACH, &group[1]));
    }
    rooms
}

/// `text` without the lines that are comments.
fn code_of(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
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

/// Folders whose files use what their roof (`mod.rs`) has, which lists them; and why the roof is no file
/// beside them.
const ROOFS: &[(&str, &str)] = &[
    ("action", "the commands of the action need its context"),
    ("action::inputs", "the inputs of a channel are checked with those of all commands"),
    ("cli", "the commands need the session and the exit codes"),
    ("cli::console", "the line editor needs what a console knows"),
    ("cli::history", "what channels say is a row like others"),
    ("communicator", "the connectors need the trait and the targets"),
    ("communicator::ssh", "the parts of a connection need the connection"),
    ("communicator::ssh::transfer", "files and directories move the same way"),
    ("communicator::winrm", "files move over the service"),
    ("eval", "locals and variables are evaluated with all that is known"),
    ("eval::functions", "each function is declared with the types of the roof"),
    ("explain", "the pages of components are pages like others"),
    ("guest::shell", "each shell is one of the roof's"),
    ("interpolate", "functions, fields and texts are about the template"),
    ("lint", "the rules need the roof's findings"),
    ("plugin::install", "a place and a site need how a plugin's name is split"),
    ("post_processor::vagrant::provider", "each provider is one of the roof's"),
    ("registry", "what plugins bring is registered as what is built in"),
    ("report", "the reports need the roof's styles"),
    ("report::diagnostics", "each format shows the same diagnostics"),
    ("report::page", "the sections need how much is shown"),
    ("script", "the nesting of shells is checked with the roof's shell"),
    ("secret", "the redactor masks secrets, and secrets are registered with it"),
    ("template", "the formats make the roof's tree"),
    ("template::fix", "each fixer is one of the roof's"),
    ("template::format", "lines and blanks are those of the roof's tokens"),
    ("template::hcl", "the parser makes what the roof reads"),
    ("template::json", "the parser makes what the roof reads"),
    ("template::upgrade", "blocks and options are written into the roof's file"),
];

/// Other imports that close a circle: which file needs which, and why. Methods are not seen: `impl Evaluator`
/// stands in several files of `eval`, `impl Qemu` in several of `builder::qemu`, `impl Parser` in several of
/// `template::hcl::parser`; each is one thing in several files.
const CIRCLES: &[(&str, &str, &str)] = &[
    ("cli::completion::candidates", "cli::arguments", "an argument's candidates know the others"),
    ("cli::help", "cli::arguments", "help is an argument, and is about arguments"),
    ("cli::several", "cli::front", "several templates are planned one by one"),
    ("communicator::ssh::dial", "communicator::ssh::server", "a server is dialled through another"),
    ("communicator::ssh::exec", "communicator::ssh::line", "a command is run to know the shell"),
    ("eval::functions", "eval::expr", "expressions call functions, and some evaluate expressions"),
    ("eval::functions::control", "eval::expr", "`try` and `can` evaluate expressions"),
    ("eval::functions::filesystem", "eval::expr", "`templatefile` evaluates expressions"),
    ("eval::types", "eval::convert", "a default is converted to its type"),
    ("eval::types", "eval::expr", "an expression names a type, and each value has one"),
    ("eval::undeclared", "eval::legacy", "what is undeclared is found in texts, and counts there"),
    ("eval::unify", "eval::convert", "values are converted to what their types have in common"),
    ("eval::value", "eval::types", "each value has a type, and some types hold values"),
    ("interpolate::builtin", "interpolate::functions", "both call what the others compute"),
    ("report::github::command", "report::diagnostics", "annotations are diagnostics"),
    ("template::load", "template::root", "a file is loaded in the middle of a template"),
];

/// The module that a file of `src/` is: `aws::call` of `aws/call.rs`.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(source_dir()).expect("a file of src/").with_extension("");
    let names: Vec<_> = relative.iter().map(|name| name.to_string_lossy()).collect();
    let names = names.strip_suffix(&["mod".into()]).unwrap_or(&names);
    names.join("::")
}

/// The paths in the imports of `text`, each written out: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn written_out(import: &str) -> Vec<String> {
    let Some((before, group)) = import.split_once('{') else {
        return vec![import.split_whitespace().next().unwrap_or_default().to_owned()];
    };
    let group = group.rsplit_once('}').map_or(group, |(inside, _)| inside);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                parts.last_mut().expect("a part").push(c);
            }
        }
    }
    let inner = parts.iter().flat_map(|part| written_out(part.trim()));
    inner.map(|part| format!("{}{part}", before.trim())).collect()
}

/// The module of `all` that the path `path` in `module` leads into.
fn target(path: &str, module: &str, all: &BTreeSet<String>) -> Option<String> {
    let mut base: Vec<&str> = module.split("::").collect();
    let mut names = path.split("::").peekable();
    match names.peek().copied()? {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while names.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        name if all.contains(&format!("{module}::{name}")) => {}
        _ => return None,
    }
    base.extend(names.filter(|name| !["crate", "self"].contains(name)));
    (1..=base.len()).rev().map(|length| base[..length].join("::")).find(|one| all.contains(one))
}

/// The modules that the code of `module` names, without its tests.
fn named_modules(text: &str, module: &str, all: &BTreeSet<String>) -> BTreeSet<String> {
    static IMPORT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use ([^;]*);"));
    static PATH: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|[^\w:$])(\w+(?:::\w+)+)"));
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let text = code_of(text);
    let imports = IMPORT.captures_iter(&text).flat_map(|found| written_out(&found[1]));
    let elsewhere = IMPORT.replace_all(&text, "");
    let paths = PATH.captures_iter(&elsewhere).map(|found| found[1].to_owned());
    let paths = imports.chain(paths);
    paths.filter_map(|path| target(&path, module, all)).filter(|to| to != module).collect()
}

/// What of `edges` can be reached from `from`.
fn reachable(from: &str, edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = open.pop() {
        for next in edges.get(&module).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

/// What the files of each room import of the same room.
fn edges_in_rooms() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    rust_files(&source_dir(), &mut files);
    files.retain(|file| file.file_stem().is_none_or(|stem| stem != "tests"));
    let all: BTreeSet<String> = files.iter().map(|file| module_of(file)).collect();
    let room = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let edges = files.iter().map(|file| {
        let module = module_of(file);
        let text = fs::read_to_string(file).expect("a source file");
        let mut named = named_modules(&text, &module, &all);
        named.retain(|to| room(to) == room(&module));
        (module, named)
    });
    edges.collect()
}

/// Whether `module` is in the folder of `roof`.
fn is_under(module: &str, roof: &str) -> bool {
    module.strip_prefix(roof).is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn files_of_a_room_import_each_other_in_no_circle_but_those_that_are_named() {
    let edges = edges_in_rooms();
    let without = |is_allowed: &dyn Fn(&str, &str) -> bool| -> BTreeMap<String, BTreeSet<String>> {
        let left = |(module, named): (&String, &BTreeSet<String>)| {
            let left = named.iter().filter(|to| !is_allowed(module, to)).cloned().collect();
            (module.clone(), left)
        };
        edges.iter().map(left).collect()
    };
    let in_roof = |module: &str, to: &str, but: &str| {
        let is_it = |(roof, _): &(&str, &str)| *roof != but && *roof == to && is_under(module, to);
        ROOFS.iter().any(is_it)
    };
    let named = |module: &str, to: &str, but: (&str, &str)| {
        let is_it = |(from, other, _): &&(&str, &str, &str)| (*from, *other) == (module, to);
        CIRCLES.iter().find(is_it).is_some_and(|(from, other, _)| (*from, *other) != but)
    };
    let circles = |edges: &BTreeMap<String, BTreeSet<String>>| -> Vec<String> {
        let is_in_one = |module: &&String| reachable(module, edges).contains(*module);
        edges.keys().filter(is_in_one).cloned().collect()
    };
    let nothing = ("", "");
    let left = without(&|from, to| in_roof(from, to, "") || named(from, to, nothing));
    let new = circles(&left);
    assert!(new.is_empty(), "these import each other in circles: {new:?}");
    // What closes no circle any more is not named.
    for (roof, _) in ROOFS {
        let left = without(&|from, to| in_roof(from, to, roof) || named(from, to, nothing));
        assert!(!circles(&left).is_empty(), "take `{roof}` off the table `ROOFS`");
    }
    for (from, to, _) in CIRCLES {
        let left = without(&|one, other| in_roof(one, other, "") || named(one, other, (from, to)));
        assert!(!circles(&left).is_empty(), "take `{from}` → `{to}` off the table `CIRCLES`");
    }
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
