//! What a type of component declares, and how the registry knows it and makes one of a body.

use std::fmt;
use std::sync::Arc;

use crate::component::check::Check;
use crate::component::facts::Facts;
use crate::config::{Decoding, Node, OptionGroups, OptionSchema, decode, decode_by_schema};
use crate::diagnostic::Diagnostics;
use crate::eval::OutputType;
use crate::secret::Redactor;

/// A type of builder, provisioner, post-processor, data source or connector, as templates name it.
pub trait Component: Sized {
    /// The name in templates, e.g. `amazon-ebs`.
    const TYPE: &'static str;
    /// What it does, in one sentence for `imgbake explain`.
    const ABOUT: &'static str;
    /// Names that a builder adds to `build.*`, beside those that every builder has.
    const BUILD_DATA: &'static [&'static str] = &[];
    /// What a data source answers, by name.
    const OUTPUTS: &'static [(&'static str, OutputType)] = &[];
    /// The structs that declare the options.
    type Options: OptionGroups;
    /// Warns of what the options may say, but their author rarely wants: with codes of lints, which
    /// `validate` shows as its flags and the template's comments say.
    fn lint(_options: &Self::Options, _check: &mut Check<'_>) {}
    /// Checks the options together and makes the component; `None` after reporting errors.
    fn prepare(options: Self::Options, check: &mut Check<'_>) -> Option<Self>;
}

/// Decodes and prepares a `C` from its evaluated body. Warnings come back beside it.
pub fn prepare<C: Component>(
    body: &Node,
    facts: &Facts,
    redactor: &Redactor,
) -> Result<(C, Diagnostics), Diagnostics> {
    let schema = C::Options::schema();
    let beside = facts.options_beside(&schema);
    let with = Decoding { component: C::TYPE, scope: &facts.scope, redactor, beside: &beside };
    let mut found = Diagnostics::default();
    let options = decode::<C::Options>(body, with).map_err(|errors| found.extend(errors)).ok();
    if schema.takes_others() {
        found.extend(facts.connectors.find_faults(body, facts, redactor));
    }
    let Some(options) = options.filter(|_| !found.has_errors()) else { return Err(found) };
    let mut check =
        Check::new(C::TYPE, body, facts, redactor).with_schemas([vec![schema], beside].concat());
    C::lint(&options, &mut check);
    let component = C::prepare(options, &mut check);
    check.into_result(component)
}

/// What there is to know of a component, as data.
#[derive(Clone, Debug)]
pub struct Description {
    /// The name in templates.
    pub name: String,
    /// What it does, in one sentence.
    pub about: String,
    /// Its options.
    pub options: Declared,
    /// See [`Component::BUILD_DATA`].
    pub build_data: Arc<[String]>,
    /// See [`Component::OUTPUTS`].
    pub outputs: Arc<[(String, OutputType)]>,
}

/// Who declares the options of a component. A registry names dozens of components, of which a template
/// uses two: the schema of a struct is made when somebody asks for it.
#[derive(Clone, Debug)]
pub enum Declared {
    /// The structs of a built-in component.
    ByStructs(fn() -> Arc<OptionSchema>),
    /// A schema that was read while the program runs.
    BySchema(Arc<OptionSchema>),
}

impl Declared {
    /// The options.
    pub fn schema(&self) -> Arc<OptionSchema> {
        match self {
            Self::ByStructs(schema) => schema(),
            Self::BySchema(schema) => schema.clone(),
        }
    }
}

/// How the registry knows a component that acts as a `T` (`dyn Builder`, `dyn Provisioner`, …).
pub struct Descriptor<T: ?Sized> {
    /// What it is.
    pub description: Description,
    /// How it is made of a body.
    pub prepare: Prepare<T>,
}

/// Checks a body and makes a component of it; see [`prepare`].
pub type Prepare<T> = Arc<
    dyn Fn(&Node, &Facts, &Redactor) -> Result<(Box<T>, Diagnostics), Diagnostics> + Send + Sync,
>;

impl<T: ?Sized + 'static> Descriptor<T> {
    /// A built-in component, which `act` makes a `T` of.
    pub fn of<C: Component + 'static>(act: fn(C) -> Box<T>) -> Self {
        let output = |&(name, ty): &(&str, OutputType)| (name.to_owned(), ty);
        Self {
            description: Description {
                name: C::TYPE.to_owned(),
                about: C::ABOUT.to_owned(),
                options: Declared::ByStructs(C::Options::schema),
                build_data: C::BUILD_DATA.iter().map(|&name| name.to_owned()).collect(),
                outputs: C::OUTPUTS.iter().map(output).collect(),
            },
            prepare: Arc::new(move |body, facts, redactor| {
                let (component, warnings) = prepare::<C>(body, facts, redactor)?;
                Ok((act(component), warnings))
            }),
        }
    }

    /// A component that is known only while the program runs: `schema` is that of an object, whose
    /// properties are the options. `make` gets those that are given, decoded and checked.
    pub fn by_schema<M>(
        name: impl Into<String>,
        about: impl Into<String>,
        schema: &serde_json::Value,
        make: M,
    ) -> Self
    where
        M: Fn(serde_json::Map<String, serde_json::Value>, &mut Check<'_>) -> Option<Box<T>>
            + Send
            + Sync
            + 'static,
    {
        let (name, schema) = (name.into(), Arc::new(OptionSchema::of_json(schema)));
        let description = Description {
            name: name.clone(),
            about: about.into(),
            options: Declared::BySchema(schema.clone()),
            build_data: Arc::default(),
            outputs: Arc::default(),
        };
        let prepare: Prepare<T> = Arc::new(move |body, facts, redactor| {
            let scope = &facts.scope;
            let with = Decoding { component: &name, scope, redactor, beside: &[] };
            let options = decode_by_schema(&schema, body, with)?;
            let mut check =
                Check::new(&name, body, facts, redactor).with_schemas(vec![schema.clone()]);
            let component = make(options, &mut check);
            check.into_result(component)
        });
        Self { description, prepare }
    }
}

/// A component, whatever it acts as.
pub trait Described {
    /// What there is to know of it.
    fn description(&self) -> &Description;
    /// What it finds wrong with `body`.
    fn find_faults(&self, body: &Node, facts: &Facts, redactor: &Redactor) -> Diagnostics;
}

impl<T: ?Sized> Described for Descriptor<T> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn find_faults(&self, body: &Node, facts: &Facts, redactor: &Redactor) -> Diagnostics {
        match (self.prepare)(body, facts, redactor) {
            Ok((_, found)) | Err(found) => found,
        }
    }
}

impl<T: ?Sized> fmt::Debug for Descriptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor").field("name", &self.description.name).finish_non_exhaustive()
    }
}
