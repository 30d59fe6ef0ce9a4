//! What AWS gives to all of a session.

use std::sync::Arc;

use crate::aws::access::Access;
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::secret_store::SecretsManager;
use crate::builder::amazon::MountCleaner;
use crate::component::{Cleaner, CleanupContext};
use crate::env::Environment;
use crate::secret::Redactor;

/// Those who clean up after dead runs, with the credentials that their tools find by themselves.
pub fn cleaners(cx: &CleanupContext) -> Vec<Box<dyn Cleaner>> {
    vec![
        // A volume that is mounted cannot be detached.
        Box::new(MountCleaner { cx: cx.clone() }),
        Box::new(Ec2Cleaner { access: Access::default(), cx: cx.clone() }),
    ]
}

/// `environment` with the store that template functions read secrets from.
pub fn with_secrets(environment: Environment, redactor: &Redactor) -> Environment {
    let store = SecretsManager::new(environment.clone(), redactor.clone());
    environment.with_secrets(Arc::new(store))
}
