//! What a builder may ask of the connector that its template chose.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::key::{KeyType, TemporaryKey};
use super::target::Target;
use crate::component::{BuildContext, Check, Communicator};
use crate::config::GoDuration;
use crate::interpolate::BuildData;
use crate::retry::{self, Cancelled};
use crate::secret::Secret;

/// One way to talk to machines, with the options that a template gives for it.
///
/// Its options struct implements it, and is registered as a component, or a builder brings it. A builder
/// asks what the connector needs (a port, a key, an address) and never which one it is, so that a new
/// connector changes no builder.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// Reports everything that is wrong with the options.
    fn check(&self, check: &mut Check<'_>);

    /// As [`check`](Self::check), but user and login may be missing: the builder finds them out (`vagrant`).
    fn check_but_login(&self, check: &mut Check<'_>) {
        self.check(check);
    }

    /// Reports what is missing to reach a machine that no builder has started, which nobody but the
    /// template can know the address and the login of.
    fn check_machine_is_known(&self, check: &mut Check<'_>);

    /// Whether it connects to the machine at all.
    fn connects(&self) -> bool {
        true
    }

    /// The port of the machine that it connects to, if it connects to one.
    fn port(&self) -> Option<u16>;

    /// The address that the template gives for the machine, with the option that gives it.
    fn host(&self) -> Option<(&'static str, &str)> {
        None
    }

    /// The user that it logs in as, if the template says it.
    fn user(&self) -> Option<&str> {
        None
    }

    /// The hosts that the connection goes through, each with the option that names it: the machine
    /// sees their address instead of ours.
    fn hosts_between(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }

    /// How long the template gives a machine to let us in; `None`: as long as it takes.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Whether it can go over a [`Way`](super::Way), a connection that the builder provides (Session Manager).
    fn takes_way(&self) -> bool {
        false
    }

    /// Whether it knows the machine by an SSH host key, so that it is worth looking for one.
    fn checks_host_key(&self) -> bool {
        false
    }

    /// Whether its options name the SSH key that a machine gets. Where WinRM is chosen, the password is
    /// sealed for that key.
    fn says_key(&self) -> bool {
        false
    }

    /// The key that the builder has to make for it; `None` if the template gives another login.
    fn temporary_key(&self) -> Option<KeyRequest<'_>> {
        None
    }

    /// The key pair of the cloud that the template names.
    fn key_pair(&self) -> Option<&str> {
        None
    }

    /// The file of the private key that the template names.
    fn private_key_file(&self) -> Option<&Path> {
        None
    }

    /// This connector for a builder that can ask for the password that a machine has made (Windows on EC2).
    /// It comes sealed for the SSH key that `keys` names. `None` if the template gives a password.
    fn finding_password(&self, _keys: &dyn Connector) -> Option<Arc<dyn Connector>> {
        None
    }

    /// The key that the password is sealed for; `None` if the builder has no password to find out.
    fn password_key(&self) -> Option<PasswordKey<'_>> {
        None
    }

    /// The same connector, with the password that was found out.
    fn with_password(&self, _password: Secret) -> Option<Arc<dyn Connector>> {
        None
    }

    /// This connector with the login that the builder has found out, where the template gives none; `None`
    /// if it takes none.
    fn with_login(&self, _login: FoundLogin) -> Option<Arc<dyn Connector>> {
        None
    }

    /// Waits until the machine answers and lets us in; does so once more after `pause`.
    ///
    /// # Errors
    /// When the machine refuses us for good, when the time for it is used up, or when the run is
    /// interrupted.
    async fn connect(
        &self,
        cx: &BuildContext,
        target: Target,
        pause: Pause,
    ) -> anyhow::Result<Arc<dyn Communicator>>;

    /// Takes the temporary key out of the machine again. What goes wrong on the machine is said,
    /// and does not fail the build.
    async fn forget_key(
        &self,
        _cx: &BuildContext,
        _communicator: &dyn Communicator,
        _key: &TemporaryKey,
    ) -> anyhow::Result<()> {
        Ok(())
    }

    /// What `build.Host`, `build.User` … say of a machine reached at `target`.
    async fn build_data(&self, target: &Target) -> BuildData;
}

/// What a machine without a login says of itself. Other machines say more, and each says all of it: a
/// plugin's provisioner may take every name for granted.
pub(super) fn no_login(connection: &str) -> BuildData {
    let texts = [
        "Host",
        "User",
        "Password",
        "SSHPublicKey",
        "SSHPrivateKey",
        "SSHPrivateKeyFile",
        "WinRMPassword",
    ];
    let mut data: BuildData = texts.into_iter().map(|name| (name.to_owned(), "".into())).collect();
    data.insert("Port".into(), 0.into());
    data.insert("ConnType".into(), connection.into());
    data.insert("SSHAgentAuth".into(), false.into());
    data
}

/// How a builder has found out that it can log in.
#[derive(Clone, Debug)]
pub struct FoundLogin {
    /// As this user.
    pub user: String,
    /// With the private key in this file.
    pub key_file: Option<PathBuf>,
    /// How long the machine gets to let us in.
    pub patience: GoDuration,
}

/// The key that a machine seals its password for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordKey<'a> {
    /// The temporary one.
    Temporary,
    /// One whose private half is in this file.
    File(&'a Path),
}

/// The temporary key that a template asks for.
#[derive(Clone, Copy, Debug)]
pub struct KeyRequest<'a> {
    /// Its kind.
    pub kind: KeyType,
    /// Its bits, if the template says how many.
    pub bits: Option<u32>,
    /// The name that the template gives.
    pub name: Option<&'a str>,
}

impl KeyRequest<'_> {
    /// The given name, or a new one each time.
    pub fn name(&self) -> String {
        let own = || format!("packer_{}", uuid::Uuid::new_v4());
        self.name.map_or_else(own, str::to_owned)
    }
}

/// `pause_before_connecting`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause(pub GoDuration);

impl Pause {
    /// Whether there is none.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Says that we wait, and waits.
    pub async fn wait(self, cx: &BuildContext) -> Result<(), Cancelled> {
        cx.ui.say(format!("Pausing {} before connecting...", self.0));
        retry::sleep(&cx.cancel, self.0.get()).await
    }
}
