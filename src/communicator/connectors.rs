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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::communicator::{HostKey, Target};
    use crate::interpolate::{BUILD_DATA, CONNECTION_DATA};

    #[tokio::test]
    async fn every_machine_tells_each_name_that_provisioners_may_ask_for() {
        let all: [Arc<dyn Connector>; 3] = [
            Arc::new(ssh::SshOptions::default()),
            Arc::new(winrm::WinRmOptions::default()),
            Arc::new(none::NoOptions::default()),
        ];
        assert_eq!(all.iter().map(|one| one.name()).collect::<Vec<_>>(), NAMES);
        let host = "machine".to_owned();
        let (port, key, host_key, way) = (None, None, HostKey::FirstUse, None);
        let target = Target { host, port, key, host_key, way, boots: false };
        // These are the builder's.
        let is_login = |name: &&&str| **name != "ID" && !name.starts_with("Packer");
        for connector in all {
            let data = connector.build_data(&target).await;
            for name in BUILD_DATA.iter().filter(is_login).chain(CONNECTION_DATA) {
                assert!(data.contains_key(*name), "{} does not tell {name}", connector.name());
            }
            assert_eq!(data["SSHAgentAuth"], false);
        }
        let options = ssh::SshOptions {
            ssh_agent_auth: true,
            ssh_private_key_file: Some("keys/id".into()),
            ..Default::default()
        };
        let data = options.build_data(&target).await;
        assert_eq!(
            (&data["SSHAgentAuth"], &data["SSHPrivateKeyFile"]),
            (&true.into(), &"keys/id".into())
        );
    }
}
