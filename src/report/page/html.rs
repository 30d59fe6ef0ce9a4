//! The page as a whole: its head, what came of the run, and the order of its sections.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::build::{Build, Outcome, between};
use super::picture::Shelf;
use super::run::Run;
use super::span::{Span, took};
use super::{Detail, bars, section};

const STYLE: &str = include_str!("page.css");

/// The page.
pub(super) fn page(run: &Run, shelf: &mut Shelf<'_>, detail: Detail) -> String {
    let span = Span::of(run);
    let album = shelf.album(run, detail.pictures);
    let headline = headline(run);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "imgbake: " (headline) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header class=(mark(run)) {
                    h1 { (headline) }
                    (facts(run, span))
                }
                main {
                    (unfinished(run, span))
                    (section::overview(run, span, detail))
                    (section::findings(run, detail))
                    (bars::timeline(run, span, detail))
                    (section::builds(run, span, &album, detail))
                    (section::said(run, detail))
                }
                footer { (origin(run)) }
            }
        }
    };
    page.into_string()
}

/// What the page may load: its own style sheet, and pictures that are in it.
fn policy() -> String {
    let digest = BASE64.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

fn succeeded(run: &Run) -> usize {
    let is_good =
        |build: &&Build| build.end.as_ref().is_some_and(|end| end.result == Outcome::Succeeded);
    run.builds.values().filter(is_good).count()
}

/// What came of the run, in a sentence.
fn headline(run: &Run) -> String {
    let ends = || run.builds.values().filter_map(|build| build.end.as_ref());
    match (run.builds.len(), succeeded(run)) {
        (0, _) => "Nothing was built".to_owned(),
        _ if !run.has_ended => "The run did not end".to_owned(),
        (1, 1) => "The build succeeded".to_owned(),
        (1, _) => match ends().next().map(|end| end.result) {
            Some(Outcome::Cancelled) => "The build was cancelled".to_owned(),
            Some(_) => "The build failed".to_owned(),
            None => "The build did not end".to_owned(),
        },
        (all, good) if all == good => format!("All {all} builds succeeded"),
        (all, good) => format!("{good} of {all} builds succeeded"),
    }
}

/// The class of the page's head.
fn mark(run: &Run) -> &'static str {
    let all_good = !run.builds.is_empty() && succeeded(run) == run.builds.len();
    if all_good && run.has_ended { "good" } else { "bad" }
}

fn facts(run: &Run, span: Span) -> Markup {
    html! {
        dl.facts {
            div { dt { "Started" } dd { (time(span.from)) } }
            @if !run.builds.is_empty() {
                div {
                    dt { @if run.has_ended { "Took" } @else { "Ran for at least" } }
                    dd { (took(between(span.from, span.until))) }
                }
                div { dt { "Builds" } dd { (run.builds.len()) } }
            }
            @if let Some(version) = &run.version {
                div { dt { "imgbake" } dd { (version) } }
            }
        }
        @if run.left_out > 0 {
            p.note { (run.left_out) " more builds or findings are too many for this page: the log has them." }
        }
    }
}

/// That the log says nothing of the end.
fn unfinished(run: &Run, span: Span) -> Markup {
    html! {
        @if !run.has_ended && !run.builds.is_empty() {
            p.callout.warn {
                "The log ends before the run does: it was killed, or a part of the log is missing. \
                 What happened after " (time(span.until)) " is not known. \
                 " code { "imgbake cleanup" } " shows what such a run has left."
            }
        }
    }
}

fn origin(run: &Run) -> Markup {
    html! {
        p {
            "Made by " code { "imgbake" } " from what the run has said. Times are UTC. \
             Texts of machines and servers are shown as they came; what cannot be seen in them is \
             written as ⟨U+…⟩."
            @if run.strange > 0 {
                " " (run.strange) " lines of the log are no records, and are not shown."
            }
        }
    }
}

/// A time, to the second.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_string()) { (at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) } }
}
