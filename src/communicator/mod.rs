//! The connection to a machine: SSH, or none.
//!
//! A builder has [`Options`] among its own, starts a machine, and calls [`Options::connect`] with
//! the [`Target`] that it knows; what comes back is a [`Communicator`] for
//! the provisioners.

mod announcement;
mod check;
mod key;
mod none;
mod options;
mod ssh;
mod way;

pub use announcement::Announcement;
pub use key::{KeyType, TemporaryKey};
pub use options::{Kind, NOT_BUILT, Options, TransferMethod};
pub use way::{Transport, Way};

use std::sync::Arc;

use russh::keys::PublicKey;

use crate::component::{BuildContext, Communicator, Exit};
use crate::interpolate::BuildData;
use crate::retry;
use crate::secret::Secret;

/// The machine to connect to, as the builder that started it knows it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name or address; `ssh_host` wins over it.
    pub host: String,
    /// The port where a builder forwards one; `None` stands for `ssh_port`.
    pub port: Option<u16>,
    /// The key that the builder made for this machine.
    pub key: Option<Arc<TemporaryKey>>,
    /// What is known of the machine's own key.
    pub host_key: HostKey,
    /// A way to the machine's SSH server that needs no address of it.
    pub way: Option<Arc<dyn Way>>,
    /// Whether it is starting now: what it refuses at first, it may accept later.
    pub boots: bool,
}

/// How the machine proves that it is the one that was started.
#[derive(Clone, Debug)]
pub enum HostKey {
    /// By one of these keys, learned in a way that nobody else could write to.
    Pinned(Vec<PublicKey>),
    /// By one of the keys that it announced, if it has done so by then; else as `FirstUse`.
    Announced(Announcement),
    /// By nothing the first time; by the same key every time after that.
    FirstUse,
}

impl Options {
    /// Waits until the machine answers and lets us in. `communicator = "none"` gives a connection
    /// that runs nothing.
    ///
    /// # Errors
    /// When `ssh_timeout` or `ssh_handshake_attempts` is used up, when the machine's key is not the
    /// expected one, or when the run is interrupted.
    pub async fn connect(
        &self,
        cx: &BuildContext,
        target: Target,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        if self.kind() == Kind::None {
            tracing::info!("communicator disabled, will not connect");
            return Ok(Arc::new(none::NoCommunicator));
        }
        ssh::connect(self, cx, target).await
    }

    /// Takes the temporary key out of the machine's `authorized_keys`, unless
    /// `ssh_clear_authorized_keys` says not to. What goes wrong on the machine is said, and does
    /// not fail the build.
    pub async fn forget_temporary_key(
        &self,
        cx: &BuildContext,
        communicator: &dyn Communicator,
        key: &TemporaryKey,
    ) -> anyhow::Result<()> {
        if !self.ssh_clear_authorized_keys || self.kind() == Kind::None {
            return Ok(());
        }
        cx.ui.say("Trying to remove ephemeral keys from authorized_keys files");
        let places = [("", "~"), ("sudo -n ", "/root")];
        let command = places.map(|(sudo, home)| key::forget_command(sudo, home, key));
        let command = command.join("; ");
        let unseen = "Whether the temporary key is gone was not seen";
        let ran = retry::or_cancelled(&cx.cancel, communicator.run_captured(&command)).await?;
        let (exit, printed) = match ran {
            Ok(ran) => ran,
            Err(error) => {
                cx.ui.error(format!("{unseen}: {error:#}"));
                return Ok(());
            }
        };
        if exit == Exit::Disconnected {
            cx.ui.error(format!("{unseen}: the connection was lost"));
        }
        let left = crate::guest::harmless(&printed.stdout);
        let left = left.lines().collect::<Vec<_>>().join(", ");
        if !left.is_empty() {
            cx.ui.error(format!(
                "The temporary key is still in {left}, and would be in the image. Nobody has its \
                 private half any more when the build is done."
            ));
        }
        Ok(())
    }

    /// What `build.Host`, `build.User` … say of a machine reached at `target`.
    pub async fn build_data(&self, target: &Target) -> BuildData {
        let private = match (&target.key, &self.ssh_private_key_file) {
            (Some(key), _) => key.private_openssh(),
            (None, Some(path)) => Secret::new(key::read(path).await.unwrap_or_default()),
            (None, None) => Secret::default(),
        };
        let public = match &target.key {
            Some(key) => key.public_openssh(),
            None => key::public_of(&private).unwrap_or_default(),
        };
        let password = self.ssh_password.as_ref().map_or("", Secret::expose);
        let (host, port) = self.address(target);
        BuildData::from([
            ("Host".into(), host.into()),
            ("Port".into(), port.into()),
            ("User".into(), self.ssh_username.as_str().into()),
            ("Password".into(), password.into()),
            ("ConnType".into(), self.communicator.as_str().into()),
            ("SSHPublicKey".into(), public.into()),
            ("SSHPrivateKey".into(), private.expose().into()),
        ])
    }

    /// Where to connect to.
    fn address<'a>(&'a self, target: &'a Target) -> (&'a str, u16) {
        let host = if self.ssh_host.is_empty() { &target.host } else { &self.ssh_host };
        (host, target.port.unwrap_or(self.ssh_port))
    }
}
