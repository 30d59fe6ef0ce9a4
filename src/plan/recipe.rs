//! What a component is made from, once to check it and again when the machine is known.

use std::sync::Arc;

use crate::component::{Descriptor, Facts};
use crate::config::{Node, unknown_options};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::eval::{Place, Values};
use crate::interpolate::{BuildData, Scope};
use crate::plan::meta;
use crate::secret::Redactor;
use crate::template::ast::Body;

/// All that goes into one component of one build.
#[derive(Clone)]
pub(super) struct ComponentInputs {
    pub(super) values: Values,
    pub(super) body: Arc<Body>,
    /// Options that go over those of the body.
    pub(super) overrides: Option<Node>,
    pub(super) facts: Arc<Facts>,
    /// `build.name`, where the component may ask for it.
    pub(super) build_name: Option<String>,
    /// What the builder adds to `build.*`.
    pub(super) generated: Arc<[String]>,
    pub(super) redactor: Redactor,
}

impl ComponentInputs {
    /// The same for another block.
    pub(super) fn with_body(&self, body: Body) -> Self {
        Self { body: Arc::new(body), ..self.clone() }
    }

    /// Makes the component. Without `data` the machine is not known yet: what depends on it is
    /// only checked as far as it can be.
    pub(super) fn make<T: ?Sized>(
        &self,
        descriptor: &Descriptor<T>,
        data: Option<&BuildData>,
    ) -> Result<(Box<T>, Diagnostics), Diagnostics> {
        let (component, mut found) = self.prepare(descriptor, &self.options(data)?, data)?;
        // The plan has them already.
        found.take_lints();
        Ok((component, found))
    }

    /// The plain options, with what overrides them.
    pub(super) fn options(&self, data: Option<&BuildData>) -> Result<Node, Diagnostics> {
        Ok(meta::merge(self.evaluate(data)?, self.overrides.as_ref()))
    }

    /// The options for a first look at the component. If they have no values, names that are no
    /// options are still said.
    fn first_options<T: ?Sized>(&self, descriptor: &Descriptor<T>) -> Result<Node, Diagnostics> {
        self.options(None).map_err(|mut errors| {
            let Body { attributes, blocks, .. } = &*self.body;
            let arguments = attributes.iter().map(|(name, one)| (name.as_str(), one.name));
            let blocks = blocks.iter().filter(|block| block.kind.value != "dynamic");
            let blocks = blocks.map(|block| (block.kind.value.as_str(), block.kind.span));
            let component = &descriptor.description;
            let schema = component.options.schema();
            let beside = self.facts.options_beside(&schema);
            let schema = schema.filled(&beside);
            errors.extend(unknown_options(&component.name, &schema, arguments.chain(blocks)));
            errors
        })
    }

    /// Makes the component for the first time, with its options. What its lints have found goes to
    /// `lints`, all else to `found`.
    pub(super) fn first<T: ?Sized>(
        &self,
        descriptor: &Descriptor<T>,
        found: &mut Diagnostics,
        lints: &mut Vec<Diagnostic>,
    ) -> Option<(Node, Box<T>)> {
        let options = self.first_options(descriptor).map_err(|errors| found.extend(errors)).ok()?;
        let mut own = Diagnostics::default();
        let component = own.absorb(self.prepare(descriptor, &options, None));
        lints.extend(own.take_lints());
        found.extend(own);
        Some((options, component?))
    }

    /// Makes the component of `options`; see [`make`](Self::make).
    pub(super) fn prepare<T: ?Sized>(
        &self,
        descriptor: &Descriptor<T>,
        options: &Node,
        data: Option<&BuildData>,
    ) -> Result<(Box<T>, Diagnostics), Diagnostics> {
        match data {
            None => (descriptor.prepare)(options, &self.facts, &self.redactor),
            Some(data) => {
                let build_data = Some(data.clone());
                let scope = Scope { build_data, ..self.facts.scope.clone() };
                let facts = Facts { scope, ..Facts::clone(&self.facts) };
                (descriptor.prepare)(options, &facts, &self.redactor)
            }
        }
    }

    /// The plain options.
    pub(super) fn evaluate(&self, data: Option<&BuildData>) -> Result<Node, Diagnostics> {
        let place = Place {
            source: Some((&self.facts.builder_type, &self.facts.build_name)),
            build_name: self.build_name.as_deref(),
            generated: &self.generated,
            build_data: data,
        };
        self.values.body(&self.body, &place)
    }
}
