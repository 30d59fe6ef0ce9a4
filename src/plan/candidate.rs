//! Builds × sources: every pair gets its names here.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::interpolate::{self, Dot, Scope};
use crate::source::Spanned;
use crate::template::ast::{Build, Dialect, Source, SourceUse, Template};

/// A source as one build uses it.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) build: &'a Build,
    pub(super) source: &'a Source,
    pub(super) usage: &'a SourceUse,
    pub(super) names: Names,
}

/// What a candidate is called, by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// In messages.
    pub(super) shown: String,
    /// By `-only` and `-except`.
    pub(super) selected: String,
    /// By `only` and `except` of a block.
    pub(super) filtered: String,
    /// By `override`.
    pub(super) overridden: String,
    /// By its components: `{{build_name}}`, `source.name`.
    pub(super) own: String,
    /// By the journal: as in messages, with a number where an earlier build is called so.
    pub(super) unique: String,
}

/// The sources of a template by type and name.
pub(super) type Sources<'a> = HashMap<(&'a str, &'a str), &'a Source>;

/// All sources of `template`.
pub(super) fn sources(template: &Template) -> Sources<'_> {
    let mut sources = Sources::new();
    for source in &template.sources {
        sources.entry((&source.kind.value, &source.name.value)).or_insert(source);
    }
    sources
}

/// All candidates of `build`; what is wrong with a reference comes beside them.
pub(super) fn of_build<'a>(
    template: &'a Template,
    sources: &Sources<'a>,
    build: &'a Build,
    scope: &Scope,
) -> Vec<Result<Candidate<'a>, Diagnostics>> {
    let candidate = |usage: &'a SourceUse| {
        let source = source_of(template, sources, usage)?;
        let names = match template.dialect {
            Dialect::Json => legacy_names(usage, scope)?,
            Dialect::Hcl => hcl_names(build, usage),
        };
        Ok(Candidate { build, source, usage, names })
    };
    build.sources.iter().map(candidate).collect()
}

fn source_of<'a>(
    template: &Template,
    sources: &Sources<'a>,
    usage: &SourceUse,
) -> Result<&'a Source, Diagnostics> {
    let (kind, name) = (usage.kind.value.as_str(), usage.name.value.as_str());
    if let Some(source) = sources.get(&(kind, name)) {
        return Ok(source);
    }
    let called = |source: &Source| format!("{}.{}", source.kind.value, source.name.value);
    let known: Vec<String> = template.sources.iter().map(called).collect();
    let wanted = format!("{kind}.{name}");
    let diagnostic = Diagnostic::error(code::REFERENCE, format!("there is no source `{wanted}`"))
        .at(usage.kind.span.to(usage.name.span))
        .because("not defined");
    let help = match did_you_mean(&wanted, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "the template defines no sources".to_owned(),
        None => format!("the sources are: {}", known.join(", ")),
    };
    Err(diagnostic.help(help).into())
}

/// What `only` and `except` of a block call the sources of `build`.
pub(super) fn filtered_names(build: &Build, dialect: Dialect) -> Vec<String> {
    build.sources.iter().map(|usage| filtered_name(usage, dialect)).collect()
}

/// What `override` calls the sources of `build`.
pub(super) fn overridden_names(build: &Build) -> Vec<String> {
    build.sources.iter().map(|usage| local_name(usage).to_owned()).collect()
}

/// What to say of a `name` in `only`, `except` or `override` that is none of the `known` ones.
pub(super) fn unknown_name(name: &Spanned<String>, known: &[String]) -> Option<Diagnostic> {
    if known.contains(&name.value) {
        return None;
    }
    let summary = format!("no source of this build is called `{}` here", name.value);
    let unknown = Diagnostic::error(code::REFERENCE, summary).at(name.span).because("unknown name");
    let help = match did_you_mean(&name.value, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the names are: {}", known.join(", ")),
    };
    Some(unknown.help(help))
}

fn filtered_name(usage: &SourceUse, dialect: Dialect) -> String {
    match dialect {
        Dialect::Json => usage.name.value.clone(),
        Dialect::Hcl => format!("{}.{}", usage.kind.value, local_name(usage)),
    }
}

fn local_name(usage: &SourceUse) -> &str {
    &usage.local_name.as_ref().unwrap_or(&usage.name).value
}

/// `[<build>.]<type>.<name>`
fn hcl_names(build: &Build, usage: &SourceUse) -> Names {
    let own = local_name(usage).to_owned();
    let filtered = filtered_name(usage, Dialect::Hcl);
    let shown = match &build.name {
        Some(build) if !build.value.is_empty() => format!("{}.{filtered}", build.value),
        _ => filtered.clone(),
    };
    let (selected, unique, overridden) = (shown.clone(), shown.clone(), own.clone());
    Names { shown, selected, filtered, overridden, own, unique }
}

/// A legacy name may hold `{{ … }}`: the command line and messages see the result, blocks the name
/// as it was written.
fn legacy_names(usage: &SourceUse, scope: &Scope) -> Result<Names, Diagnostics> {
    let written = &usage.name.value;
    let refused = |code| {
        move |error: interpolate::Error| {
            let summary = "the name of this builder cannot be worked out";
            let found = Diagnostic::error(error.code_or(code), summary).at(usage.name.span);
            Diagnostics::from(error.explain(found))
        }
    };
    let template =
        interpolate::Template::parse(written).map_err(refused(code::INTERPOLATION_SYNTAX))?;
    let own = template.render(scope, &Dot::new()).map_err(refused(code::INTERPOLATION))?;
    let kind = &usage.kind.value;
    let shown = if own == *kind { own.clone() } else { format!("{kind}.{own}") };
    let filtered = filtered_name(usage, Dialect::Json);
    let (selected, unique, overridden) = (own.clone(), shown.clone(), filtered.clone());
    Ok(Names { shown, selected, filtered, overridden, own, unique })
}
