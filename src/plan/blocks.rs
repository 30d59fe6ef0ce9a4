//! The provisioner and post-processor blocks of one build.

use std::sync::Arc;

use crate::component::{PostProcessor, Provisioner};
use crate::config::{Decoding, Node, OptionGroups};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::interpolate::BuildData;
use crate::plan::candidate::{self, Candidate};
use crate::plan::meta::{self, Filter, Meta, MetaArguments, PostProcessorMeta, ProvisionerMeta};
use crate::plan::planned::{PlannedPostProcessor, PlannedProvisioner, Recipe};
use crate::plan::recipe::ComponentInputs;
use crate::plan::select::Selection;
use crate::registry::{ComponentKind, Registry};
use crate::source::Spanned;
use crate::template::ast::{ComponentBlock, Dialect};

/// Plans the blocks of a candidate; what is wrong with them goes to `found`.
pub(super) struct Blocks<'a> {
    pub(super) dialect: Dialect,
    pub(super) candidate: &'a Candidate<'a>,
    pub(super) registry: &'a Registry,
    /// What the components of all blocks are made from, but for their bodies.
    pub(super) ingredients: ComponentInputs,
    /// The builder id of the builder's artifact, where it is known.
    pub(super) built: Option<&'static str>,
    pub(super) found: &'a mut Diagnostics,
    /// What their lints find.
    pub(super) lints: &'a mut Vec<Diagnostic>,
}

impl Blocks<'_> {
    pub(super) fn provisioners(&mut self) -> Vec<PlannedProvisioner> {
        let build = self.candidate.build;
        let strict = self.dialect == Dialect::Json;
        build.provisioners.iter().filter_map(|block| self.provisioner(block, strict)).collect()
    }

    pub(super) fn error_cleanup(&mut self) -> Option<PlannedProvisioner> {
        self.provisioner(self.candidate.build.error_cleanup.as_ref()?, false)
    }

    fn provisioner(&mut self, block: &ComponentBlock, strict: bool) -> Option<PlannedProvisioner> {
        let arguments = MetaArguments::of_provisioner(self.dialect);
        let (meta, ingredients) = self.parts::<ProvisionerMeta>(block, &arguments, strict)?;
        if !meta.filter.takes(&self.candidate.names.filtered) {
            return None;
        }
        let (recipe, options, first) = self.recipe::<dyn Provisioner>(&block.kind, ingredients)?;
        let waits_first = first.waits_first().map(|option| match option {
            "" => block.kind.span,
            option => options.place(option).0.span,
        });
        Some(PlannedProvisioner {
            kind: block.kind.value.clone(),
            name: meta.own.name.clone(),
            span: block.kind.span,
            options,
            reads: first.reads(),
            waits_first,
            plugin: first.plugin().map(|(source, version)| (source.to_owned(), version.to_owned())),
            recipe,
            pause_before: meta.own.pause_before.get(),
            timeout: meta.own.timeout(),
            max_retries: meta.own.max_retries(),
            continue_on_error: meta.own.continue_on_error,
        })
    }

    /// Chains from which nothing is left do not appear.
    pub(super) fn post_processors(
        &mut self,
        selection: &Selection,
    ) -> Vec<Vec<PlannedPostProcessor>> {
        let chains = &self.candidate.build.post_processors;
        chains
            .iter()
            .map(|chain| self.chain(chain, selection))
            .filter(|chain| !chain.is_empty())
            .collect()
    }

    fn chain(
        &mut self,
        chain: &[ComponentBlock],
        selection: &Selection,
    ) -> Vec<PlannedPostProcessor> {
        let arguments = MetaArguments::of_post_processor();
        let strict = self.dialect == Dialect::Json;
        let mut planned = Vec::new();
        let mut input = self.built;
        for block in chain {
            let Some((meta, ingredients)) =
                self.parts::<PostProcessorMeta>(block, &arguments, strict)
            else {
                input = None;
                continue;
            };
            let name = meta.own.name.as_deref().unwrap_or(&block.kind.value);
            if selection.drops_post_processor(name) {
                break;
            }
            if meta.filter.takes(&self.candidate.names.filtered) {
                let mut one = self.post_processor(block, meta.own, ingredients);
                if let Some(one) = &mut one {
                    one.misfit = input.and_then(|input| one.first.refuses(input));
                    self.found.extend(misfit(one));
                }
                input = one.as_ref().and_then(|one| one.first.makes(input));
                planned.extend(one);
            }
        }
        planned
    }

    fn post_processor(
        &mut self,
        block: &ComponentBlock,
        meta: PostProcessorMeta,
        ingredients: ComponentInputs,
    ) -> Option<PlannedPostProcessor> {
        let (recipe, options, first) =
            self.recipe::<dyn PostProcessor>(&block.kind, ingredients)?;
        Some(PlannedPostProcessor {
            kind: block.kind.value.clone(),
            name: meta.name,
            span: block.kind.span,
            options,
            first,
            recipe,
            keep_input_artifact: meta.keep_input_artifact,
            misfit: None,
        })
    }

    /// A block's meta-`arguments`, and what its component is made from.
    /// `strict`: naming a source that does not exist is an error, not a warning.
    fn parts<M>(
        &mut self,
        block: &ComponentBlock,
        arguments: &MetaArguments,
        strict: bool,
    ) -> Option<(Meta<M>, ComponentInputs)>
    where
        (Filter, M): OptionGroups,
    {
        let (meta_body, body) = meta::split(&block.body, arguments);
        let ComponentInputs { facts, redactor, .. } = &self.ingredients;
        let (component, scope) = (block.kind.value.as_str(), &facts.scope);
        let with = Decoding { component, scope, redactor, beside: &[] };
        let meta: Result<Meta<M>, Diagnostics> = self
            .ingredients
            .with_body(meta_body)
            .evaluate(None)
            .and_then(|node| meta::read(&node, with));
        let meta = self.found.absorb(meta.map(|meta| (meta, Diagnostics::default())))?;
        self.check_names(&meta, strict);
        let over = meta.overrides.get(&self.candidate.names.overridden);
        let overrides = over.map(|entry| entry.value.clone());
        let ingredients = ComponentInputs { overrides, ..self.ingredients.with_body(body) };
        Some((meta, ingredients))
    }

    /// Whether `only`, `except` and `override` name sources of this build.
    fn check_names<M>(&mut self, meta: &Meta<M>, strict: bool) {
        let build = self.candidate.build;
        let known = candidate::filtered_names(build, self.dialect);
        for name in &meta.filter_names {
            self.check_name(name, &known, strict);
        }
        let known = candidate::overridden_names(build);
        for (name, entry) in &meta.overrides {
            self.check_name(&Spanned::new(name.clone(), entry.key), &known, strict);
        }
    }

    fn check_name(&mut self, name: &Spanned<String>, known: &[String], strict: bool) {
        self.found.extend(candidate::unknown_name(name, known).map(|unknown| match strict {
            true => unknown,
            false => unknown.into_warning(),
        }));
    }

    /// Makes the component once, so that its mistakes show: how, of what, and what came out.
    fn recipe<T: ComponentKind + ?Sized>(
        &mut self,
        name: &Spanned<String>,
        ingredients: ComponentInputs,
    ) -> Option<(Recipe<T>, Node, Box<T>)> {
        let descriptor =
            self.registry.find::<T>(name).map_err(|errors| self.found.extend(errors)).ok()?;
        let (options, first) = ingredients.first(&descriptor, self.found, self.lints)?;
        let recipe = Arc::new(move |data: &BuildData| ingredients.make(&descriptor, Some(data)));
        Some((recipe, options, first))
    }
}

/// What `one` cannot make anything of. A warning: Packer takes such a template for valid.
fn misfit(one: &PlannedPostProcessor) -> Option<Diagnostic> {
    let cause = one.misfit.clone()?;
    let summary = format!("`{}` can make nothing of what comes before it", one.kind);
    Some(Diagnostic::warning(code::OPTION_VALUE, summary).at(one.span).because(cause))
}
