//! The sections of the page: all builds at a glance, then each with what happened in it.

use maud::{Markup, html};

use super::bars::of_part;
use super::build::{Build, End, MOST_PACKAGES, Outcome, Packages, Part, Product, between};
use super::excerpt::{Excerpt, Line};
use super::picture::Album;
use super::run::Run;
use super::span::{Span, took};
use super::{Detail, build};

/// So many builds stand open, if none has failed.
const FEW: usize = 2;

/// How a build ended, as a mark and a word.
fn badge(build: &Build) -> Markup {
    let (class, text) = match build.end.as_ref().map(|end| end.result) {
        Some(Outcome::Succeeded) => ("good", "✓ succeeded"),
        Some(Outcome::Failed) => ("bad", "✗ failed"),
        Some(Outcome::Cancelled) => ("warn", "■ cancelled"),
        None => ("warn", "? did not end"),
    };
    html! { span class=(format!("badge {class}")) { (text) } }
}

/// A table of all builds.
pub(super) fn overview(run: &Run, span: Span, detail: Detail) -> Markup {
    if run.builds.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="builds" {
            h2 #builds { "Builds" }
            div.scroll tabindex="0" role="region" aria-labelledby="builds" {
                table {
                    thead { tr {
                        th scope="col" { "Build" } th scope="col" { "Result" }
                        th scope="col" { "Images and files" } th.number scope="col" { "Took" }
                    } }
                    tbody {
                        @for (index, (name, build)) in run.builds.iter().take(detail.rows).enumerate() {
                            tr {
                                th scope="row" { a href=(format!("#build-{index}")) { (name) } }
                                td { (badge(build)) }
                                td { (identities(build)) }
                                td.number { (took(build.took(span.until))) }
                            }
                        }
                    }
                }
            }
            (more(run.builds.len(), detail.rows, "builds"))
        }
    }
}

/// That there are more than are shown.
fn more(all: usize, shown: usize, what: &str) -> Markup {
    html! {
        @if all > shown { p.note { "… and " (all - shown) " more " (what) ": the log has them." } }
    }
}

/// How many ids stand in a row of the table.
const FEW_IDS: usize = 8;

fn identities(build: &Build) -> Markup {
    let all: Vec<Markup> = build.products.iter().flat_map(ids).collect();
    html! {
        @for one in all.iter().take(FEW_IDS) { (one) " " }
        @if all.len() > FEW_IDS { "… and " (all.len() - FEW_IDS) " more" }
    }
}

/// The AMIs that an artifact consists of, with their regions; `None` if it is something else.
fn amis(product: &Product) -> Option<Vec<(&str, &str)>> {
    let pairs: Option<Vec<_>> = product.id.split(',').map(|one| one.split_once(':')).collect();
    let is_ami = |(_, id): &(&str, &str)| id.starts_with("ami-") || id.starts_with("snap-");
    pairs.filter(|pairs| pairs.iter().all(is_ami))
}

/// What an artifact is called elsewhere: a click selects it, to be copied.
fn ids(product: &Product) -> Vec<Markup> {
    match amis(product) {
        Some(pairs) => {
            let id =
                |(region, id)| html! { span.pair { code.id { (id) } " " span.dim { (region) } } };
            pairs.into_iter().map(id).collect()
        }
        None if product.files.is_empty() => vec![html! { code.id { (product.id) } }],
        None => product.files.iter().map(|file| html! { code.id { (file) } }).collect(),
    }
}

/// What is wrong with the template, and what else was remarked.
pub(super) fn findings(run: &Run, detail: Detail) -> Markup {
    if run.findings.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="findings" {
            h2 #findings { "Findings" }
            ul.findings {
                @for one in run.findings.iter().take(detail.rows) {
                    li class=(if one.is_error { "bad" } else { "warn" }) {
                        p {
                            strong { @if one.is_error { "Error" } @else { "Warning" } }
                            @if !one.place.is_empty() { " " code { (one.place) } }
                            @if !one.title.is_empty() { " " span.dim { (one.title) } }
                        }
                        p.text { (one.text) }
                    }
                }
            }
            (more(run.findings.len(), detail.rows, "findings"))
        }
    }
}

/// Each build with all that is known of it.
pub(super) fn builds(run: &Run, span: Span, album: &Album<'_>, detail: Detail) -> Markup {
    html! {
        @for (index, (name, build)) in run.builds.iter().take(detail.rows).enumerate() {
            @let is_open = build.end.as_ref().is_none_or(|end| end.result != Outcome::Succeeded)
                || run.builds.len() <= FEW;
            details.build open[is_open] {
                summary {
                    h2 { (name) } " " (badge(build)) " "
                    span.took { (took(build.took(span.until))) }
                }
                // What a link leads to inside is opened by it.
                div.inside id=(format!("build-{index}")) { (inside(name, build, span, album, detail)) }
            }
        }
    }
}

fn inside(name: &str, build: &Build, span: Span, album: &Album<'_>, detail: Detail) -> Markup {
    html! {
        @if let Some(end) = &build.end { (failure(end)) }
        @if let Some(verdict) = &build.verdict {
            h3 { "What has changed" } p.text { (verdict) }
        }
        (products(build, detail))
        @if let Some(packages) = &build.packages { (contents(packages, detail)) }
        (pictures(name, build, album))
        (parts(build, span, detail))
        @if build.left_out > 0 {
            p.note { (build.left_out) " more steps, waits, artifacts or pictures are too many for this page: the log has them." }
        }
    }
}

fn failure(end: &End) -> Markup {
    html! {
        @if !end.error.is_empty() {
            div.callout.bad {
                p.text { (end.error) }
                @if !end.place.is_empty() || !end.fault.is_empty() {
                    p.dim {
                        @if !end.place.is_empty() { code { (end.place) } " " }
                        (end.fault)
                    }
                }
            }
        }
    }
}

fn products(build: &Build, detail: Detail) -> Markup {
    html! {
        @if !build.products.is_empty() {
            h3 { "Images and files" }
            ul.products {
                @for product in build.products.iter().take(detail.rows) {
                    li {
                        @for id in ids(product).into_iter().take(detail.rows) { (id) " " }
                        // That of AMIs says the same once more.
                        @if amis(product).is_none() { p.text.dim { (product.description) } }
                    }
                }
            }
        }
    }
}

/// So many changed packages stand open.
const FEW_PACKAGES: usize = 30;

fn contents(packages: &Packages, detail: Detail) -> Markup {
    html! {
        h3 { "Packages" }
        p { (packages.count) " packages are in the image." }
        (changed("Changed by the build", &packages.baked, detail))
        @if let Some(changes) = &packages.since_previous {
            (changed("Changed since the previous image", changes, detail))
        }
        @if !packages.files.is_empty() {
            p.dim { "SBOM: " @for file in packages.files.iter().take(FEW_IDS) { code { (file) } " " } }
        }
    }
}

fn changed(what: &str, changes: &[String], detail: Detail) -> Markup {
    let list = |changes: &[String]| {
        html! {
            ul.packages { @for one in changes { li class=(direction(one)) { (one) } } }
        }
    };
    let shown = changes.len().min(detail.rows);
    let count = match changes.len() {
        MOST_PACKAGES.. => format!("{MOST_PACKAGES} or more"),
        count => count.to_string(),
    };
    html! {
        @match changes.len() {
            0 => p { (what) ": none." },
            1..=FEW_PACKAGES => { p { (what) ":" } (list(&changes[..shown])) }
            _ => details {
                summary { (what) ": " (count) }
                (list(&changes[..shown]))
                (more(changes.len(), shown, "packages"))
            }
        }
    }
}

/// Whether a package came, went or changed.
fn direction(change: &str) -> &'static str {
    match change.chars().next() {
        Some('+') => "came",
        Some('–') => "went",
        _ => "",
    }
}

fn pictures(name: &str, build: &Build, album: &Album<'_>) -> Markup {
    html! {
        @if !build.pictures.is_empty() {
            h3 { "Screen" }
            div.pictures {
                @for (picture, (path, moment)) in album.last_of(build) {
                    figure {
                        @match picture {
                            Ok(url) => img src=(url) alt=(format!("The screen of {name}, {moment}"));,
                            Err(why) => p.note { "Not shown: " (why) },
                        }
                        figcaption { (moment) " " code.dim { (path) } }
                    }
                }
            }
            @let others = build.pictures.len() - album.last_of(build).count();
            @if others > 0 { p.note { (others) " more pictures are only beside the image." } }
        }
    }
}

/// When a build began and ended.
fn span_of(build: &Build, span: Span) -> Span {
    let from = build.from().unwrap_or(span.from);
    Span { from, until: build.end.as_ref().map_or(span.until, |end| end.at).max(from) }
}

fn parts(build: &Build, span: Span, detail: Detail) -> Markup {
    if build.parts.is_empty() {
        return html! {};
    }
    let whole = span_of(build, span);
    html! {
        h3 { "Steps" }
        @for part in build.parts.iter().take(detail.rows) {
            @let until = part.until.unwrap_or(whole.until);
            details.part open[part.failed] {
                summary {
                    span.name {
                        (part.name)
                        @if part.failed { " " span.badge.bad { "✗ failed" } }
                        @if part.until.is_none() { " " span.badge.warn { "? did not end" } }
                    }
                    (of_part(part, whole.until, whole))
                    span.took { (took(between(part.from, until))) }
                }
                (steps(part, until, detail))
                @if part.failed {
                    // Why it failed stands at the end of it.
                    div.from-end { (log(&part.lines, detail.lines_of_failed)) }
                } @else {
                    (log(&part.lines, detail.lines))
                }
            }
        }
        (more(build.parts.len(), detail.rows, "parts"))
    }
}

/// The steps of a part, where they tell more than the part itself.
fn steps(part: &Part, until: jiff::Timestamp, detail: Detail) -> Markup {
    html! {
        @if !part.steps.is_empty() {
            ul.steps {
                @for step in part.steps.iter().take(detail.rows) {
                    li { (step_row(step, until)) }
                }
            }
        }
    }
}

fn step_row(step: &build::Step, until: jiff::Timestamp) -> Markup {
    html! {
        (step.name) " " span.dim { (took(between(step.from, step.until.unwrap_or(until)))) }
        @if step.failed { " " span.badge.bad { "✗ failed" } }
    }
}

/// Lines of a log; where there are too many, without those in the middle.
fn log(lines: &Excerpt, most: usize) -> Markup {
    let shown = lines.shown(most);
    let row = |line: &Line| {
        html! {
            @if line.is_error { span.err { (line.text) } } @else { (line.text) }
            "\n"
        }
    };
    html! {
        @if lines.said() > 0 {
            pre.log tabindex="0" {
                @for line in &shown.first { (row(line)) }
                @if shown.left_out > 0 {
                    span.gap { "… " (shown.left_out) " lines are left out here: the log has them …" } "\n"
                }
                @for line in &shown.last { (row(line)) }
            }
        } @else {
            p.note { "Nothing was said." }
        }
    }
}

/// What the run said of itself.
pub(super) fn said(run: &Run, detail: Detail) -> Markup {
    html! {
        @if run.said.said() > 0 {
            details.build open[run.builds.is_empty()] {
                summary { h2 { "The run itself" } }
                div.inside { (log(&run.said, detail.lines_of_failed)) }
            }
        }
    }
}
