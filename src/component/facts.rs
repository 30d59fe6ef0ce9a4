//! What is known of a build before it runs.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::config::{Node, OptionSchema};
use crate::diagnostic::Diagnostics;
use crate::interpolate::{BuildData, Scope};
use crate::secret::Redactor;

/// The options of the connectors that the session's registry has: those components take them beside
/// their own whose schema [says so](OptionSchema::takes_others). This room knows no connector; the room
/// `communicator` makes one of them.
pub trait ConnectorOptions: Any + fmt::Debug + Send + Sync {
    /// What each declares.
    fn schemas(&self) -> Vec<Arc<OptionSchema>>;
    /// What of `body` none of them can read, so that one run shows the errors of all.
    fn find_faults(&self, body: &Node, facts: &Facts, redactor: &Redactor) -> Diagnostics;
}

/// Where nobody connects to anything.
#[derive(Debug)]
struct NoConnectors;

impl ConnectorOptions for NoConnectors {
    fn schemas(&self) -> Vec<Arc<OptionSchema>> {
        Vec::new()
    }

    fn find_faults(&self, _: &Node, _: &Facts, _: &Redactor) -> Diagnostics {
        Diagnostics::default()
    }
}

/// What is known of a build before it runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The name of the source, e.g. `ubuntu` of `web.amazon-ebs.ubuntu`: what `{{build_name}}`,
    /// PACKER_BUILD_NAME and the manifest say. Two builds of a run may have the same.
    pub build_name: String,
    /// What tells the build from all others of its run, e.g. `web.amazon-ebs.ubuntu`: the journal and the
    /// tags of AMIs know it by this name.
    pub unique_name: String,
    /// The type of its builder.
    pub builder_type: String,
    /// `-force`.
    pub force: bool,
    /// `-debug`.
    pub debug: bool,
    /// The names of the variables whose values are secret.
    pub sensitive_variables: Arc<[String]>,
    /// What `{{ … }}` texts may know, and through it the environment.
    pub scope: Scope,
    /// What builders may connect with.
    pub connectors: Arc<dyn ConnectorOptions>,
}

impl Facts {
    /// What is known where there is no build.
    pub fn without_build(builder_type: &str, scope: Scope) -> Self {
        Self {
            build_name: String::new(),
            unique_name: String::new(),
            builder_type: builder_type.to_owned(),
            force: false,
            debug: false,
            sensitive_variables: Arc::default(),
            scope,
            connectors: Arc::new(NoConnectors),
        }
    }

    /// The same, with these connectors to choose from.
    pub fn with_connectors(self, connectors: Arc<dyn ConnectorOptions>) -> Self {
        Self { connectors, ..self }
    }

    /// What others read from the body of a component with the options `schema`.
    pub fn options_beside(&self, schema: &OptionSchema) -> Vec<Arc<OptionSchema>> {
        if schema.takes_others() { self.connectors.schemas() } else { Vec::new() }
    }

    /// The same, of a build that is called `name` by everybody.
    pub fn named(self, name: &str) -> Self {
        Self { build_name: name.to_owned(), unique_name: name.to_owned(), ..self }
    }

    /// The same, with what a running machine (or the one that an artifact was made from) says.
    pub fn with_build_data(&self, data: BuildData) -> Self {
        let scope = Scope { build_data: Some(data), ..self.scope.clone() };
        Self { scope, ..self.clone() }
    }

    /// The source's name as `{{ … }}` texts have it: that of the scope, else
    /// [`build_name`](Self::build_name). In a planned build they are equal.
    pub fn source_name(&self) -> &str {
        self.scope.build_name.as_deref().unwrap_or(&self.build_name)
    }
}
