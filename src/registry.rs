//! Which components there are: a value that a session owns. `built_in` lists those that it begins with;
//! others are added while the program runs.

#[cfg(feature = "aws")]
mod aws;
#[cfg(not(feature = "aws"))]
#[path = "registry/without_aws.rs"]
mod aws;
mod built_in;
#[cfg(feature = "docker")]
mod docker;
#[cfg(not(feature = "docker"))]
#[path = "registry/without_docker.rs"]
mod docker;
mod external;
pub mod plugins;
mod upgrade;

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::builder;
use crate::builder::vagrant::VagrantCleaner;
use crate::communicator::{Connector, Connectors};
use crate::component::{
    Builder, Cleaner, CleanupContext, ConnectorOptions, DataSource, Described, Descriptor,
    PostProcessor, Provisioner,
};
use crate::config::OptionSchema;
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::env::Environment;
use crate::plugin::{Choice, Programs};
use crate::registry::plugins::Plugins;
use crate::source::Spanned;
use crate::template::ast::{self, RequiredPlugin, Template};

pub use self::aws::with_secrets;

/// Those who clean up after dead runs, with the credentials that their tools find by themselves.
pub fn cleaners(cx: &CleanupContext) -> Vec<Box<dyn Cleaner>> {
    let vagrant: Box<dyn Cleaner> = Box::new(VagrantCleaner { cx: cx.clone() });
    let local = vec![vagrant, Box::new(builder::DirectoryCleaner { cx: cx.clone() })];
    [aws::cleaners(cx), docker::cleaners(cx), local].into_iter().flatten().collect()
}

/// All components that a session knows. A clone costs next to nothing.
#[derive(Clone)]
pub struct Registry {
    builders: Kind<dyn Builder>,
    provisioners: Kind<dyn Provisioner>,
    post_processors: Kind<dyn PostProcessor>,
    data_sources: Kind<dyn DataSource>,
    connectors: Kind<dyn Connector>,
    /// What a template calls the plugins that it asks for.
    plugins: Plugins,
    /// The plugins that are installed.
    programs: Arc<Programs>,
    /// Which of their versions count.
    choice: Choice,
}

impl Registry {
    /// The components that are built in.
    pub fn built_in() -> Self {
        Self {
            builders: built_in::builders(),
            provisioners: built_in::provisioners(),
            post_processors: built_in::post_processors(),
            data_sources: built_in::data_sources(),
            connectors: built_in::connectors(),
            plugins: Plugins::default(),
            programs: Arc::default(),
            choice: Choice::default(),
        }
    }

    /// The same, for which only this `choice` of the installed plugins is there.
    pub fn choosing(&self, choice: Choice) -> Self {
        Self { choice, ..self.clone() }
    }

    /// Adds a component. One of the same kind and name gives way to it.
    pub fn add<T: ComponentKind + ?Sized>(&mut self, descriptor: Descriptor<T>) {
        T::kind_mut(self).add(descriptor);
    }

    /// The components that `template` can use: the same under the names that it gives to their plugins,
    /// and those that it uses of installed plugins.
    pub fn for_template(&self, template: &Template, environment: &Arc<Environment>) -> Self {
        let mut own = self.clone();
        own.plugins = external::add(&mut own, template, environment);
        own
    }

    /// The same with the components `name` of installed plugins, where nothing else is called so.
    pub fn with_installed(&self, name: &str, environment: &Arc<Environment>) -> Self {
        let mut own = self.clone();
        external::add_named(&mut own, name, environment);
        own
    }

    /// The components of installed plugins, beside those that are built in: what they are, what they are
    /// called, and of which plugin they are.
    pub fn installed(&self, environment: &Environment) -> Vec<(ast::Role, String, String)> {
        external::installed(self, environment)
    }

    /// Whether `template` needs the program of the plugin `required`, beside what is built in of it.
    pub fn needs_program(&self, template: &Template, required: &RequiredPlugin) -> bool {
        external::needs_program(self, template, required)
    }

    /// Whether some of the components are programs of their own.
    pub fn runs_programs(&self) -> bool {
        self.programs.has_components()
    }

    /// The plugins that the template asks for.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// The component that a template calls `name`.
    pub fn find<T: ComponentKind + ?Sized>(
        &self,
        name: &Spanned<String>,
    ) -> Result<Arc<Descriptor<T>>, Diagnostics> {
        let kind = T::kind(self);
        let own = || kind.get(&self.plugins.built_in_name(&name.value)?);
        match kind.get(&name.value).or_else(own) {
            Some(found) => Ok(found.clone()),
            None => Err(kind.refuse(name, &self.plugins).into()),
        }
    }

    /// All components of the role that a block of a template has.
    pub fn kind_of(&self, role: ast::Role) -> &dyn AnyKind {
        match role {
            ast::Role::Builder => &self.builders,
            ast::Role::Provisioner => &self.provisioners,
            ast::Role::PostProcessor => &self.post_processors,
            ast::Role::DataSource => &self.data_sources,
        }
    }

    /// All components, by what they act as.
    pub fn kinds(&self) -> impl Iterator<Item = &dyn AnyKind> {
        let own: [&dyn AnyKind; 5] = [
            &self.builders,
            &self.provisioners,
            &self.post_processors,
            &self.data_sources,
            &self.connectors,
        ];
        own.into_iter()
    }

    /// What builders may connect with.
    pub fn connectors(&self) -> Arc<dyn ConnectorOptions> {
        Arc::new(Connectors::new(self.connectors.known.clone()))
    }

    /// The options of a component, with those that it takes of connectors.
    pub fn options_of(&self, component: &dyn Described) -> Arc<OptionSchema> {
        let schema = component.description().options.schema();
        match schema.takes_others() {
            true => schema.filled(&self.connectors().schemas()),
            false => schema,
        }
    }

    /// The components of `template` that nobody knows, each in words.
    pub fn unknown_components(&self, template: &Template) -> Vec<String> {
        let unknown = template.components().into_iter().filter_map(|(role, name)| {
            let kind = self.kind_of(role);
            (!kind.knows(&name)).then(|| format!("there is no {} `{name}`", kind.name()))
        });
        unknown.collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |kind: &dyn AnyKind| {
            kind.components().map(|one| one.description().name.clone()).collect::<Vec<_>>()
        };
        f.debug_map().entries(self.kinds().map(|kind| (kind.name(), names(kind)))).finish()
    }
}

/// The components that act as a `T`.
pub struct Kind<T: ?Sized> {
    name: &'static str,
    known: Arc<IndexMap<String, Arc<Descriptor<T>>>>,
    not_built: &'static [&'static str],
}

impl<T: ?Sized> Clone for Kind<T> {
    fn clone(&self) -> Self {
        Self { known: self.known.clone(), ..*self }
    }
}

/// A [`Kind`], whatever its components act as.
pub trait AnyKind {
    /// How messages call the kind.
    fn name(&self) -> &'static str;
    /// By name.
    fn components(&self) -> Box<dyn Iterator<Item = &dyn Described> + '_>;
    /// The component `name`.
    fn component(&self, name: &str) -> Option<&dyn Described>;
    /// Those of Packer and its plugins that are known, but not built in.
    fn not_built(&self) -> &'static [&'static str];

    /// Whether there is a component `name`, built or not.
    fn knows(&self, name: &str) -> bool {
        self.component(name).is_some() || self.not_built().contains(&name)
    }
}

impl<T: ?Sized + 'static> AnyKind for Kind<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn components(&self) -> Box<dyn Iterator<Item = &dyn Described> + '_> {
        Box::new(self.known.values().map(|descriptor| -> &dyn Described { &**descriptor }))
    }

    fn component(&self, name: &str) -> Option<&dyn Described> {
        self.get(name).map(|descriptor| -> &dyn Described { &**descriptor })
    }

    fn not_built(&self) -> &'static [&'static str] {
        self.not_built
    }
}

impl<T: ?Sized + 'static> Kind<T> {
    fn new(name: &'static str, not_built: &'static [&'static str]) -> Self {
        Self { name, known: Arc::default(), not_built }
    }

    fn with(mut self, descriptors: impl IntoIterator<Item = Descriptor<T>>) -> Self {
        descriptors.into_iter().for_each(|descriptor| self.add(descriptor));
        self
    }

    fn add(&mut self, descriptor: Descriptor<T>) {
        let known = Arc::make_mut(&mut self.known);
        known.insert(descriptor.description.name.clone(), Arc::new(descriptor));
    }

    fn get(&self, name: &str) -> Option<&Arc<Descriptor<T>>> {
        self.known.get(name)
    }

    /// Why a template that asks for these `plugins` has no component `name`.
    fn refuse(&self, name: &Spanned<String>, plugins: &Plugins) -> Diagnostic {
        let (kind, wanted) = (self.name, name.value.as_str());
        let built = || self.known.keys().map(String::as_str);
        let built_names = || format!("built: {}", built().collect::<Vec<_>>().join(", "));
        let refused = |code, summary| Diagnostic::error(code, summary).at(name.span);
        if let Some(why) = plugins.why_not(wanted) {
            let summary = format!("the {kind} `{wanted}` cannot be used");
            return refused(code::PLUGIN, summary).because(why.cause.as_str()).help(why.help);
        }
        let is_known = self.not_built.contains(&wanted);
        if is_known && plugins.source_of(wanted).is_none() {
            let summary = format!("the {kind} `{wanted}` is not built yet");
            return refused(code::NOT_BUILT, summary)
                .because("imgbake knows it, but does not have it")
                .help(built_names());
        }
        if let Some(feature) = plugins::left_out(wanted) {
            return refused(code::NOT_BUILT, format!("this imgbake has no {kind} `{wanted}`"))
                .because(format!("it was compiled without the feature `{feature}`"))
                .help("compile it with its default features, or take a released program");
        }
        let known = built().chain(self.not_built.iter().copied());
        let meant = did_you_mean(wanted, known).filter(|_| !is_known);
        let help = match (meant, plugins.source_of(wanted)) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, None) => built_names(),
            (None, Some(source)) => {
                let summary = format!("the {kind} `{wanted}` is of the plugin `{source}`");
                return refused(code::NOT_BUILT, summary)
                    .because("the plugin is not installed")
                    .help(plugins.to_install(wanted, source));
            }
        };
        let found = refused(code::UNKNOWN_COMPONENT, format!("there is no {kind} `{wanted}`"));
        found.because("unknown type").help(help)
    }
}

/// What a component acts as: the trait by which the rest of the program knows it.
pub trait ComponentKind: 'static {
    /// Those of `registry`.
    fn kind(registry: &Registry) -> &Kind<Self>;
    /// The same, to add to them.
    fn kind_mut(registry: &mut Registry) -> &mut Kind<Self>;
}

/// What components act as, and the registry's field for them.
macro_rules! acts_as {
    ($role:ident, $field:ident) => {
        impl ComponentKind for dyn $role {
            fn kind(registry: &Registry) -> &Kind<Self> {
                &registry.$field
            }
            fn kind_mut(registry: &mut Registry) -> &mut Kind<Self> {
                &mut registry.$field
            }
        }
    };
}
acts_as!(Builder, builders);
acts_as!(Provisioner, provisioners);
acts_as!(PostProcessor, post_processors);
acts_as!(DataSource, data_sources);
acts_as!(Connector, connectors);
