//! The options of every builder that has a machine, and the connector that they choose.

use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::connector::{Connector, FoundLogin, Pause};
use super::registered::Connectors;
use super::target::Target;
use crate::component::{BuildContext, Check, Communicator};
use crate::config::GoDuration;
use crate::diagnostic::did_you_mean;
use crate::secret::Secret;

/// The options that all connectors share. Those of each connector stand beside them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-slot" = true))]
pub struct Options {
    /// How the machine is talked to: by one of the communicators that `imgbake explain` lists; by
    /// `none`, not at all. The default is `ssh`, unless the builder has a way of its own (`docker`).
    communicator: Option<String>,
    /// How long to wait after the first connection before connecting again and going on.
    pause_before_connecting: GoDuration,
}

/// The connectors that a builder takes.
#[derive(Debug)]
pub struct Taken {
    own: Option<(&'static str, Arc<dyn Connector>)>,
    /// `None`: all that are registered.
    names: Option<&'static [&'static str]>,
    finds_passwords: bool,
    finds_logins: bool,
}

impl Taken {
    /// Every connector that is registered; the first is the default.
    pub fn any() -> Self {
        Self { own: None, names: None, finds_passwords: false, finds_logins: false }
    }

    /// The registered connectors of these names.
    pub fn only(names: &'static [&'static str]) -> Self {
        Self { names: Some(names), ..Self::any() }
    }

    /// Beside others one that the builder brings itself, which is the default.
    pub fn with_own(self, name: &'static str, own: Arc<dyn Connector>) -> Self {
        Self { own: Some((name, own)), ..self }
    }

    /// Passwords that machines make for themselves, the builder finds out.
    pub fn finding_passwords(self) -> Self {
        Self { finds_passwords: true, ..self }
    }

    /// Who may log in how, the builder finds out where the template does not say it.
    pub fn finding_logins(self) -> Self {
        Self { finds_logins: true, ..self }
    }

    fn names<'a>(&self, registered: &'a Connectors) -> Vec<&'a str> {
        let takes = |name: &&str| self.names.is_none_or(|names| names.contains(name));
        let own = self.own.iter().map(|(name, _)| *name);
        own.chain(registered.names().filter(takes)).collect()
    }

    /// The connector `name`, one of those that are taken.
    fn make(
        &self,
        name: &str,
        registered: &Connectors,
        check: &mut Check<'_>,
    ) -> Option<Arc<dyn Connector>> {
        let own = self.own.iter().find(|(own, _)| *own == name);
        let own = own.map(|(_, connector)| connector.clone());
        let connector = own.or_else(|| registered.make(name, check))?;
        let keys = match self.finds_passwords {
            true => registered.with_key(check),
            false => None,
        };
        Some(keys.and_then(|keys| connector.finding_password(&*keys)).unwrap_or(connector))
    }

    /// Says why `name` cannot be chosen.
    fn refuse(&self, name: &str, registered: &Connectors, check: &mut Check<'_>) {
        let taken = self.names(registered);
        let of_others = OF_BUILDERS.iter().find(|(other, _)| *other == name);
        let (cause, is_known) = match of_others {
            Some((_, cause)) => (*cause, true),
            None if registered.names().any(|one| one == name) => {
                ("this builder does not take it", true)
            }
            None => ("there is no such communicator", false),
        };
        let meant = did_you_mean(name, taken.iter().copied()).filter(|_| !is_known);
        let quoted = |name: &&str| format!("\"{name}\"");
        let help = match meant {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("use {}", taken.iter().map(quoted).collect::<Vec<_>>().join(" or ")),
        };
        check.error("communicator", cause).help = Some(help);
    }
}

/// Connectors that a builder brings, and why others do not take them.
const OF_BUILDERS: &[(&str, &str)] = &[
    ("docker", "this builder starts no container"),
    ("dockerWindowsContainer", "containers of Windows are not built"),
];

impl Options {
    /// The connector that the template chooses among those that the builder takes. Reports what is
    /// wrong with the choice, or with the options of what was chosen.
    pub fn choose(self, taken: &Taken, check: &mut Check<'_>) -> Option<Chosen> {
        let registered = Connectors::of(check.facts);
        let names = taken.names(&registered);
        let given = self.communicator.filter(|name| !name.is_empty());
        let name = given.or_else(|| names.first().map(|&name| name.to_owned()));
        let name = name.unwrap_or_default();
        if !names.contains(&name.as_str()) {
            taken.refuse(&name, &registered, check);
            return None;
        }
        let connector = taken.make(&name, &registered, check)?;
        match taken.finds_logins {
            true => connector.check_but_login(check),
            false => connector.check(check),
        }
        Some(Chosen { connector, pause: Pause(self.pause_before_connecting) })
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
