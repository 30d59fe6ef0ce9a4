//! What the builds of a plan are made from.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::env::{Environment, FINGERPRINT_KEY};
use crate::fingerprint::{Fingerprint, Ingredients, Kind};
use crate::plan::{Plan, PlannedBuild, PlannedProvisioner};
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
            let same = timeless.get(build.name.as_str());
            let by_clock = || vec!["the time at which it is planned".to_owned()];
            let made_from = same.ok_or_else(by_clock);
            let made_from = made_from.and_then(|same| same.ingredients(sources, redactor));
            build.fingerprint = made_from.map_or_else(Fingerprint::unknown, Fingerprint::from);
        }
    }
}

impl PlannedBuild {
    /// What it is made from, or what it depends on beside that and nobody can tell.
    ///
    /// A secret among the builder's options opens doors on the way to the image. One that a provisioner
    /// gets may be in the image itself: without it the fingerprint would say too little, and with it
    /// too much: whoever sees a digest that is made without a key could try out what the secret is.
    fn ingredients(
        &self,
        sources: &SourceMap,
        redactor: &Redactor,
    ) -> Result<Ingredients, Vec<String>> {
        let scope = &self.facts.scope;
        let key = scope.environment.fingerprint_key.clone();
        key.iter().for_each(|key| redactor.register(key.expose()));
        let mut unseen = Vec::new();
        let mut of_builder = Ingredients::default().keyed(key);
        of_builder.add_text(Kind::Option, "name", &self.name);
        of_builder.add_text(Kind::Option, "type", &self.facts.builder_type);
        of_builder.add_options(&self.options, scope);
        match self.builder.reads() {
            Some(files) => of_builder.add_files(files),
            None => unseen.push(format!("the builder `{}`", self.facts.builder_type)),
        }
        let mut of_provisioners = Ingredients::default();
        for provisioner in &self.provisioners {
            of_provisioners.add_provisioner(&provisioner.kind, &provisioner.options, scope);
            match provisioner.inputs(sources, &scope.environment, &mut of_provisioners) {
                Ok(()) => {}
                Err(why) => unseen.push(format!("{} ({why})", provisioner.shown(sources))),
            }
        }
        if !of_builder.is_keyed() && of_provisioners.has_secret(redactor) {
            unseen.push(format!("a secret of a provisioner ({FINGERPRINT_KEY} is not set)"));
        }
        match unseen.is_empty() {
            true => Ok(of_builder.without_secrets(redactor).and(of_provisioners)),
            false => Err(unseen),
        }
    }
}

impl PlannedProvisioner {
    /// Its type and where it stands.
    fn shown(&self, sources: &SourceMap) -> String {
        format!("`{}` at {}", self.kind, sources.locate(self.span))
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
