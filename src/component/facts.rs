//! What is known of a build before it runs.

use std::sync::Arc;

use crate::interpolate::{BuildData, Scope};

/// What is known of a build before it runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The build's name, as its components know it (`{{build_name}}`, the manifest): the name of
    /// the source. Messages use the name of the planned build.
    pub build_name: String,
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
}

impl Facts {
    /// What is known where there is no build.
    pub fn without_build(builder_type: &str, scope: Scope) -> Self {
        Self {
            build_name: String::new(),
            builder_type: builder_type.to_owned(),
            force: false,
            debug: false,
            sensitive_variables: Arc::default(),
            scope,
        }
    }

    /// The same, with what a running machine (or the one that an artifact was made from) says.
    pub fn knowing(&self, data: BuildData) -> Self {
        let scope = Scope { build_data: Some(data), ..self.scope.clone() };
        Self { scope, ..self.clone() }
    }

    /// The name of the build's source, which `{{build_name}}` and `PACKER_BUILD_NAME` say: in HCL
    /// it is shorter than [`build_name`](Self::build_name).
    pub fn source_name(&self) -> &str {
        self.scope.build_name.as_deref().unwrap_or(&self.build_name)
    }
}
