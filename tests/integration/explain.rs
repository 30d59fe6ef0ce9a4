//! `imgbake explain`: everything that can be said is explained, and the explanations are true.

use serde_json::Value as Json;

use crate::support::{Program, Run};

fn explain(topic: &str) -> Run {
    Program::new().run(["explain", topic])
}

/// One code's page as `explain -format=json` gives it.
fn page(code: &str) -> String {
    let run = Program::new().run(["explain", "-format=json", code]).succeeded();
    let pages: Json = serde_json::from_str(&run.stdout).expect("JSON");
    pages[0]["page"].as_str().expect("a page").to_owned()
}

fn codes() -> Vec<String> {
    let run = Program::new().run(["explain", "-format=json"]).succeeded();
    let contents: Json = serde_json::from_str(&run.stdout).expect("JSON");
    let codes = contents["codes"].as_array().expect("codes");
    codes.iter().map(|code| code["name"].as_str().expect("a name").to_owned()).collect()
}

/// The files and the command line of a part of a page.
struct Example {
    files: Vec<(String, String)>,
    command: Option<String>,
}

fn example(markdown: &str) -> Example {
    let mut example = Example { files: Vec::new(), command: None };
    let mut open: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(name), None) => open = Some((name.to_owned(), String::new())),
            (Some(_), Some(_)) => match open.take() {
                Some((name, text)) if name == "console" => example.command = Some(text),
                file => example.files.extend(file),
            },
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is open: {markdown}");
    example
}

/// What `validate` finds in `files`; the command line is that of the page, or the obvious one.
fn found(program: &Program, example: &Example, command: Option<&str>) -> Vec<String> {
    for (name, text) in &example.files {
        program.write(name, text);
    }
    let obvious = example.files.first().map(|(name, _)| format!("$ imgbake validate {name}"));
    let line = command.map(str::to_owned).or(obvious).expect("a command line");
    let mut words = line.trim().trim_start_matches("$ imgbake ").split_whitespace();
    let command = words.next().expect("a command");
    let run = program.run([command, "-format=json"].into_iter().chain(words));
    let report: Json = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{line}: {error}: {}{}", run.stdout, run.stderr));
    let diagnostics = report["diagnostics"].as_array().expect("diagnostics");
    diagnostics.iter().map(|found| found["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn every_codes_example_gives_it_and_its_repair_does_not() {
    let mut wrong = Vec::new();
    for code in codes() {
        let page = page(&code);
        let (before, after) = page.split_once("## Repair").expect("a repair");
        let (broken, repaired) = (example(before), example(after));
        let program = Program::new();
        let given = found(&program, &broken, broken.command.as_deref());
        if !given.contains(&code) {
            wrong.push(format!("{code}: its example gives {given:?}"));
        }
        if repaired.files.is_empty() {
            continue;
        }
        let command = repaired.command.as_deref().or(broken.command.as_deref());
        let given = found(&program, &repaired, command);
        let silent = given.iter().all(|given| given.starts_with('L') && *given != code);
        if !silent {
            wrong.push(format!("{code}: its repair gives {given:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_code_is_explained() {
    insta::assert_snapshot!(explain("v004").succeeded().stdout);
}

#[test]
fn a_component_is_explained_from_its_declaration() {
    insta::assert_snapshot!(explain("file").succeeded().stdout);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn options_are_explained() {
    let answers = [
        "amazon-ebs.ami_name",
        "amazon-ebs.source_ami_filter.owners",
        "amazon-ebs.launch_block_device_mappings",
        "amazon-ebs.shutdown_behavior",
        "amazon-ebs.spot_price",
        "amazon-ebs.vault_aws_engine",
        "shell.start_retry_timeout",
        "shell.pause_before",
        "qemu.disk_size",
        "lxc",
        "upper",
        "formatlist",
    ]
    .map(|topic| format!("$ imgbake explain {topic}\n{}", explain(topic).succeeded().stdout));
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn what_a_data_source_answers_and_what_every_block_takes_is_explained() {
    let said = explain("amazon-ami").succeeded().stdout;
    assert!(said.contains("Answers:") && said.contains("tags (map of strings)"), "{said}");
    let said = explain("shell").succeeded().stdout;
    assert!(said.contains("override (map of"), "{said}");
}

#[test]
fn one_name_in_two_kinds_is_explained_twice() {
    let said = explain("shell-local").succeeded().stdout;
    for start in ["shell-local (provisioner): ", "shell-local (post-processor): "] {
        assert!(said.contains(start), "{said}");
    }
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn a_near_miss_of_a_topic_is_suggested() {
    for (topic, meant) in [
        ("T20l", "T201"),
        ("amazon-ebz", "amazon-ebs"),
        ("amazon-ebs.ami_nam", "amazon-ebs.ami_name"),
        ("uper", "upper"),
    ] {
        let run = explain(topic).failed_with(1);
        assert!(run.stderr.contains(&format!("did you mean `{meant}`?")), "{}", run.stderr);
    }
    let run = explain("zzzzzzzz").failed_with(1);
    assert!(run.stderr.contains("`imgbake explain` lists what there is"), "{}", run.stderr);
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn the_contents_list_every_topic() {
    let said = Program::new().run(["explain"]).succeeded().stdout;
    for topic in ["T101", "amazon-ebs", "shell-local", "manifest", "upper(str: string)"] {
        assert!(said.contains(topic), "{topic}: {said}");
    }
}

#[test]
fn every_option_of_every_component_is_documented() {
    let contents = Program::new().run(["explain", "-format=json"]).succeeded().stdout;
    let contents: Json = serde_json::from_str(&contents).expect("JSON");
    let mut bare = Vec::new();
    for kind in ["builders", "provisioners", "post_processors"] {
        for component in contents[kind].as_array().expect("a list") {
            let name = component["name"].as_str().expect("a name");
            let pages = Program::new().run(["explain", "-format=json", name]).succeeded().stdout;
            let pages: Json = serde_json::from_str(&pages).expect("JSON");
            for page in pages.as_array().expect("pages") {
                bare_options(&page["options"], &mut bare);
            }
        }
    }
    assert!(bare.is_empty(), "without a text or a type: {}", bare.join(", "));
}

fn bare_options(options: &Json, bare: &mut Vec<String>) {
    for option in options.as_array().into_iter().flatten() {
        if option["text"] == ""
            || option["type"].as_str().is_none_or(|name| name.contains("of value"))
        {
            bare.push(option["path"].to_string());
        }
        bare_options(&option["options"], bare);
    }
}
