//! Diagnostics drawn for people: the source line with the place underlined and the cause beside it.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle,
};

use super::excerpt::Excerpt;
use super::sensitive::Sensitive;
use super::{not_the_templates, redacted, sorted};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::secret::Redactor;
use crate::source::{FileId, SourceMap, Span};

/// How many bytes of a line are drawn; what lies further along is named but not shown.
pub(super) const MAX_LINE: usize = 2000;

/// How diagnostics are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether to use terminal colours.
    pub color: bool,
    /// Columns of the terminal; longer source lines are cut.
    pub width: usize,
}

/// All of `diagnostics` by file and place, those without a place last, and a line that counts them.
/// Ends with a newline; empty if there are none.
pub fn draw(
    diagnostics: &Diagnostics,
    sources: &SourceMap,
    style: Style,
    redactor: &Redactor,
) -> String {
    if diagnostics.0.is_empty() {
        return String::new();
    }
    let (diagnostics, sensitive) = redacted(diagnostics, sources, redactor);
    let texts = Texts { sources, sensitive, redactor };
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(style.width.max(40)).decor_style(DecorStyle::Ascii);
    let mut drawn = String::new();
    for diagnostic in sorted(&diagnostics) {
        let text = renderer.render(&[group(diagnostic, &texts)]);
        drawn += &with_columns_as_seen(text, diagnostic, &texts);
        drawn += "\n\n";
    }
    drawn + &count(&diagnostics) + "\n"
}

/// The sources, and what of them may not be shown.
struct Texts<'a> {
    sources: &'a SourceMap,
    sensitive: Sensitive,
    redactor: &'a Redactor,
}

impl Texts<'_> {
    /// All lines of `file` that have a part in `range`.
    fn lines(&self, file: FileId, range: Range<usize>) -> (usize, Excerpt) {
        let source = self.sources.file(file);
        let start = source.line_start(range.start);
        // Beyond what is drawn as far as a secret may go that begins there.
        let most = source.text.ceil_char_boundary(range.end + MAX_LINE + self.redactor.longest());
        let rest = &source.text[range.end..most];
        let end = rest.find('\n').map_or(most, |at| range.end + at);
        let sensitive = self.sensitive.parts(file);
        (start, Excerpt::of(source, start..end, sensitive, self.redactor))
    }
}

/// The renderer counts columns in code points; people, editors and the oracle count what they see.
fn with_columns_as_seen(mut text: String, diagnostic: &Diagnostic, texts: &Texts<'_>) -> String {
    let labels = diagnostic.labels.iter().map(|label| label.span);
    for span in diagnostic.span.into_iter().chain(labels) {
        let file = texts.sources.file(span.file);
        let position = file.position(span.start as usize);
        let at = first_line_of(span, &file.text);
        if at.end - file.line_start(at.start) > MAX_LINE {
            continue;
        }
        let (_, excerpt) = texts.lines(span.file, at.clone());
        let counted = excerpt.text[..excerpt.place(at).start].chars().count() + 1;
        if counted != position.column {
            let path = file.path.display().to_string();
            let place = |column| format!("{}:{}:{column}", harmless(&path), position.line);
            text = text.replacen(&place(counted), &place(position.column), 1);
        }
    }
    text
}

/// `2 errors, 1 warning`.
fn count(diagnostics: &Diagnostics) -> String {
    let of = |severity| diagnostics.0.iter().filter(|found| found.severity == severity).count();
    let counted = [(of(Severity::Error), "error"), (of(Severity::Warning), "warning")];
    let words = counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {word}{plural}")
    });
    words.collect::<Vec<_>>().join(", ")
}

fn group<'a>(diagnostic: &'a Diagnostic, texts: &Texts<'a>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(harmless(&diagnostic.summary)).id(diagnostic.code.name());
    let mut group = Group::with_title(title);
    match diagnostic.span {
        Some(span) => group = with_places(group, diagnostic, span, texts),
        None => group = group.elements(diagnostic.cause.iter().map(|cause| note(cause))),
    }
    group = group.elements(diagnostic.notes.iter().map(|text| note(text)));
    group = group.elements(not_the_templates(diagnostic).map(|text| Level::NOTE.message(text)));
    group.elements(diagnostic.help.iter().map(|help| Level::HELP.message(harmless(help))))
}

fn note(text: &str) -> annotate_snippets::Message<'_> {
    Level::NOTE.message(harmless(text))
}

/// The source lines of `span` and of all labels, file by file; the file of `span` comes first.
fn with_places<'a>(
    mut group: Group<'a>,
    diagnostic: &'a Diagnostic,
    span: Span,
    texts: &Texts<'a>,
) -> Group<'a> {
    let mut files = vec![span.file];
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    for file in files {
        let primary = (file == span.file).then_some((span, diagnostic.cause.as_deref()));
        let labels = diagnostic.labels.iter().filter(|label| label.span.file == file);
        let labels = labels.map(|label| (label.span, Some(label.text.as_str())));
        let places: Vec<Place<'_>> = primary
            .into_iter()
            .map(|place| (AnnotationKind::Primary, place))
            .chain(labels.map(|place| (AnnotationKind::Context, place)))
            .map(|(kind, (span, text))| Place { kind, span, text })
            .collect();
        group = match excerpt(file, &places, texts) {
            Some(snippet) => group.element(snippet),
            None => group
                .element(origin(span, texts.sources))
                .elements(places.iter().filter_map(|place| place.text).map(note)),
        };
    }
    group
}

/// A span to draw.
struct Place<'a> {
    kind: AnnotationKind,
    span: Span,
    text: Option<&'a str>,
}

/// The lines of a file from the first place to the last, with each place underlined. `None` where
/// a line is so long that nobody could see the place in it.
fn excerpt<'a>(
    file: FileId,
    places: &[Place<'a>],
    texts: &Texts<'a>,
) -> Option<Snippet<'a, Annotation<'a>>> {
    let source = texts.sources.file(file);
    let ranges: Vec<Range<usize>> =
        places.iter().map(|place| first_line_of(place.span, &source.text)).collect();
    let first = ranges.iter().map(|range| range.start).min()?;
    let last = ranges.iter().map(|range| range.end).max()?;
    if ranges.iter().any(|range| range.end - source.line_start(range.start) > MAX_LINE) {
        return None;
    }
    let (start, excerpt) = texts.lines(file, first..last);
    let end = excerpt.place(last..source.text.ceil_char_boundary(last + MAX_LINE)).end;
    let end = end.min(excerpt.text.len());
    let annotations = places.iter().zip(ranges).map(|(place, range)| {
        place.kind.span(excerpt.place(range)).label(place.text.map(harmless))
    });
    let path = source.path.display().to_string();
    let snippet = Snippet::source(same_length(&excerpt.text[..end]))
        .line_start(source.position(start).line)
        .path(harmless(&path).into_owned())
        .annotations(annotations);
    Some(snippet)
}

/// `--> file:line:column`, without the line's text.
fn origin(span: Span, sources: &SourceMap) -> Origin<'static> {
    let position = sources.position(span);
    let path = sources.file(span.file).path.display().to_string();
    Origin::path(harmless(&path).into_owned()).line(position.line).char_column(position.column)
}

/// The bytes of `span` on its first line: a long value is pointed at where it begins.
fn first_line_of(span: Span, source: &str) -> Range<usize> {
    let start = source.floor_char_boundary((span.start as usize).min(source.len()));
    let end = source.ceil_char_boundary((span.end as usize).clamp(start, source.len()));
    let line = &source[start..end];
    let line = line.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    start..start + line.len()
}

/// `text` without what could command a terminal, for one line.
fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() || is_direction(c)) {
        Cow::Owned(text.chars().map(visible).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// A visible stand-in for a control character.
fn visible(c: char) -> char {
    match u32::from(c) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        _ if c.is_control() || is_direction(c) => '\u{fffd}',
        _ => c,
    }
}

/// Whether `c` turns the direction of writing, so that text can seem other than it is.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `source` with the control characters that the renderer does not know replaced by others of the
/// same length, so that places stay.
fn same_length(source: &str) -> String {
    source.chars().map(|c| if matches!(c, '\u{80}'..='\u{9f}') { '·' } else { c }).collect()
}
