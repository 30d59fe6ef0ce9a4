//! The summary of a step, in Markdown.

use std::path::PathBuf;

use jiff::Timestamp;

use super::markdown::{block, code, inline, prose};
use super::record::{BuildRecord, RunRecord};
use super::{gantt, in_repository};
use crate::diagnostic::Severity;
use crate::event::{Annotation, Finished, PackageChange, Phase};
use crate::report::words;

/// What a summary tells beside what happened.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What the step did: `build`.
    pub command: String,
    /// Whether it ended well.
    pub ok: bool,
    /// Where the files of the commit can be looked at, up to the name: `https://…/blob/SHA/`.
    pub files: String,
    /// How the directory is called there that names of files are relative to.
    pub root: PathBuf,
    /// What is other than in the manifest before, if there was one.
    pub changes: Option<Vec<Change>>,
    /// Whether it stands between what people write: without a diagram, and with details folded.
    pub brief: bool,
    /// Where page, pictures and packages can be downloaded; empty if nowhere.
    pub artifact: String,
}

/// What became of a build's artifacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The build.
    pub build: String,
    /// What there was.
    pub before: Vec<String>,
    /// What there is.
    pub now: Vec<String>,
}

/// How much is told; the less, the shorter.
#[derive(Clone, Copy, Debug)]
struct Detail {
    diagram: bool,
    last_lines: usize,
    rows: usize,
}

const DETAILS: [Detail; 4] = [
    Detail { diagram: true, last_lines: super::record::LAST_LINES, rows: 1000 },
    Detail { diagram: true, last_lines: 10, rows: 500 },
    Detail { diagram: false, last_lines: 3, rows: 200 },
    Detail { diagram: false, last_lines: 0, rows: 50 },
];

/// The summary, as much of it as fits into `room` bytes.
pub fn summary(record: &RunRecord, about: &About, now: Timestamp, room: usize) -> String {
    let mut shortest = String::new();
    for detail in DETAILS {
        shortest = with(record, about, now, detail);
        if shortest.len() <= room {
            return shortest;
        }
    }
    let cut = shortest.floor_char_boundary(room.saturating_sub(CUT.len()));
    let cut = shortest[..cut].rfind('\n').unwrap_or(cut);
    format!("{}{CUT}", &shortest[..cut])
}

const CUT: &str = "\n\nThere is more than fits here: the log has all of it.\n";

fn with(record: &RunRecord, about: &About, now: Timestamp, detail: Detail) -> String {
    let mut out = heading(record, about);
    out.push_str(&builds(record, now, detail));
    if !about.artifact.is_empty() {
        let url = &about.artifact;
        out.push_str(&format!("\n[Manifest, page of the run, pictures and packages]({url})\n"));
    }
    out.push_str(&findings(record, about, detail));
    out.push_str(&failures(record, about, detail));
    out.push_str(&packages(record, about, detail));
    out.push_str(&screens(record, about, detail));
    if let Some(changes) = &about.changes {
        out.push_str(&changed(changes, detail));
    }
    if let Some(diagram) = gantt::diagram(record, now).filter(|_| detail.diagram && !about.brief) {
        out.push_str(&format!(
            "\n### Timeline\n\n```mermaid\n{diagram}```\n\nGrey: at work. Blue: waiting. Red: failed. What took next to no time is left out.\n"
        ));
    }
    out
}

fn heading(record: &RunRecord, about: &About) -> String {
    let mark = if about.ok { "✅" } else { "❌" };
    let count = record.builds.len();
    let good = record.builds.values().filter(|build| succeeded(build)).count();
    let what = match count {
        0 => String::new(),
        1 if good == 1 => ": the build succeeded".to_owned(),
        1 => {
            let mut ends = record.builds.values().filter_map(|build| build.finished.as_ref());
            format!(": the build {}", ends.next_back().map_or("failed", Finished::fate))
        }
        _ => format!(": {good} of {count} builds succeeded"),
    };
    format!("## {mark} imgbake {}{what}\n", inline(&about.command))
}

fn succeeded(build: &BuildRecord) -> bool {
    build.finished.as_ref().is_some_and(|end| end.error.is_none())
}

fn builds(record: &RunRecord, now: Timestamp, detail: Detail) -> String {
    if record.builds.is_empty() {
        return String::new();
    }
    let mut out = "\n| build | | images and files | took |\n|---|---|---|---|\n".to_owned();
    for (name, build) in record.builds.iter().take(detail.rows) {
        let mark = match (&build.finished, succeeded(build)) {
            (Some(_), true) => "✅ succeeded",
            (Some(end), false) if end.stopped.is_some() => "⏹️ cancelled",
            (Some(_), false) => "❌ failed",
            (None, _) => "⏹️ did not end",
        };
        let took = words::short(build.took(now));
        out.push_str(&format!("| {} | {mark} | {} | {took} |\n", code(name), products(build)));
    }
    let more = record.builds.len().saturating_sub(detail.rows);
    if more > 0 {
        out.push_str(&format!("\n… and {more} more.\n"));
    }
    out
}

/// Images with links to where they can be looked at; files.
fn products(build: &BuildRecord) -> String {
    let products = build.finished.iter().flat_map(|end| &end.products);
    let mut cells = Vec::new();
    for product in products {
        let images = product.images.iter();
        cells.extend(images.map(|(region, id)| {
            format!("[{}]({}) {}", inline(id), console(region, id), inline(region))
        }));
        if product.images.is_empty() {
            cells.extend(product.files.iter().map(|file| code(file)));
        }
    }
    cells.dedup();
    let more = cells.len().saturating_sub(MOST_PRODUCTS);
    cells.truncate(MOST_PRODUCTS);
    if more > 0 {
        cells.push(format!("… and {more} more"));
    }
    cells.join("<br>")
}

const MOST_PRODUCTS: usize = 20;

/// The images of the builds that made any, as a release tells them; `None` if none did. As many as
/// fit into `room` bytes.
pub fn images(record: &RunRecord, room: usize) -> Option<String> {
    let products = |build: &BuildRecord| build.finished.clone().map(|end| end.products);
    let images = record.builds.iter().flat_map(|(name, build)| {
        let images = products(build).into_iter().flatten().flat_map(|product| product.images);
        images.map(move |(region, id)| (name, region, id))
    });
    let rows: Vec<_> = images
        .map(|(name, region, id)| {
            let url = console(&region, &id);
            format!("| {} | {} | [{}]({url}) |\n", code(name), inline(&region), inline(&id))
        })
        .collect();
    let mut out = "### Images\n\n| build | region | image |\n|---|---|---|\n".to_owned();
    for (told, row) in rows.iter().enumerate() {
        if out.len() + row.len() > room {
            out.push_str(&format!("\n… and {} more: the manifest has all.\n", rows.len() - told));
            break;
        }
        out.push_str(row);
    }
    (!rows.is_empty()).then_some(out)
}

/// The page of an AMI.
fn console(region: &str, id: &str) -> String {
    let host = match region {
        region if region.starts_with("cn-") => "console.amazonaws.cn".to_owned(),
        region if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com".to_owned(),
        region => format!("{region}.console.aws.amazon.com"),
    };
    let plain = |text: &str| -> String {
        text.chars().filter(|next| next.is_ascii_alphanumeric() || *next == '-').collect()
    };
    let (region, id) = (plain(region), plain(id));
    format!("https://{host}/ec2/home?region={region}#ImageDetails:imageId={id}")
}

fn findings(record: &RunRecord, about: &About, detail: Detail) -> String {
    let found = &record.annotations;
    if found.is_empty() {
        return String::new();
    }
    let mut out = "\n### Findings\n\n| | where | what |\n|---|---|---|\n".to_owned();
    for one in found.iter().take(detail.rows) {
        let mark = if one.severity == Severity::Error { "❌" } else { "⚠️" };
        let text = one.text.lines().take(4).map(prose).collect::<Vec<_>>().join("<br>");
        out.push_str(&format!("| {mark} | {} | {text} |\n", place(one, about)));
    }
    let more = found.len().saturating_sub(detail.rows);
    if more > 0 {
        out.push_str(&format!("\n… and {more} more.\n"));
    }
    out
}

/// A link to the line that a remark is about.
fn place(one: &Annotation, about: &About) -> String {
    let Some((place, _)) = &one.place else { return String::new() };
    let line = place.position.line;
    let path = in_repository(&about.root, &place.file);
    let shown = code(&format!("{path}:{line}"));
    if about.files.is_empty() || path.starts_with(['/', '<']) {
        return shown;
    }
    let encode = |part: &str| -> String {
        url::form_urlencoded::byte_serialize(part.as_bytes())
            .collect::<String>()
            .replace('+', "%20")
    };
    let path: Vec<String> = path.split('/').map(encode).collect();
    format!("[{shown}]({}{}#L{line})", about.files, path.join("/"))
}

fn failures(record: &RunRecord, about: &About, detail: Detail) -> String {
    let mut out = String::new();
    for (name, build) in record.builds.iter().filter(|(_, build)| !succeeded(build)) {
        let Some(end) = &build.finished else { continue };
        let Some(error) = &end.error else { continue };
        let (phase, lines) = match &build.failed {
            Some((phase, lines)) => (Some(phase), lines.iter().map(String::as_str).collect()),
            None => (None, Vec::new()),
        };
        let during = phase.map(|phase| format!(" in {}", inline(&phase.to_string())));
        let during = during.unwrap_or_default();
        let fate = end.fate();
        out.push_str(&format!("\n### {} {fate}{during}\n\n{}", code(name), told(error)));
        if let Some(fault) = end.fault {
            let mut heading = fault.to_string();
            heading[..1].make_ascii_uppercase();
            out.push_str(&format!("\n**{heading}.**\n"));
        }
        let skipped = lines.len().saturating_sub(detail.last_lines);
        if detail.last_lines > 0 && !lines.is_empty() {
            let last = block(&lines[skipped..].join("\n"));
            let open = if about.brief { "" } else { " open" };
            out.push_str(&format!(
                "\n<details{open}><summary>The last lines before it failed</summary>\n\n{last}\n</details>\n"
            ));
        }
        if let Some(hint) = phase.and_then(hint) {
            out.push_str(&format!("\n> [!TIP]\n> {hint}\n"));
        }
    }
    out
}

/// How many changed packages stand open; the others are folded away.
const MOST_OPEN: usize = 30;

/// What is inside each image, and what has changed.
fn packages(record: &RunRecord, about: &About, detail: Detail) -> String {
    let builds = record.builds.iter();
    let known = builds.filter_map(|(name, build)| Some((code(name), build.contents.as_ref()?)));
    let all: Vec<_> = known.take(detail.rows).collect();
    if all.is_empty() {
        return String::new();
    }
    let mut out = "\n### Packages\n".to_owned();
    for (name, contents) in all {
        out.push_str(&format!("\n{name}: {} packages.\n", contents.packages));
        if let Some(changes) = &contents.baked {
            out.push_str(&changed_packages("Baked", changes, about, detail));
        }
        if let Some(changes) = &contents.since_previous {
            out.push_str(&changed_packages("Since the previous image", changes, about, detail));
        }
        let files: Vec<_> =
            contents.files.iter().map(|file| code(&in_repository(&about.root, file))).collect();
        if !files.is_empty() {
            out.push_str(&format!("\nSBOM: {}\n", files.join(", ")));
        }
    }
    out
}

fn changed_packages(
    what: &str,
    changes: &[PackageChange],
    about: &About,
    detail: Detail,
) -> String {
    let open = MOST_OPEN.min(detail.rows / 10);
    let shown = |changes: &[PackageChange]| match changes {
        [] => "no package has changed".to_owned(),
        changes => {
            // What is in the middle of a line begins no list.
            let texts = changes.iter().map(|change| inline(&change.to_string()));
            texts.map(|text| text.replace("&#43;", "+")).collect::<Vec<_>>().join(", ")
        }
    };
    let more = changes.len().saturating_sub(open);
    let first = shown(&changes[..changes.len() - more]);
    let mut out = format!("\n{what}: {first}");
    match more {
        0 => out.push('\n'),
        more if about.brief || changes.len() > detail.rows => {
            out.push_str(&format!(", … and {more} more\n"));
        }
        more => {
            let rest = shown(&changes[open..]);
            out.push_str(&format!(
                "\n\n<details><summary>… and {more} more</summary>\n\n{rest}\n</details>\n"
            ));
        }
    }
    out
}

/// How many pictures of a screen are named.
const MOST_PICTURES: usize = 12;

/// The pictures of each machine's screen, as a strip of names: a summary shows no files. The last ones
/// tell most.
fn screens(record: &RunRecord, about: &About, detail: Detail) -> String {
    let mut out = String::new();
    let shown = record.builds.iter().filter(|(_, build)| !build.pictures.is_empty());
    for (name, build) in shown.take(detail.rows) {
        let skipped = build.pictures.len().saturating_sub(MOST_PICTURES.min(detail.rows / 10));
        let last = build.pictures.iter().skip(skipped).map(|picture| {
            let file = picture.path.rsplit('/').next().unwrap_or_default();
            format!("{} {}", code(file), inline(&picture.moment))
        });
        let first = (skipped > 0).then(|| "…".to_owned());
        let strip = first.into_iter().chain(last).collect::<Vec<_>>().join(" → ");
        let directory = in_repository(&about.root, build.pictures[0].directory());
        let kept = match about.artifact.is_empty() {
            true => ": the input `upload` keeps them".to_owned(),
            false => format!(" of [the artifact]({})", about.artifact),
        };
        out.push_str(&format!(
            "\n### The screen of {}\n\n{strip}\n\nThe pictures are in {}{kept}.\n",
            code(name),
            code(&directory)
        ));
    }
    out
}

/// An error, which may repeat what a server said: one line is a sentence, several may be anything.
fn told(error: &str) -> String {
    let error = words::shortened(error.trim_end(), 4000);
    match error.contains('\n') {
        true => block(&error),
        false => format!("{}\n", prose(&error)),
    }
}

/// What to look at first where a part of a build fails.
fn hint(phase: &Phase) -> Option<&'static str> {
    match phase {
        Phase::Connect => Some(
            "Check that the security group lets this runner in (imgbake's own one does), that the subnet leads here, and `ssh_username`.",
        ),
        Phase::Provision(_) => Some(
            "`on-error: abort` leaves the machine as it is, to be looked at; `imgbake build -debug` on your own machine stops before each provisioner.",
        ),
        Phase::Cleanup => Some(
            "What could not be removed is removed by the end of the job, or by `command: cleanup`.",
        ),
        Phase::Test(_) => Some(
            "`keep_failed = true` keeps the image, to be looked at. Nothing was copied, shared or published.",
        ),
        Phase::Prepare | Phase::Launch | Phase::Image | Phase::PostProcess(_) => None,
    }
}

fn changed(changes: &[Change], detail: Detail) -> String {
    if changes.is_empty() {
        return "\n### Against the previous manifest\n\nThe artifacts are the same.\n".to_owned();
    }
    let list = |all: &[String]| match all {
        [] => "–".to_owned(),
        all => all.iter().map(|one| code(one)).collect::<Vec<_>>().join("<br>"),
    };
    let mut out =
        "\n### Against the previous manifest\n\n| build | before | now |\n|---|---|---|\n"
            .to_owned();
    for Change { build, before, now } in changes.iter().take(detail.rows) {
        out.push_str(&format!("| {} | {} | {} |\n", code(build), list(before), list(now)));
    }
    out
}
