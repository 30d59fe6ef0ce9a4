//! Which kind of system a machine has: what is where on it, and who may do what.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::{Check, ProvisionContext};
use crate::guest::shell::{Cmd, Posix, Shell};

/// Which defaults a tool has on the machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GuestOptions {
    /// The machine's kind of system, which all other defaults depend on: `unix` or `windows`.
    /// Default: the one that the machine's shell is of.
    pub guest_os_type: Option<String>,
}

/// A kind of system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provisioner) enum Os {
    Unix,
    Windows,
}

impl GuestOptions {
    /// Reports a kind that there is not.
    pub(in crate::provisioner) fn check(&self, check: &mut Check<'_>) {
        if self.guest_os_type.is_some() && self.named().is_none() {
            let help = Some("write `unix` or `windows`, or leave it out".to_owned());
            check.error("guest_os_type", "there is no such kind of system").help = help;
        }
    }

    /// The kind that the template names.
    pub(in crate::provisioner) fn named(&self) -> Option<Os> {
        self.guest_os_type.as_deref().and_then(Os::named)
    }

    /// The kind that the template names, else the one that the machine has.
    pub(in crate::provisioner) fn of(&self, cx: &ProvisionContext) -> Os {
        let own = if cx.communicator.shell().is_posix() { Os::Unix } else { Os::Windows };
        self.named().unwrap_or(own)
    }
}

impl Os {
    fn named(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "unix" => Some(Self::Unix),
            "windows" => Some(Self::Windows),
            _ => None,
        }
    }

    /// What the commands of its users are written in.
    pub(in crate::provisioner) fn shell(self) -> &'static dyn Shell {
        match self {
            Self::Unix => &Posix,
            Self::Windows => &Cmd,
        }
    }

    /// One of two values.
    pub(in crate::provisioner) fn choose<T>(self, unix: T, windows: T) -> T {
        match self {
            Self::Unix => unix,
            Self::Windows => windows,
        }
    }
}
