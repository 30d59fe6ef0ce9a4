//! When what happened, as bars. Places are attributes of SVG, and no styles: those the page's policy
//! would not let pass.

use jiff::Timestamp;
use maud::{Markup, html};

use super::Detail;
use super::build::{Build, Part, between};
use super::run::Run;
use super::span::{Span, took};

/// What is shorter than this part of the whole would not be seen.
const THINNEST: f64 = 0.4;

/// The kinds of parts, as the legend names them: the first word of a part's name.
const KINDS: [(&str, &str); 8] = [
    ("prepare", "prepare"),
    ("launch", "launch"),
    ("connect", "connect"),
    ("provision", "provision"),
    ("image", "image"),
    ("test", "test"),
    ("cleanup", "clean up"),
    ("post-process", "post-process"),
];

/// The class of a part's bar.
fn kind(part: &Part) -> &'static str {
    let first = part.name.split(':').next().unwrap_or_default();
    let known = KINDS.iter().find(|(kind, _)| *kind == first);
    match known {
        _ if part.failed => "failed",
        Some((kind, _)) => kind,
        None => "other",
    }
}

/// From where to where a bar goes, in percents of `whole`.
fn place(from: Timestamp, until: Timestamp, whole: Span) -> (String, String) {
    let all = between(whole.from, whole.until).as_secs_f64().max(0.001);
    let percent =
        |at: Timestamp| (between(whole.from, at).as_secs_f64() / all * 100.0).clamp(0.0, 100.0);
    let (x, end) = (percent(from).min(100.0 - THINNEST), percent(until));
    (format!("{x:.2}%"), format!("{:.2}%", (end - x).max(THINNEST)))
}

/// A part's bar among others.
fn bar(part: &Part, now: Timestamp, whole: Span) -> Markup {
    let until = part.until.unwrap_or(now);
    let (x, width) = place(part.from, until, whole);
    html! {
        rect class=(kind(part)) x=(x) y="0" width=(width) height="100%" {
            title { (part.name) ", " (took(between(part.from, until))) }
        }
    }
}

/// The waits for the cloud of a build, below its bars.
fn waits(build: &Build, whole: Span, detail: Detail) -> Markup {
    html! {
        @for wait in build.waits.iter().take(detail.rows) {
            @let (x, width) = place(wait.from, wait.until, whole);
            rect.waiting x=(x) y="72%" width=(width) height="28%" { title { "waiting for the cloud" } }
        }
    }
}

/// The bar of one part of a build, on the scale of that build.
pub(super) fn of_part(part: &Part, now: Timestamp, whole: Span) -> Markup {
    html! {
        svg.bar width="100%" height="10" aria-hidden="true" { (bar(part, now, whole)) }
    }
}

/// The bars of a build, on the scale of the run.
fn of_build(name: &str, build: &Build, whole: Span, detail: Detail) -> Markup {
    let now = build.end.as_ref().map_or(whole.until, |end| end.at);
    let label = format!("{name} took {}", took(build.took(whole.until)));
    html! {
        svg.bar width="100%" height="18" role="img" aria-label=(label) {
            @for part in build.parts.iter().take(detail.rows) { (bar(part, now, whole)) }
            (waits(build, whole, detail))
        }
    }
}

/// All builds on one scale.
pub(super) fn timeline(run: &Run, span: Span, detail: Detail) -> Markup {
    let drawn = || run.builds.iter().enumerate().filter(|(_, (_, build))| !build.parts.is_empty());
    if drawn().next().is_none() {
        return html! {};
    }
    let whole = between(span.from, span.until);
    html! {
        section aria-labelledby="timeline" {
            h2 #timeline { "Timeline" }
            div.timeline {
                @for (index, (name, build)) in drawn().take(detail.rows) {
                    a.name href=(format!("#build-{index}")) { (name) }
                    span.took { (took(build.took(span.until))) }
                    (of_build(name, build, span, detail))
                }
                div.axis aria-hidden="true" {
                    @for quarter in 0..=4 { span { (took(whole * quarter / 4)) } }
                }
            }
            (legend(run))
        }
    }
}

/// What the colours mean that are there.
fn legend(run: &Run) -> Markup {
    let parts = || run.builds.values().flat_map(|build| &build.parts);
    let is_there = |name: &str| parts().any(|part| kind(part) == name);
    let waits = run.builds.values().any(|build| !build.waits.is_empty());
    let others = [("failed", "failed"), ("other", "other")];
    html! {
        ul.legend {
            @for (name, text) in KINDS.iter().chain(&others).filter(|(name, _)| is_there(name)) {
                li { svg width="12" height="12" aria-hidden="true" { rect class=(name) width="12" height="12" rx="2" {} } " " (text) }
            }
            @if waits {
                li { svg width="12" height="12" aria-hidden="true" { rect.waiting y="4" width="12" height="5" {} } " waiting for the cloud" }
            }
        }
    }
}
