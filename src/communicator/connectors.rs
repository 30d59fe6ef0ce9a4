//! The only place that names every connector.

use std::sync::Arc;

use super::connector::Connector;
use super::{none, ssh, winrm};
use crate::config::{GroupReader, OptionSchema, Part};

macro_rules! connectors {
    ($($name:literal: $options:ty),+ $(,)?) => {
        /// The values of `communicator`.
        pub(super) const NAMES: &[&str] = &[$($name),+];

        /// Every connector with what the template gives for it; `None` if any of it cannot be read.
        pub(super) fn read(reader: &mut impl GroupReader) -> Option<Vec<Arc<dyn Connector>>> {
            // All are read, so that one run shows the errors of all.
            let read = [$(<$options>::read(reader).map(|own| Arc::new(own) as Arc<dyn Connector>)),+];
            read.into_iter().collect()
        }

        /// The options of all connectors.
        pub(super) fn schemas() -> Vec<Arc<OptionSchema>> {
            vec![$(<$options as Part>::schema()),+]
        }
    };
}

connectors! {
    "ssh": ssh::SshOptions,
    "winrm": winrm::WinRmOptions,
    "none": none::NoOptions,
}

/// Those that are refused by name, and why.
pub(super) const NOT_BUILT: &[(&str, &str)] = &[
    ("docker", "this builder starts no container"),
    ("dockerWindowsContainer", "containers of Windows are not built"),
];
