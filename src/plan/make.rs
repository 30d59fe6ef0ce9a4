//! Template + values → [`Plan`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::component::{Builder, Facts};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::eval::Values;
use crate::fingerprint::Fingerprint;
use crate::interpolate::{BuildData, Scope};
use crate::plan::blocks::Blocks;
use crate::plan::candidate::{self, Candidate};
use crate::plan::planned::{Plan, PlannedBuild, PlannedPostProcessor};
use crate::plan::recipe::ComponentInputs;
use crate::plan::request::PlanRequest;
use crate::plan::select::Selection;
use crate::plan::{hcp, requirements, side_by_side};
use crate::secret::Redactor;
use crate::template::ast::{Body, Build, Dialect, SourceUse, Syntax, Template};

/// Decodes and checks everything that will run.
///
/// The errors of all builds come back together, each once, even where several builds share the
/// block that it is about.
pub fn make(
    template: &Template,
    values: Values,
    request: &PlanRequest,
    redactor: &Redactor,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    let mut planner = Planner::new(template, values, request, redactor);
    planner.found.extend(nothing_to_build(template));
    let candidates = planner.candidates();
    let selection = Selection::new(request, template.dialect);
    let chosen: Vec<_> = candidates
        .iter()
        .filter(|candidate| selection.takes_build(&candidate.names.selected))
        .collect();
    planner.found.extend(requirements::plugins(template, &chosen, request.registry.plugins()));
    let at_once = if request.registry.runs_programs() { AT_ONCE } else { 1 };
    let build = |candidate: &&Candidate<'_>| planner.build(candidate, &selection);
    let mut builds = Vec::new();
    for Planned { build, found, lints } in side_by_side::in_order(&chosen, at_once, build) {
        planner.found.extend(found);
        planner.lints.extend(lints);
        builds.extend(build);
    }
    let names: Vec<_> = candidates.iter().map(|c| c.names.selected.clone()).collect();
    planner.found.extend(hcp::check(template, &planner.values, &planner.scope, redactor));
    let unmatched = selection.unmatched(names);
    let plan = Plan { builds, unmatched, lints: planner.lints, ..Plan::default() };
    planner.found.without_repetitions().into_result(plan)
}

/// What to say of a template without builds.
pub(super) fn nothing_to_build(template: &Template) -> Option<Diagnostic> {
    let (missing, help) = match template.dialect {
        Dialect::Json if template.sources.is_empty() => {
            ("builder", "add a list `builders` with at least one builder")
        }
        Dialect::Hcl if template.builds.is_empty() => {
            ("`build` block", "add a `build` block with at least one source")
        }
        _ => return None,
    };
    let summary = format!("the template has no {missing}, so there is nothing to build");
    Some(Diagnostic::error(code::REFERENCE, summary).help(help))
}

/// What to say of a `build` block that uses no source. A legacy template is one as a whole.
fn without_source(build: &Build, dialect: Dialect) -> Option<Diagnostic> {
    (dialect == Dialect::Hcl && build.sources.is_empty()).then(|| {
        Diagnostic::error(code::REFERENCE, "this build has no source")
            .at(build.span)
            .because("so there is nothing that it could build")
            .help("add `sources = [\"source.type.name\"]`")
    })
}

/// How many builds are planned at a time where programs check their options: some of them ask their
/// cloud, which takes seconds.
const AT_ONCE: usize = 8;

/// One build, and all that is to be said of it.
struct Planned {
    /// Nothing, where its builder cannot be made.
    build: Option<PlannedBuild>,
    found: Diagnostics,
    lints: Vec<Diagnostic>,
}

struct Planner<'a> {
    template: &'a Template,
    values: Values,
    request: &'a PlanRequest,
    redactor: &'a Redactor,
    /// What every text of the template may know.
    scope: Scope,
    sensitive_variables: Arc<[String]>,
    found: Diagnostics,
    lints: Vec<Diagnostic>,
}

impl<'a> Planner<'a> {
    fn new(
        template: &'a Template,
        values: Values,
        request: &'a PlanRequest,
        redactor: &'a Redactor,
    ) -> Self {
        let scope = Scope {
            user_variables: values.user_variables(),
            template_dir: Some(request.environment.cwd.join(&template.dir)),
            budget: values.budget().clone(),
            ..Scope::new(request.environment.clone())
        };
        let sensitive = template.variables.iter().filter(|variable| variable.sensitive);
        let sensitive_variables = sensitive.map(|variable| variable.name.value.clone()).collect();
        let (found, lints) = (Diagnostics::default(), Vec::new());
        Self { template, values, request, redactor, scope, sensitive_variables, found, lints }
    }

    fn candidates(&mut self) -> Vec<Candidate<'a>> {
        let (mut candidates, mut called) = (Vec::new(), HashMap::<String, usize>::new());
        let sources = candidate::sources(self.template);
        for build in &self.template.builds {
            self.found.extend(without_source(build, self.template.dialect));
            for candidate in candidate::of_build(self.template, &sources, build, &self.scope) {
                match candidate {
                    Ok(mut candidate) => {
                        let names = &mut candidate.names;
                        let number = called.entry(names.shown.clone()).or_default();
                        *number += 1;
                        if *number > 1 {
                            names.unique = format!("{} ({number})", names.shown);
                        }
                        candidates.push(candidate);
                    }
                    Err(errors) => self.found.extend(errors),
                }
            }
        }
        candidates
    }

    /// Plans one build; what is found comes beside it. Its blocks are checked even if its builder cannot
    /// be made, but not if the builder's type is unknown: then nobody knows what `build.*` there may
    /// ask for.
    fn build(&self, candidate: &Candidate<'_>, selection: &Selection) -> Planned {
        let (mut found, mut lints) = (Diagnostics::default(), Vec::new());
        let build = self.checked(candidate, selection, &mut found, &mut lints);
        Planned { build, found, lints }
    }

    fn checked(
        &self,
        candidate: &Candidate<'_>,
        selection: &Selection,
        found: &mut Diagnostics,
        lints: &mut Vec<Diagnostic>,
    ) -> Option<PlannedBuild> {
        let descriptor = self.request.registry.find::<dyn Builder>(&candidate.source.kind);
        let descriptor = descriptor.map_err(|errors| found.extend(errors)).ok()?;
        let generated = &descriptor.description.build_data;
        let facts = self.facts(candidate, generated, None);
        let ingredients = self.builder(candidate, facts.clone(), found);
        let builder = ingredients.first(&descriptor, found, lints);
        // Some of it only the checked builder knows.
        let built = builder.as_ref().and_then(|(_, builder)| builder.makes());
        let told = builder.as_ref().map(|(_, builder)| builder.build_data()).unwrap_or_default();
        let generated: Arc<[String]> = generated.iter().cloned().chain(told).collect();
        let build_name = candidate.build.name.as_ref().map(|name| name.value.clone());
        let mut blocks = Blocks {
            dialect: self.template.dialect,
            candidate,
            registry: &self.request.registry,
            ingredients: ComponentInputs {
                values: self.values.clone(),
                body: Arc::new(Body::empty(candidate.build.span, Syntax::Native)),
                overrides: None,
                facts: self.facts(candidate, &generated, Some(BuildData::new())),
                build_name: Some(build_name.unwrap_or_default()),
                generated,
                redactor: self.redactor.clone(),
            },
            built,
            found,
            lints,
        };
        let provisioners = blocks.provisioners();
        let error_cleanup = blocks.error_cleanup();
        let post_processors = blocks.post_processors(selection);
        let (options, builder) = builder?;
        found.extend(image_tests(&*builder, &candidate.source.kind.value, &post_processors));
        Some(PlannedBuild {
            name: candidate.names.shown.clone(),
            facts,
            span: candidate.source.kind.span,
            options,
            builder: builder.into(),
            provisioners,
            error_cleanup,
            post_processors,
            fingerprint: Fingerprint::default(),
        })
    }

    fn facts(
        &self,
        candidate: &Candidate<'_>,
        generated: &Arc<[String]>,
        build_data: Option<BuildData>,
    ) -> Arc<Facts> {
        let build_name = candidate.names.own.clone();
        let builder_type = candidate.usage.kind.value.clone();
        let scope = Scope {
            build_name: Some(build_name.clone()),
            build_type: Some(builder_type.clone()),
            build_data,
            generated: generated.clone(),
            ..self.scope.clone()
        };
        let PlanRequest { force, debug, .. } = *self.request;
        let sensitive_variables = self.sensitive_variables.clone();
        let unique_name = candidate.names.unique.clone();
        Arc::new(Facts {
            build_name,
            unique_name,
            builder_type,
            force,
            debug,
            sensitive_variables,
            scope,
            connectors: self.request.registry.connectors(),
        })
    }

    /// What a candidate's builder is made from.
    fn builder(
        &self,
        candidate: &Candidate<'_>,
        facts: Arc<Facts>,
        found: &mut Diagnostics,
    ) -> ComponentInputs {
        ComponentInputs {
            values: self.values.clone(),
            body: Arc::new(source_body(candidate.usage, &candidate.source.body, found)),
            overrides: None,
            facts,
            build_name: None,
            generated: Arc::default(),
            redactor: self.redactor.clone(),
        }
    }
}

/// What stands against testing the image before anybody else sees it: the builder must be able to, and
/// what is made of the image in between is not what would be tested.
fn image_tests(
    builder: &dyn Builder,
    kind: &str,
    chains: &[Vec<PlannedPostProcessor>],
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (at, test) in chains.iter().flat_map(|chain| chain.iter().enumerate()) {
        if test.first.image_test().is_none() {
            continue;
        }
        let wrong = |summary: String| Diagnostic::error(code::OPTION_VALUE, summary).at(test.span);
        let name = &test.kind;
        if !builder.capabilities().tests {
            let summary = format!("`{name}` cannot test what this `{kind}` makes");
            found.push(wrong(summary).because("it cannot be started and connected to").help(
                "tests need `amazon-ebs`, `amazon-ebssurrogate`, `amazon-instance`, `qemu`, or `docker` with `commit = true`; and a communicator",
            ));
        } else if at > 0 {
            let summary = format!("`{name}` is not the first of its post-processors");
            found.push(wrong(summary).because("it tests what the builder makes").help(
                "write it first, or in a `post-processor` block outside of `post-processors`",
            ));
        }
    }
    found
}

/// The body of a source with what the build adds to it. Nothing can be overridden.
fn source_body(usage: &SourceUse, body: &Body, found: &mut Diagnostics) -> Body {
    let mut body = body.clone();
    let Some(extra) = &usage.extra else { return body };
    for (name, added) in &extra.attributes {
        if let Some(first) = body.attributes.insert(name.clone(), added.clone()) {
            found.push(
                Diagnostic::error(code::DUPLICATE, format!("`{name}` is given twice"))
                    .at(added.name)
                    .because("a build can add to its source, not override it")
                    .label(first.name, "given by the source"),
            );
        }
    }
    body.blocks.extend(extra.blocks.iter().cloned());
    body
}
