//! Components of plugins, as the registry knows them.

use std::sync::Arc;

use super::builder::PluginBuilder;
use super::data_source::PluginDataSource;
use super::login::WinRmFlags;
use super::options;
use super::post_processor::PluginPostProcessor;
use super::prepare::{self, Accepted, Options};
use super::provisioner::PluginProvisioner;
use super::remote::{Identity, Remote};
use super::spec::{self, Item, Spec, Type};
use crate::component::{
    Builder, DataSource, Declared, Description, Descriptor, Facts, OutputType, PostProcessor,
    Provisioner,
};
use crate::config::{Node, OptionSchema};
use crate::diagnostic::Diagnostics;

impl Remote {
    /// As the registry knows a builder.
    pub fn builder(&self) -> Descriptor<dyn Builder> {
        self.descriptor(|remote, options, accepted, body| {
            let winrm = WinRmFlags::of(body);
            Box::new(PluginBuilder::new(remote, options, winrm, accepted.generated))
        })
    }

    /// As the registry knows a provisioner.
    pub fn provisioner(&self) -> Descriptor<dyn Provisioner> {
        self.descriptor(|remote, options, _, _| Box::new(PluginProvisioner::new(remote, options)))
    }

    /// As the registry knows a post-processor.
    pub fn post_processor(&self) -> Descriptor<dyn PostProcessor> {
        self.descriptor(|remote, options, _, _| Box::new(PluginPostProcessor::new(remote, options)))
    }

    /// As the registry knows a data source.
    pub fn data_source(&self) -> Descriptor<dyn DataSource> {
        let mut descriptor: Descriptor<dyn DataSource> = self
            .descriptor(|remote, options, _, _| Box::new(PluginDataSource::new(remote, options)));
        match self.output_spec() {
            Ok(outputs) => {
                let outputs = outputs.iter().map(|(name, item)| (name.clone(), output_type(item)));
                descriptor.description.outputs = outputs.collect();
            }
            // Nobody knows what may be asked of it: that is said where it stands.
            Err(error) => {
                let name = self.identity().name.clone();
                descriptor.prepare =
                    Arc::new(move |body, _, _| Err(prepare::unusable(&name, body.span, &error)));
            }
        }
        descriptor
    }

    /// The component with its schema. One whose schema cannot be had says so where it is used.
    fn descriptor<T: ?Sized + 'static>(
        &self,
        make: fn(Self, Options, Accepted, &Node) -> Box<T>,
    ) -> Descriptor<T> {
        let spec = self.spec().unwrap_or_default();
        let Identity { name, source, version, .. } = self.identity();
        let description = Description {
            name: name.clone(),
            about: format!("A component of the plugin {source} {version}."),
            options: Declared::BySchema(Arc::new(schema(&spec))),
            build_data: Arc::default(),
            outputs: Arc::default(),
        };
        let remote = self.clone();
        let prepare = move |body: &Node, facts: &Facts| -> Result<_, Diagnostics> {
            let options = Options::of(&remote, body, facts)?;
            // Once the machine is known, the component checks them where it works.
            let (accepted, warnings) = match options.know_the_machine() {
                true => Default::default(),
                false => options.check(&remote, body)?,
            };
            Ok((make(remote.clone(), options, accepted, body), warnings))
        };
        Descriptor {
            description,
            prepare: Arc::new(move |body, facts, redactor| {
                options::hide_secrets(body, redactor);
                prepare(body, facts)
            }),
        }
    }
}

/// The options that people give. Specs list, too, what a plugin is told of its build.
fn schema(spec: &Spec) -> OptionSchema {
    let given = spec.iter().filter(|(name, _)| !name.starts_with("packer_"));
    OptionSchema::of_json(&spec::schema(&given.cloned().collect()))
}

fn output_type(item: &Item) -> OutputType {
    match item.ty() {
        Type::String => OutputType::String,
        Type::Map(of) if *of == Type::String => OutputType::Strings,
        _ => OutputType::Any,
    }
}
