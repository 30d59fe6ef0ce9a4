//! AWS Secrets Manager as the store that template functions read secrets from, with the credentials
//! and the region that the environment has.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::aws::access::Access;
use crate::aws::account::{Account, Patience};
use crate::aws::secrets::{self, CURRENT, Version};
use crate::env::Environment;
use crate::secret::{Redactor, Secret, SecretStore};

/// Asks for each secret once.
#[derive(Debug)]
pub struct SecretsManager {
    environment: Arc<Environment>,
    redactor: Redactor,
    /// What was asked for, and why there was no answer.
    known: Mutex<HashMap<String, Result<Secret, String>>>,
}

impl SecretsManager {
    /// The store that the credentials and the region of `environment` lead to.
    pub fn new(environment: Environment, redactor: Redactor) -> Self {
        Self { environment: Arc::new(environment), redactor, known: Mutex::default() }
    }

    fn read(&self, name: &str) -> anyhow::Result<Secret> {
        // Whoever waits here for the same secret is spared the question.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = || finish(self.ask(name)).map_err(|error| format!("{error:#}"));
        let secret = known.entry(name.to_owned()).or_insert_with(ask).clone();
        let secret = secret.map_err(anyhow::Error::msg)?;
        self.redactor.register(secret.expose());
        Ok(secret)
    }

    async fn ask(&self, name: &str) -> anyhow::Result<Secret> {
        let account =
            Account::open(&Access::default(), &self.environment, &self.redactor, Patience::Short)
                .await?;
        let version = Version::Stage(CURRENT.to_owned());
        let found = secrets::secret(&account, name, version, &CancellationToken::new()).await?;
        let string = found.secret_string.with_context(|| format!("the secret `{name}` is no text"));
        string.map(Secret::new)
    }
}

impl SecretStore for SecretsManager {
    fn whole(&self, name: &str) -> Result<Secret, String> {
        self.read(name).map_err(|error| format!("{error:#}"))
    }

    fn entry(&self, name: &str, key: Option<&str>) -> Result<Secret, String> {
        let entry = self.read(name).and_then(|secret| secrets::chosen(secret.expose(), key));
        let entry = entry.map_err(|error| format!("{error:#}"))?;
        self.redactor.register(&entry);
        Ok(Secret::new(entry))
    }
}

/// Waits for an answer. A template is also looked at while builds run, in their runtime: so this
/// has a thread and a runtime of its own.
fn finish<T: Send>(answer: impl Future<Output = anyhow::Result<T>> + Send) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finished = thread::scope(|scope| scope.spawn(|| runtime.block_on(answer)).join());
    finished.unwrap_or_else(|panic| resume_unwind(panic))
}
