//! What the builds of a plan are made from.

use std::collections::HashMap;

use crate::fingerprint::{Fingerprint, Ingredients};
use crate::plan::{Plan, PlannedBuild};
use crate::secret::Redactor;

impl Plan {
    /// The builds of this plan have fingerprints from now on. `timeless` is the same plan, made when
    /// neither clock nor chance says anything; `redactor` knows the secrets of both.
    pub fn take_fingerprints(&mut self, timeless: &Self, redactor: &Redactor) {
        let timeless = timeless.builds.iter().map(|build| (build.name.as_str(), build));
        let timeless: HashMap<_, _> = timeless.collect();
        for build in &mut self.builds {
            let same = timeless.get(build.name.as_str());
            let ingredients = same.and_then(|same| same.ingredients(redactor));
            build.fingerprint = ingredients.map(Fingerprint::from).unwrap_or_default();
        }
    }
}

impl PlannedBuild {
    /// What it is made from, if its options and the files that they name are all.
    ///
    /// A secret among the builder's options opens doors on the way to the image. One that a provisioner
    /// gets may be in the image itself: without it the fingerprint would say too little, and with it
    /// too much.
    fn ingredients(&self, redactor: &Redactor) -> Option<Ingredients> {
        let scope = &self.facts.scope;
        let mut of_builder = Ingredients::default();
        of_builder.add_text(&self.name);
        of_builder.add(&self.facts.builder_type, &self.options, scope);
        of_builder.add_files(self.builder.reads()?);
        let mut of_provisioners = Ingredients::default();
        for provisioner in &self.provisioners {
            of_provisioners.add(&provisioner.kind, &provisioner.options, scope);
            of_provisioners.add_files(provisioner.reads.clone()?);
        }
        let is_open = !of_provisioners.has_secret(redactor);
        is_open.then(|| of_builder.without_secrets(redactor).and(of_provisioners))
    }
}
