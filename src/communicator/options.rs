//! The options of every builder that has a machine, and the connector that they choose.

use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::connector::{Connector, FoundLogin, Pause};
use super::{Target, connectors};
use crate::component::{BuildContext, Check, Communicator};
use crate::config::{GoDuration, GroupReader, OptionSchema, Part};
use crate::secret::Secret;

/// The options that all connectors share.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Shared {
    /// How the machine is talked to: `ssh`, `winrm`, or `none`: not at all. The default is `ssh`,
    /// unless the builder has a way of its own (`docker`).
    communicator: Option<String>,
    /// How long to wait after the first connection before connecting again and going on.
    pause_before_connecting: GoDuration,
}

/// The options of all connectors, read.
#[derive(Clone, Debug)]
pub struct Options {
    shared: Shared,
    connectors: Vec<Arc<dyn Connector>>,
}

impl Part for Options {
    fn read(reader: &mut impl GroupReader) -> Option<Self> {
        let shared = Shared::read(reader);
        let connectors = connectors::read(reader);
        Some(Self { shared: shared?, connectors: connectors? })
    }

    fn schema() -> Arc<OptionSchema> {
        let groups = [vec![Shared::schema()], connectors::schemas()].concat();
        Arc::new(OptionSchema::joined(&groups))
    }
}

/// The connectors that a builder takes.
#[derive(Debug)]
pub struct Taken {
    own: Vec<Arc<dyn Connector>>,
    names: &'static [&'static str],
    finds_passwords: bool,
    finds_logins: bool,
}

impl Taken {
    /// The registered connectors of these names; the first is the default.
    pub fn of(names: &'static [&'static str]) -> Self {
        Self { own: Vec::new(), names, finds_passwords: false, finds_logins: false }
    }

    /// One that the builder brings itself, which is the default; beside it the registered connectors
    /// of these names.
    pub fn own_or(own: Arc<dyn Connector>, names: &'static [&'static str]) -> Self {
        Self { own: vec![own], names, finds_passwords: false, finds_logins: false }
    }

    /// Passwords that machines make for themselves, the builder finds out.
    pub fn finding_passwords(self) -> Self {
        Self { finds_passwords: true, ..self }
    }

    /// Who may log in how, the builder finds out where the template does not say it.
    pub fn finding_logins(self) -> Self {
        Self { finds_logins: true, ..self }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.own.iter().map(|own| own.name()).chain(self.names.iter().copied())
    }

    /// Why `name` cannot be chosen.
    fn refuse(&self, name: &str, check: &mut Check<'_>) {
        let cause = match connectors::NOT_BUILT.iter().find(|(other, _)| *other == name) {
            Some((_, cause)) => cause,
            None if connectors::NAMES.contains(&name) => "this builder does not take it",
            None => "there is no such communicator",
        };
        let quoted: Vec<_> = self.names().map(|name| format!("\"{name}\"")).collect();
        let help = format!("use {}", quoted.join(" or "));
        check.error("communicator", cause).help = Some(help);
    }
}

impl Options {
    /// The connector that the template chooses among those that the builder takes. Reports what is
    /// wrong with the choice, or with the options of what was chosen.
    pub fn choose(self, taken: &Taken, check: &mut Check<'_>) -> Option<Chosen> {
        let default = || taken.names().next().map(str::to_owned);
        let given = self.shared.communicator.filter(|name| !name.is_empty());
        let name = given.or_else(default)?;
        let is_it = |connector: &&Arc<dyn Connector>| connector.name() == name;
        let registered = self.connectors.iter().filter(|own| taken.names.contains(&own.name()));
        let Some(connector) = taken.own.iter().chain(registered).find(is_it) else {
            taken.refuse(&name, check);
            return None;
        };
        let keys = self.connectors.iter().find(|own| own.name() == "ssh");
        let finding = keys.filter(|_| taken.finds_passwords);
        let finding = finding.and_then(|keys| connector.finding_password(&**keys));
        let connector = finding.unwrap_or_else(|| connector.clone());
        match taken.finds_logins {
            true => connector.check_but_login(check),
            false => connector.check(check),
        }
        let pause = Pause(self.shared.pause_before_connecting);
        Some(Chosen { connector, pause })
    }
}

/// The connector that a template chose.
#[derive(Clone, Debug)]
pub struct Chosen {
    connector: Arc<dyn Connector>,
    pause: Pause,
}

impl Deref for Chosen {
    type Target = dyn Connector;

    fn deref(&self) -> &Self::Target {
        &*self.connector
    }
}

impl Chosen {
    /// The same, with the password that the builder has found out.
    pub fn with_password(&self, password: Secret) -> Self {
        let connector = self.connector.with_password(password);
        Self { connector: connector.unwrap_or_else(|| self.connector.clone()), pause: self.pause }
    }

    /// The same, with the login that the builder has found out, where the template gives none.
    pub fn with_login(&self, login: FoundLogin) -> Self {
        let connector = self.connector.with_login(login);
        Self { connector: connector.unwrap_or_else(|| self.connector.clone()), pause: self.pause }
    }

    /// Connects as the template says; see [`Connector::connect`].
    pub async fn open(
        &self,
        cx: &BuildContext,
        target: Target,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        self.connector.connect(cx, target, self.pause).await
    }
}
