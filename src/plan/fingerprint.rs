//! What the builds of a plan are made from.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::component::ImageTest;
use crate::config::NodeKind;
use crate::env::{Environment, FINGERPRINT_KEY};
use crate::fingerprint::{Fingerprint, Ingredients, Kind};
use crate::interpolate::Scope;
use crate::plan::planned::{Plan, PlannedBuild, PlannedPostProcessor, PlannedProvisioner};
use crate::secret::Redactor;
use crate::source::SourceMap;

/// How many files a comment may declare.
const MOST_FILES: usize = 10_000;

impl Plan {
    /// The builds of this plan have fingerprints from now on. `timeless` is the same plan, made when
    /// neither clock nor chance says anything, from `sources`, if it can be made then; `redactor` knows
    /// the secrets of both.
    pub fn set_fingerprints(
        &mut self,
        timeless: Option<&Self>,
        sources: &SourceMap,
        redactor: &Redactor,
    ) {
        let timeless = timeless.into_iter().flat_map(|plan| &plan.builds);
        let timeless = timeless.map(|build| (build.name.as_str(), build));
        let timeless: HashMap<_, _> = timeless.collect();
        for build in &mut self.builds {
            let made_from = match timeless.get(build.name.as_str()) {
                Some(same) => same.ingredients(sources, redactor),
                None => {
                    let mut nothing = Ingredients::default();
                    nothing.add_unseen("the time at which it is planned".to_owned());
                    nothing
                }
            };
            build.fingerprint = Fingerprint::from(made_from);
        }
    }
}

impl PlannedBuild {
    /// What it is made from: first what the machine starts from, then each provisioner with what it
    /// reads, then what is only about the image, and last the tests that it passes: one that has passed
    /// others, or none, is another image.
    ///
    /// A secret among the builder's options opens doors on the way to the image. One that a provisioner
    /// gets may be in the image itself: without it the fingerprint would say too little, and with it
    /// too much: whoever sees a digest that is made without a key could try out what the secret is.
    fn ingredients(&self, sources: &SourceMap, redactor: &Redactor) -> Ingredients {
        let scope = &self.facts.scope;
        let key = scope.environment.fingerprint_key.clone();
        key.iter().for_each(|key| redactor.register(key.expose()));
        let mut machine = Ingredients::default().keyed(key);
        machine.add_text(Kind::Option, "name", &self.name);
        machine.add_text(Kind::Option, "type", &self.facts.builder_type);
        let is_image = |name: &str| self.builder.is_image_option(name);
        machine.add_options(Kind::Option, &self.options, scope, |name| !is_image(name));
        match self.builder.reads() {
            Some(files) => machine.add_files(files),
            None => machine.add_unseen(format!("the builder `{}`", self.facts.builder_type)),
        }
        let mut of_provisioners = Ingredients::default();
        for provisioner in &self.provisioners {
            let mut one = provisioner.ingredients(sources, scope);
            if !machine.is_keyed() && one.has_secret(redactor) {
                let shown = provisioner.shown(sources);
                one.add_unseen(format!("a secret of {shown} ({FINGERPRINT_KEY} is not set)"));
            }
            of_provisioners = of_provisioners.and(one);
        }
        let mut image = Ingredients::default();
        image.add_options(Kind::Image, &self.options, scope, is_image);
        image = self.tests(scope).into_iter().fold(image, Ingredients::and);
        let image = image.without_secrets(redactor);
        machine.without_secrets(redactor).and(of_provisioners).and(image)
    }

    /// Its tests, each with the files that it reads.
    fn tests(&self, scope: &Scope) -> Vec<Ingredients> {
        let all = self.post_processors.iter().flatten();
        let tests = all.filter_map(|one| Some((one, one.first.image_test()?)));
        let of = |(one, test): (&PlannedPostProcessor, ImageTest<'_>)| {
            let (mut found, mut options) = (Ingredients::default(), one.options.clone());
            if let NodeKind::Map(entries) = &mut options.kind {
                // It says nothing of an image that has passed.
                entries.shift_remove("keep_failed");
            }
            found.add_component(Kind::Test, &one.kind, &options, scope);
            match test.checks.reads() {
                Some(files) => found.add_files(files),
                None => found.add_unseen(format!("the test `{}`", one.kind)),
            }
            found
        };
        tests.map(of).collect()
    }
}

impl PlannedProvisioner {
    /// Its type and where it stands.
    fn shown(&self, sources: &SourceMap) -> String {
        format!("`{}` at {}", self.kind, sources.locate(self.span))
    }

    /// What it depends on.
    fn ingredients(&self, sources: &SourceMap, scope: &Scope) -> Ingredients {
        let mut found = Ingredients::default();
        found.add_component(Kind::Provisioner, &self.kind, &self.options, scope);
        if let Some((source, version)) = &self.plugin {
            found.add_text(Kind::Plugin, source, version);
        }
        if let Err(why) = self.inputs(sources, &scope.environment, &mut found) {
            found.add_unseen(format!("{} ({why})", self.shown(sources)));
        }
        found
    }

    /// Adds what it depends on beside its options: what a comment before it declares, else the files
    /// that it reads.
    fn inputs(
        &self,
        sources: &SourceMap,
        environment: &Environment,
        found: &mut Ingredients,
    ) -> Result<(), String> {
        let file = sources.file(self.span.file);
        let line = file.position(self.span.start as usize).line;
        let mut declared = file.asked_at(line, "inputs").peekable();
        if self.reads.is_none() && declared.peek().is_none() {
            return Err("what it reads is not known".to_owned());
        }
        found.add_files(self.reads.iter().flatten().cloned());
        let names = declared.flat_map(|list| list.split(',')).map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            match is_variable(name) {
                true => {
                    let value = environment.get(name).unwrap_or_default();
                    found.add_text(Kind::Variable, name, value);
                }
                false => found.add_files(files(name, environment)?),
            }
        }
        Ok(())
    }
}

/// Whether `name` is one of a variable of the environment, and no pattern of files.
fn is_variable(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The files that `pattern` fits.
fn files(pattern: &str, environment: &Environment) -> Result<Vec<PathBuf>, String> {
    // `**` alone fits directories only.
    let all = if pattern.ends_with("**") { format!("{pattern}/*") } else { pattern.to_owned() };
    let found = glob::glob(&all).map_err(|error| format!("{pattern}: {error}"))?;
    let mut files = Vec::new();
    for file in found {
        let file = file.map_err(|error| format!("{pattern}: {error}"))?;
        environment.reach.check(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        files.extend(file.is_file().then_some(file));
        if files.len() > MOST_FILES {
            return Err(format!("{pattern}: these are more than {MOST_FILES} files"));
        }
    }
    match files.is_empty() {
        true => Err(format!("no file fits {pattern}")),
        false => Ok(files),
    }
}
