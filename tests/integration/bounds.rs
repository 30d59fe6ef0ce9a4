//! Whatever a template says, reading it ends: with an error where it asks for too much, within a
//! gigabyte or two and a time in which nobody gives up on it, and never with a panic.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use imgbake::budget::Budget;
use imgbake::diagnostic::{Diagnostics, code};
use imgbake::eval::{self, Inputs};
use imgbake::secret::Redactor;
use imgbake::source::SourceMap;
use imgbake::template::load::{self, ConfigType, LoadRequest};

use crate::support::{Program, Run};

const BUILD: &str = "source \"null\" \"x\" {\n  communicator = \"none\"\n}\nbuild {\n  \
                     sources = [\"null.x\"]\n}\n";

/// Runs `imgbake args…` with so much memory and time that only what grows without end needs more.
fn bounded(program: &Program, args: &[&str]) -> Run {
    let inner = program.command(args.iter().copied());
    let mut command = Command::new("prlimit");
    command.args(["--as=4294967296", "timeout", "60"]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(program.dir());
    command.env_clear();
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let run = Run::of(command.output().expect("prlimit"));
    let start: String = run.stderr.chars().take(2000).collect();
    assert!(matches!(run.code, Some(0 | 1)), "{:?}: {start}", run.code);
    assert!(!run.stderr.contains("panicked"), "{start}");
    run
}

/// What `validate` says of a template with this name and text.
fn validated(name: &str, text: &str) -> Run {
    let program = Program::new();
    program.write(name, text);
    bounded(&program, &["validate", "-lint=off", name])
}

fn is_refused(name: &str, text: &str) {
    let run = validated(name, text).failed_with(1);
    let shown: String = run.stderr.chars().take(300).collect();
    assert!(run.stderr.contains("error[T501]"), "{}: {shown}", &text[..text.len().min(80)]);
}

#[test]
fn deep_nesting_is_refused_in_every_language() {
    let deep = |open: &str, inside: &str, close: &str| {
        let (open, close) = (open.repeat(50_000), close.repeat(50_000));
        format!("locals {{\n  a = {open}{inside}{close}\n}}\n{BUILD}")
    };
    for (open, inside, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{ a = ", "1", " }"),
        ("upper(", "1", ")"),
        ("\"${", "1", "}\""),
        ("[for x in [1] : ", "x", "]"),
        ("\"%{ if true }${", "1", "}%{ endif }\""),
        ("-", "1", ""),
        ("!", "true", ""),
        ("1 + ", "1", ""),
        ("true ? 1 : ", "1", ""),
        ("x", "", "[0]"),
        ("x", "", ".a"),
        ("x", "", "[*]"),
    ] {
        is_refused("t.pkr.hcl", &deep(open, inside, close));
    }
    is_refused("t.pkr.hcl", &("a {\n".repeat(50_000) + &"}\n".repeat(50_000)));
    let lists = "[".repeat(50_000) + &"]".repeat(50_000);
    is_refused("t.pkr.json", &format!("{{\"locals\": {{\"a\": {lists}}}}}"));
    is_refused("t.json", &format!("{{\"builders\": {lists}}}"));
    for text in ["{{ ".to_owned() + &"(".repeat(50_000) + " }}", "{{if 1}}".repeat(50_000)] {
        let text = format!(
            "{{\"variables\": {{\"a\": \"{text}\"}}, \
             \"builders\": [{{\"type\": \"null\", \"communicator\": \"none\"}}]}}"
        );
        is_refused("t.json", &text);
    }
}

/// What evaluating these locals finds, with a 64th of what a command has.
fn evaluated(locals: &str) -> Diagnostics {
    let mut sources = SourceMap::default();
    let file = sources.add("t.pkr.hcl", format!("locals {{\n{locals}\n}}\n"));
    let request = LoadRequest::new("t.pkr.hcl".into(), ConfigType::Hcl2);
    let loaded = load::hcl2(&[file], Diagnostics::default(), &request, &sources);
    let (template, _) = match loaded {
        Ok(loaded) => loaded,
        Err(found) => return found,
    };
    let inputs = Inputs { budget: Budget::of(1 << 18), ..inputs() };
    eval::evaluate_partly(&template, &inputs, &Redactor::default()).1
}

fn inputs() -> Inputs {
    let environment =
        imgbake::env::Environment::new(Default::default(), "/".into(), jiff::Timestamp::UNIX_EPOCH);
    Inputs {
        vars: Vec::new(),
        var_files: Vec::new(),
        environment: environment.into(),
        data_sources: None,
        warn_undeclared: true,
        budget: Default::default(),
    }
}

#[test]
fn what_would_never_end_is_refused() {
    let doubling = |first: &str, next: &str| {
        let mut locals = format!("  a0 = {first}\n");
        for n in 1..60 {
            let next = next.replace('@', &format!("local.a{}", n - 1));
            writeln!(locals, "  a{n} = {next}").unwrap();
        }
        locals
    };
    let mut wrong = Vec::new();
    for locals in [
        doubling("[1, 2]", "concat(@, @)"),
        doubling("\"xy\"", "\"${@}${@}\""),
        doubling("[1]", "flatten([@, @])"),
        doubling("\"xy\"", "join(\"\", [@, @])"),
        doubling("\"xy\"", "format(\"%s%s\", @, @)"),
        doubling("\"xy\"", "replace(@, \"x\", \"xx\")"),
        doubling("\"xy\"", "regex_replace(@, \".\", \"$0$0\")"),
        doubling("\"xy\"", "strrev(\"${@}${@}\")"),
        doubling("[1]", "setproduct(@, [1, 2])"),
        doubling("[1]", "[@, @]") + "b = jsonencode(local.a59)",
        doubling("{ a = 1 }", "{ a = @, b = @ }") + "b = local.a59 == local.a58",
        doubling("[1]", "[@, @]") + "b = true ? local.a59 : null",
        "a = [for x in range(1000) : [for y in range(1000) : [for z in range(1000) : z]]]".into(),
        "a = \"%{ for x in range(1000) }%{ for y in range(1000) }%{ for z in range(1000) }x%{ endfor }%{ endfor }%{ endfor }\"".into(),
        "a = format(\"%999999999d\", 1)".into(),
        "a = format(\"%.999999999f\", 1)".into(),
        "a = format(\"%999999999s\", 1)".into(),
        "a = indent(999999999, \"a\\nb\")".into(),
        "a = setproduct(range(1000), range(1000), range(1000), range(1000))".into(),
        "a = [for i in range(1000) : bcrypt(\"x\", 31)]".into(),
        "a = bcrypt(\"x\", 31)".into(),
        "a = bcrypt(\"x\", 10)".into(),
        "a = [for i in range(60) : bcrypt(\"x\", 4)]".into(),
        "a = [for i in range(1000) : can(regex(\"(((x{100}){100}){100}){100}\", \"\"))]".into(),
        "a = regexall(\"a*[^A-Z]|[A-Z]\", format(\"%99999999s\", \"\"))".into(),
        "a = fileset(\"/proc/self/task\", \"**/**/**/**/**/**/**/*\")".into(),
        format!("a = {}", "9".repeat(20_000)),
        "a = [for i in range(1000) : jsondecode(format(\"%999999s\", \"1\"))]".into(),
        format!("a = yamldecode(<<EOT\na0: &a0 [x, x]\n{}EOT\n)", (1..60).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect::<String>()) + "\n b = jsonencode(local.a)",
        format!("a = jsondecode({:?})", "[".repeat(100_000)),
    ] {
        let start = Instant::now();
        let found = evaluated(&locals);
        let is_refused = found.0.iter().any(|one| one.code == code::TOO_MUCH);
        if !is_refused || start.elapsed() > Duration::from_secs(30) {
            let shown: String = locals.chars().take(120).collect();
            wrong.push(format!("{shown}: {:?}: {found:.300?}", start.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_function_reads_no_file_that_never_ends() {
    for call in ["file", "filebase64", "templatefile"] {
        let more = if call == "templatefile" { ", {}" } else { "" };
        let found = evaluated(&format!("a = {call}(\"/dev/zero\"{more})"));
        let refused = |cause: &String| cause.contains("it is no regular file");
        assert!(found.0.iter().any(|one| one.cause.as_ref().is_some_and(refused)), "{found:?}");
    }
}

#[test]
fn numbers_of_any_size_are_computed_or_refused() {
    let found = evaluated(
        "a = 1e999999999\nb = 1e-999999999\nc = -1e999999999 + 1\nd = pow(10, 1e9)\n\
         e = 1e19000 * 1e19000\nf = 1e19000 + 1e-19000\ng = 1e19000 > 1e-19000\n\
         h = \"${1e19000}\"\ni = format(\"%f\", 1e19000)\nj = 1e-19000 % 3\nk = floor(1e19000 / 3)\n\
         l = parseint(\"9223372036854775808\", 10)",
    );
    assert!(found.0.is_empty(), "{found:?}");
    assert!(evaluated("a = range(1e9)").has_errors());
}

#[test]
fn values_nested_by_locals_are_refused_before_the_stack_ends() {
    let mut locals = "a0 = 1\n".to_owned();
    for n in 1..5000 {
        writeln!(locals, "a{n} = [local.a{}]", n - 1).unwrap();
    }
    let found = evaluated(&(locals + "b = jsonencode(local.a4999)"));
    assert!(found.0.iter().any(|one| one.code == code::TOO_MUCH), "{found:.300?}");
}

#[test]
fn circles_of_files_end() {
    let program = Program::new();
    program.write("self.tmpl", "${templatefile(\"self.tmpl\", {})}");
    program.write("deep/a.txt", "x");
    symlink("..", program.path("deep/up")).unwrap();
    symlink("circle", program.path("circle")).unwrap();
    symlink("circle.pkrvars.hcl", program.path("circle.pkrvars.hcl")).unwrap();
    symlink("circle.pkr.hcl", program.path("circle.pkr.hcl")).unwrap();
    let template = |value: &str| format!("locals {{\n  a = {value}\n}}\n{BUILD}");
    program.write("t.pkr.hcl", template("templatefile(\"self.tmpl\", {})"));
    let run = bounded(&program, &["validate", "t.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("no function named \"templatefile\""), "{}", run.stderr);
    program.write("t.pkr.hcl", template("file(\"circle\")"));
    bounded(&program, &["validate", "t.pkr.hcl"]).failed_with(1);
    program.write("t.pkr.hcl", template("fileset(\".\", \"**/*.txt\")"));
    bounded(&program, &["validate", "t.pkr.hcl"]).succeeded();
    bounded(&program, &["validate", "-var-file=circle.pkrvars.hcl", "t.pkr.hcl"]).failed_with(1);
    bounded(&program, &["validate", "."]).failed_with(1);
    bounded(&program, &["fmt", "-check", "-recursive", "."]).failed_with(1);
}

#[test]
fn a_legacy_template_cannot_render_without_end() {
    let json = |variables: &str| {
        format!(
            "{{\"variables\": {{{variables}}}, \
             \"builders\": [{{\"type\": \"null\", \"communicator\": \"none\"}}]}}"
        )
    };
    let doubling = (1..60).fold("\"a0\": \"xxxxxxxx\"".to_owned(), |all, n| {
        let before = format!("{{{{user `a{}`}}}}", n - 1);
        all + &format!(", \"a{n}\": \"{before}{before}\"")
    });
    for variables in [
        doubling,
        "\"a\": \"{{range 1000000}}{{range 1000000}}x{{end}}{{end}}\"".to_owned(),
        "\"a\": \"{{$x := `xxxxxxxx`}}{{range 1000}}{{$x = print $x $x}}{{end}}\"".to_owned(),
        format!("\"a\": \"{{{{printf `{}` {}}}}}\"", "%1000000d".repeat(99), "1 ".repeat(99)),
    ] {
        is_refused_or_too_large(&json(&variables));
    }
}

fn is_refused_or_too_large(text: &str) {
    let run = validated("t.json", text).failed_with(1);
    let shown: String = run.stderr.chars().take(400).collect();
    assert!(run.stderr.contains("T501") || run.stderr.contains("too large"), "{shown}");
}

#[test]
fn errors_without_number_are_said_as_far_as_anybody_reads() {
    let mistakes = "a = [1 2]\n".repeat(20_000);
    let run = validated("t.pkr.hcl", &mistakes).failed_with(1);
    assert!(run.stderr.contains("there is more, which is not shown"));
    assert!(run.stderr.len() < 2_000_000, "{}", run.stderr.len());
    let unknown = format!("locals {{\n  a = f({})\n}}\n{BUILD}", "x.y, ".repeat(20_000));
    let run = validated("t.pkr.hcl", &unknown).failed_with(1);
    assert!(run.stderr.len() < 2_000_000, "{}", run.stderr.len());
}

/// Makes a FIFO that nobody writes to.
fn fifo(program: &Program, name: &str) {
    let made = Command::new("mkfifo").arg(program.path(name)).status().expect("mkfifo");
    assert!(made.success());
}

#[test]
fn a_file_that_never_ends_is_refused_wherever_a_template_names_one() {
    let file = |source: &str, post: &str| {
        format!(
            "source \"file\" \"f\" {{\n  {source}\n  target = \"out.txt\"\n}}\n\
             build {{\n  sources = [\"source.file.f\"]\n  post-processors {{\n{post}\n  }}\n}}\n"
        )
    };
    let text = "content = \"x\"";
    let artifice = "post-processor \"artifice\" { files = [\"NAME\"] }\n";
    let image = |options: &str| {
        format!(
            "source \"qemu\" \"q\" {{\n  disk_image = true\n  communicator = \"none\"\n  \
             accelerator = \"tcg\"\n{options}\n}}\nbuild {{\n  sources = [\"source.qemu.q\"]\n}}\n"
        )
    };
    let templates = [
        file("source = \"NAME\"", artifice),
        file(text, "post-processor \"manifest\" { output = \"NAME\" }"),
        file(text, &format!("{artifice}post-processor \"checksum\" {{ output = \"sum\" }}")),
        file(text, "post-processor \"checksum\" { output = \"NAME\" }"),
        file(text, &format!("{artifice}post-processor \"compress\" {{ output = \"o.gz\" }}")),
        file(text, &format!("{artifice}post-processor \"compress\" {{ output = \"o.tar\" }}")),
        file(text, &format!("{artifice}post-processor \"compress\" {{ output = \"o.zip\" }}")),
        image("iso_url = \"NAME\"\niso_checksum = \"none\""),
        image("iso_url = \"disk.raw\"\niso_checksum = \"file:NAME\""),
        image("iso_url = \"disk.raw\"\niso_checksum = \"none\"\ncd_files = [\"NAME\"]"),
        image(
            "iso_url = \"disk.raw\"\niso_checksum = \"none\"\nefi_firmware_code = \"disk.raw\"\nefi_firmware_vars = \"NAME\"",
        ),
    ];
    let program = Program::new();
    program.write("disk.raw", "x".repeat(512));
    fifo(&program, "fifo");
    for (name, template) in ["fifo", "/dev/zero"].into_iter().flat_map(|name| {
        templates.iter().map(move |template| (name, template.replace("NAME", name)))
    }) {
        program.write("t.pkr.hcl", &template);
        let run = bounded(&program, &["build", "-force", "-color=false", "t.pkr.hcl"]);
        let said = run.failed_with(1);
        let said = said.stdout + &said.stderr;
        let is_refused = ["no regular file", "No such device"].iter().any(|why| said.contains(why));
        assert!(is_refused, "{name}: {template}\n{said}");
    }
    let manifest = std::fs::File::create(program.path("huge.json")).unwrap();
    manifest.set_len(10 << 30).unwrap();
    program
        .write("t.pkr.hcl", file(text, "post-processor \"manifest\" { output = \"huge.json\" }"));
    let run = bounded(&program, &["build", "-force", "-color=false", "t.pkr.hcl"]).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("it is larger than 67108864 bytes"));
}
