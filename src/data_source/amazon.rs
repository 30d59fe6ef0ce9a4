//! What the data sources of Amazon have in common: who asks.

use std::sync::Arc;

use crate::aws::access::Access;
use crate::aws::account::{Account, Handle, Patience};
use crate::aws::allow::Regions;
use crate::component::Check;
use crate::env::Environment;
use crate::secret::Redactor;

/// Who asks, before anybody has.
#[derive(Debug)]
pub(super) struct Caller {
    access: Access,
    environment: Arc<Environment>,
    redactor: Redactor,
}

impl Caller {
    /// Whoever `access` says, in the world that `check` knows.
    pub(super) fn new(access: Access, check: &Check<'_>) -> Self {
        let environment = check.facts.scope.environment.clone();
        Self { access, environment, redactor: check.redactor.clone() }
    }

    /// Where that is, as far as it is known.
    pub(super) fn regions(&self, environment: &Environment) -> Regions {
        Regions::new(self.access.region_given(environment), &[])
    }

    /// The account to ask.
    pub(super) async fn account(&self) -> anyhow::Result<Handle> {
        Account::open(&self.access, &self.environment, &self.redactor, Patience::Short).await
    }
}
