//! The connectors that a session's registry has, as builders see them.

use std::any::Any;
use std::sync::Arc;

use indexmap::IndexMap;

use super::connector::Connector;
use crate::component::{Check, ConnectorOptions, Descriptor, Facts};
use crate::config::{Node, OptionSchema};
use crate::diagnostic::{Diagnostics, code};
use crate::secret::Redactor;

type Known = Arc<IndexMap<String, Arc<Descriptor<dyn Connector>>>>;

/// The connectors, in the order in which they were registered: the first is the default.
#[derive(Clone, Debug, Default)]
pub struct Connectors {
    known: Known,
}

impl Connectors {
    /// The connectors `known`.
    pub fn new(known: Known) -> Self {
        Self { known }
    }

    /// Those that a build with these `facts` may use.
    pub(super) fn of(facts: &Facts) -> Self {
        let connectors: &dyn Any = &*facts.connectors;
        connectors.downcast_ref::<Self>().cloned().unwrap_or_default()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// The connector `name` with the options that the template gives for it.
    pub(super) fn make(&self, name: &str, check: &mut Check<'_>) -> Option<Arc<dyn Connector>> {
        let descriptor = self.known.get(name)?;
        check.absorb(|body, facts, redactor| prepare(descriptor, body, facts, redactor))
    }

    /// The first whose options say which SSH key a machine gets.
    pub(super) fn with_key(&self, check: &mut Check<'_>) -> Option<Arc<dyn Connector>> {
        let found = check.absorb(|body, facts, redactor| {
            let made =
                self.known.values().filter_map(|one| prepare(one, body, facts, redactor).ok());
            let found = made.map(|(connector, _)| connector).find(|one| one.says_key());
            // Nobody chose it: what it lacks is no fault.
            Ok((found, Diagnostics::default()))
        });
        found.flatten()
    }
}

/// Makes a connector of its options in `body`, which are not alone there.
fn prepare(
    descriptor: &Descriptor<dyn Connector>,
    body: &Node,
    facts: &Facts,
    redactor: &Redactor,
) -> Result<(Arc<dyn Connector>, Diagnostics), Diagnostics> {
    let schema = descriptor.description.options.schema();
    let own = body.filtered(|name| schema.get(name).is_some());
    let (connector, warnings) = (descriptor.prepare)(&own, facts, redactor)?;
    Ok((connector.into(), warnings))
}

impl ConnectorOptions for Connectors {
    fn schemas(&self) -> Vec<Arc<OptionSchema>> {
        self.known.values().map(|one| one.description.options.schema()).collect()
    }

    fn find_faults(&self, body: &Node, facts: &Facts, redactor: &Redactor) -> Diagnostics {
        let faults =
            self.known.values().filter_map(|one| prepare(one, body, facts, redactor).err());
        let faults = faults.flat_map(|found| found.0);
        // What a connector needs, only a template needs that chooses it.
        Diagnostics(faults.filter(|found| found.code != code::MISSING_OPTION).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::none::NoOptions;
    use super::super::ssh::SshOptions;
    use super::super::winrm::WinRmOptions;
    use super::*;
    use crate::communicator::{Target, built_in};
    use crate::interpolate::{BUILD_DATA, CONNECTION_DATA};

    #[tokio::test]
    async fn every_machine_tells_each_name_that_provisioners_may_ask_for() {
        let all: [Arc<dyn Connector>; 3] = [
            Arc::new(SshOptions::default()),
            Arc::new(WinRmOptions::default()),
            Arc::new(NoOptions::default()),
        ];
        let names: Vec<_> = built_in().into_iter().map(|one| one.description.name).collect();
        let target = Target::at("machine");
        // These are the builder's.
        let is_login = |name: &&&str| **name != "ID" && !name.starts_with("Packer");
        for (connector, own_name) in all.into_iter().zip(names) {
            let data = connector.build_data(&target).await;
            for name in BUILD_DATA.iter().filter(is_login).chain(CONNECTION_DATA) {
                assert!(data.contains_key(*name), "{own_name} does not tell {name}");
            }
            assert_eq!(data["ConnType"], own_name.as_str());
            assert_eq!(data["SSHAgentAuth"], false);
        }
        let options = SshOptions {
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
