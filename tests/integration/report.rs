//! `imgbake report`: a page of a run, whoever wrote its log.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use html5gum::{Token, Tokenizer};

use crate::support::{Program, Run};

/// What a page has at most, in bytes.
const LARGEST: usize = 1_000_000;

/// A page, as a parser of HTML sees it.
struct Page {
    text: String,
    /// Each tag with the names of its attributes, in order.
    structure: Vec<String>,
    /// The values of attributes: name and value.
    attributes: Vec<(String, String)>,
    bytes: usize,
}

impl Page {
    fn of(html: &str) -> Self {
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut page = Self {
            text: String::new(),
            structure: Vec::new(),
            attributes: Vec::new(),
            bytes: html.len(),
        };
        for token in Tokenizer::new(html).flatten() {
            match token {
                Token::StartTag(tag) => {
                    let mut shape = string(&tag.name);
                    for (name, value) in tag.attributes {
                        let (name, value) = (string(&name), string(&value));
                        let _ = write!(shape, " {name}");
                        page.attributes.push((name, value));
                    }
                    page.structure.push(shape);
                }
                Token::EndTag(tag) => page.structure.push(format!("/{}", string(&tag.name))),
                Token::String(text) => page.text.push_str(&string(&text)),
                Token::Comment(text) => page.structure.push(format!("comment {}", string(&text))),
                Token::Doctype(_) => page.structure.push("doctype".to_owned()),
                Token::Error(error) => panic!("the page is no proper HTML: {error:?}"),
            }
        }
        page
    }

    fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }
}

/// Makes a page of `log`, and reads it.
fn report(program: &Program, log: &str) -> Page {
    program.write("run.log", log);
    program.run(["report", "-output=page.html", "run.log"]).succeeded();
    Page::of(&program.read("page.html"))
}

/// A log of `builds`, whose guests have said `lines` each.
fn log(builds: &[&str], lines: &[&str]) -> String {
    let mut log = "1764500000,,run-started,1764500000000,0.1.0\n".to_owned();
    let escaped = |text: &str| text.replace(',', "%!(PACKER_COMMA)").replace('\n', "\\n");
    for name in builds.iter().map(|name| escaped(name)) {
        let _ = writeln!(log, "1764500000,{name},build-planned");
    }
    for name in builds.iter().map(|name| escaped(name)) {
        let _ = write!(
            log,
            "1764500001,{name},step-started,1764500001000,run the machine,launch\n\
             1764500020,{name},waited,1764500020000,15000,instance running\n\
             1764500021,{name},step-ended,1764500021000,run the machine,ok\n\
             1764500021,{name},phase-started,1764500021500,provision: shell\n"
        );
        for line in lines {
            let _ = writeln!(log, "1764500022,,ui,say,==> {name}: {}", escaped(line));
        }
        let _ = write!(
            log,
            "1764500060,{name},phase-ended,1764500060000,ok\n\
             1764500061,{name},packages,412,+ nginx 1.24.0-2,openssl 3.0.11 → 3.0.13,– telnet\n\
             1764500061,{name},build-ended,1764500061000,ok,60000,t.pkr.hcl:1:1,,\n\
             1764500061,{name},product,mitchellh.amazonebs,us-east-1:ami-0abc,AMIs were created\n"
        );
    }
    log + "1764500061,,run-ended,1764500061500\n"
}

const HOSTILE: [&str; 14] = [
    "</pre></details></script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)> ' onmouseover='alert(1)",
    "</style><style>*{display:none}</style><link rel=stylesheet href=//evil.example>",
    "<!-- <plaintext> ]]> &lt;script&gt; &#60;script&#62; &amp",
    "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
    "left\u{202e}thgir \u{2066}isolated\u{2069} zero\u{200b}width",
    "\0nul\0",
    "javascript:alert(1) data:text/html,<script>alert(1)</script>",
    "==> db: I am another build",
    "a line\n==> db: I am another build, too",
    r"\r==> db: I am another build",
    r"C:\reports\new",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe><base href=//evil.example>",
];

#[test]
fn what_a_guest_prints_is_text_and_nothing_else() {
    let program = Program::new();
    let plain: Vec<&str> =
        HOSTILE.iter().map(|line| if line.contains('\n') { "a\nb" } else { "a" }).collect();
    let expected = report(&program, &log(&["web", "db"], &plain));
    let page = report(&program, &log(&["web", "db"], &HOSTILE));
    assert_eq!(page.structure, expected.structure, "no tag and no attribute came from a guest");
    assert_eq!(page.attributes, expected.attributes);
    assert!(page.has("</pre></details></script><script>alert(1)</script>"), "it is shown");
    assert!(page.has("left⟨U+202E⟩thgir ⟨U+2066⟩isolated⟨U+2069⟩ zero⟨U+200B⟩width"));
    assert!(!page.text.contains(['\u{1b}', '\0', '\u{202e}']), "no terminal would obey it");
    assert!(page.has("\nred\n") && page.has("\nnul\n"), "{}", page.text);
    let other = page.text.matches("I am another build").count();
    assert_eq!(other, 6, "each build says it, in its own log");
    assert_eq!(page.text.matches(r"C:\reports\new").count(), 2, "what looks escaped is as it was");
}

#[test]
fn names_errors_and_packages_are_text_too() {
    let program = Program::new();
    for hostile in HOSTILE.iter().filter(|text| !text.contains(['\n', '\0'])) {
        let text = hostile.replace(',', "%!(PACKER_COMMA)");
        let with = |text: &str| {
            let all = log(&["web"], &["x"]);
            let all = all.replace("provision: shell", &format!("provision: {text}"));
            let all = all.replace("run the machine", text).replace("+ nginx", text);
            all.replace(
                ",ok,60000,t.pkr.hcl:1:1,,",
                &format!(",failed,60000,{text}.hcl:1:1,{text},{text}"),
            ) + &format!("1764500061,,finding,warning,{text},{text},{text}\n")
                + &format!("1764500061,web,picture,{text}.png,{text}\n")
                + &format!("1764500061,web,product,{text},{text},{text},{text}\n")
                + &format!("1764500061,web,skip-unchanged,baked,{text}\n")
        };
        let (page, expected) = (report(&program, &with(&text)), report(&program, &with("a")));
        assert_eq!(page.structure, expected.structure, "{hostile}");
        let names = report(&program, &log(&[hostile], &["x"]));
        assert_eq!(names.structure, report(&program, &log(&["a"], &["x"])).structure, "{hostile}");
    }
}

#[test]
fn the_page_needs_nothing_else_and_runs_nothing() {
    let page = report(&Program::new(), &log(&["web"], &HOSTILE));
    let tags: BTreeSet<_> = page
        .structure
        .iter()
        .filter_map(|tag| tag.split(' ').next())
        .map(|tag| tag.trim_start_matches('/'))
        .collect();
    for tag in ["script", "link", "iframe", "object", "form", "base"] {
        assert!(!tags.contains(tag), "{tag}");
    }
    for (name, value) in &page.attributes {
        assert!(!name.starts_with("on") && name != "style", "{name}={value}");
        if ["href", "src"].contains(&name.as_str()) {
            assert!(
                value.starts_with('#') || value.starts_with("data:image/png;base64,"),
                "{value}"
            );
        }
    }
    let policy =
        page.attributes.iter().find(|(name, value)| name == "content" && value.contains("-src"));
    let policy = &policy.unwrap().1;
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
}

#[test]
fn a_log_that_is_cut_anywhere_makes_a_page_that_says_so() {
    let program = Program::new();
    let whole = log(&["web", "db"], &["one", "two"]);
    assert!(!report(&program, &whole).has("The log ends before the run does"));
    let lines: Vec<&str> = whole.lines().collect();
    for count in 1..lines.len() {
        let page = report(&program, &lines[..count].join("\n"));
        let begun = lines[..count].iter().any(|line| line.ends_with("build-planned"));
        assert_eq!(page.has("The log ends before the run does"), begun, "after {count} lines");
        assert!(page.has("did not end") || page.has("Nothing was built"), "after {count} lines");
    }
    // In the middle of a line, too.
    for bytes in (1..whole.len()).step_by(37).filter(|at| whole.is_char_boundary(*at)) {
        program.write("run.log", &whole[..bytes]);
        let run = program.run(["report", "-output=page.html", "run.log"]);
        assert!(run.code == Some(0) || bytes < 20, "{bytes}: {}", run.stderr);
    }
}

/// A picture that does not compress well.
fn picture() -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut encoder, side) = (png::Encoder::new(&mut bytes, 120, 120), 120);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut noise = 1u32;
    let pixels = (0..side * side).map(|_| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    });
    let pixels: Vec<u8> = pixels.collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// Twenty builds that say very much, with pictures.
fn large_log(program: &Program) -> String {
    let names: Vec<String> = (1..=20).map(|number| format!("amazon-ebs.web-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lines: Vec<String> = (0..5000)
        .map(|number| format!("Get:{number} http://deb.debian.org/debian trixie/main amd64 <package> & more [9,668 kB]"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut log = log(&names, &lines);
    for name in names {
        for number in 0..9 {
            let path = format!("{name}.screens/{number}.png");
            program.write(&path, picture());
            let _ = writeln!(log, "1764500050,{name},picture,{path},after {number} min");
        }
    }
    log
}

#[test]
fn twenty_builds_that_say_very_much_make_a_page_as_small_as_any() {
    let program = Program::new();
    let page = report(&program, &large_log(&program));
    assert!(page.bytes <= LARGEST, "{} bytes", page.bytes);
    assert!(page.has("All 20 builds succeeded") && page.has("amazon-ebs.web-20"));
    let said = page.text.matches("Get:").count();
    let gaps = regex::Regex::new(r"… (\d+) lines are left out here").unwrap();
    let left_out: usize =
        gaps.captures_iter(&page.text).map(|one| one[1].parse::<usize>().unwrap()).sum();
    assert_eq!(said + left_out, 20 * 5000, "each line is there or counted");
    assert!(said > 20 * 10, "{said}");
    assert!(page.has("Get:0 ") && page.has("Get:4999 "), "both ends are told");
    println!("{} bytes, {said} lines", page.bytes);
}

#[test]
fn more_builds_than_anybody_has_still_fit() {
    let names: Vec<String> =
        (0..1500).map(|number| format!("{number}-{}", "n".repeat(250))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let page = report(&Program::new(), &log(&names, &["x"; 30]));
    assert!(page.bytes <= LARGEST, "{} bytes", page.bytes);
    assert!(page.has("500 more builds or findings"), "each is counted once");
}

#[test]
fn texts_that_are_as_long_as_they_may_be_make_a_page_as_small_as_any() {
    let names: Vec<String> = (0..20).map(|number| format!("web-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut log = log(&names, &["x"]);
    let long = "<".repeat(4000);
    for name in names {
        for number in 0..8 {
            let _ = writeln!(log, "1764500061,{name},product,x,{number}{long},{long},{long}");
        }
        for at in 0..1500 {
            let _ = writeln!(log, "17645000{:02},{name},waited,,500,x", at % 60);
        }
    }
    let page = report(&Program::new(), &log);
    assert!(page.bytes <= LARGEST, "{} bytes", page.bytes);
    assert!(page.has("All 20 builds succeeded") && page.has("20 more builds"), "{}", page.text);
}

#[test]
fn a_line_without_end_and_what_is_no_record_do_not_matter() {
    let program = Program::new();
    let mut file = File::create(program.path("run.log")).unwrap();
    file.write_all(b"Hello\n1764500000,,ui,say,").unwrap();
    let piece = vec![b'<'; 1 << 20];
    (0..40).for_each(|_| file.write_all(&piece).unwrap());
    file.write_all(b"\n").unwrap();
    file.write_all(log(&["web"], &["after it"]).as_bytes()).unwrap();
    file.write_all(b"\xff\xfe\0\n").unwrap();
    program.run(["report", "-output=page.html", "run.log"]).succeeded();
    let page = Page::of(&program.read("page.html"));
    assert!(page.has("after it") && page.has("2 lines of the log are no records"), "{}", page.text);
    assert!(page.bytes < 30_000, "{} bytes", page.bytes);
}

#[test]
fn what_is_no_log_is_said() {
    let program = Program::new();
    let said = |run: Run| run.failed_with(1).stdout;
    program.write("text", "==> web: hello\n");
    let run = said(program.run(["report", "text"]));
    let why = "text: it is no log of a run: write one with `imgbake -machine-readable build";
    assert!(run.contains(why), "{run}");
    let run = said(program.run(["report", "nothing"]));
    assert!(run.contains("nothing: No such file"), "{run}");
    let run = said(program.run(["report", "/dev/zero"]));
    assert!(run.contains("it is no regular file"), "{run}");
    assert!(!program.path("imgbake-report.html").exists());
    program.write("run.log", log(&["web"], &["x"]));
    let run = said(program.run(["report", "-output=no/page.html", "run.log"]));
    assert!(run.contains("no/page.html cannot be written"), "{run}");
}

#[test]
fn pictures_are_in_the_page_if_they_are_pictures_of_this_directory() {
    let program = Program::new();
    program.write("out.screens/001.png", picture());
    program.write("out.screens/002.png", "<svg onload=alert(1)>");
    let mut log = log(&["web"], &["x"]);
    program.write("out.screens/003.jpg", b"\xff\xd8\xff\xe0 of EC2");
    let paths = ["001.png", "002.png", "003.jpg"].map(|name| format!("out.screens/{name}"));
    for path in paths.iter().map(String::as_str).chain(["../x.png"]) {
        let _ = writeln!(log, "1764500050,web,picture,{path},after 1 min");
    }
    let page = report(&program, &log);
    let images = page.attributes.iter().filter(|(name, _)| name == "src").count();
    assert_eq!(images, 2);
    assert!(
        page.has("Not shown: it is no PNG and no JPEG")
            && page.has("Not shown: it is not below this directory")
    );
}

const TEMPLATE: &str = r#"
source "null" "web" { communicator = "none" }
source "file" "notes" {
  content = "hello"
  target  = "notes.txt"
}
build {
  sources = ["null.web", "file.notes"]
  provisioner "shell-local" {
    only   = ["null.web"]
    inline = ["echo '<b>hello</b>, world'", "printf '\\033[31mred\\n'", "echo oops >&2"]
  }
  provisioner "shell-local" {
    only   = ["null.web"]
    inline = ["exit 3"]
  }
  post-processor "manifest" {}
}
"#;

#[test]
fn the_log_of_a_run_tells_all_that_the_page_shows() {
    let program = Program::new();
    program.write("t.pkr.hcl", TEMPLATE);
    let run = program.run(["-machine-readable", "build", "t.pkr.hcl"]).failed_with(1);
    let page = report(&program, &run.stdout);
    for text in [
        "1 of 2 builds succeeded",
        "✗ failed",
        "✓ succeeded",
        "<b>hello</b>, world",
        "red",
        "oops",
        "provision: shell-local",
        "post-process: manifest",
        "t.pkr.hcl:",
        "notes.txt",
        "non-zero exit status: 3",
    ] {
        assert!(page.has(text), "{text}: {}", page.text);
    }
    assert!(!page.has("did not end"), "{}", page.text);
    assert!(page.has(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_build_writes_its_page_itself_and_says_at_once_if_it_cannot() {
    let program = Program::new();
    program.write("t.pkr.hcl", TEMPLATE);
    let run =
        program.run(["build", "-color=false", "-report=page.html", "t.pkr.hcl"]).failed_with(1);
    assert!(
        run.stdout.contains("==> null.web: <b>hello</b>, world"),
        "people read the same as ever"
    );
    let page = Page::of(&program.read("page.html"));
    assert!(page.has("1 of 2 builds succeeded") && page.has("<b>hello</b>, world"));
    assert!(!page.has("did not end"));
    std::fs::remove_file(program.path("notes.txt")).unwrap();
    let run = program.run(["build", "-report=no/page.html", "t.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("no/page.html cannot be written"), "{}", run.stderr);
    assert!(!program.path("notes.txt").exists(), "nothing was built");
}

#[test]
fn what_is_wrong_with_a_template_is_on_the_page() {
    let program = Program::new();
    program.write(
        "t.pkr.hcl",
        "source \"null\" \"a\" {\n  comunicator = \"none\"\n}\nbuild { sources = [\"null.a\"] }\n",
    );
    let run = program.run(["-machine-readable", "build", "t.pkr.hcl"]).failed_with(1);
    let page = report(&program, &run.stdout);
    assert!(page.has("Nothing was built") && page.has("t.pkr.hcl:2:3"), "{}", page.text);
    assert!(page.has("did you mean `communicator`?"), "{}", page.text);
    assert_eq!(page.structure.iter().filter(|tag| tag.starts_with("ul class")).count(), 1);
}
