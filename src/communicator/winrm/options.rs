//! The options of `communicator = "winrm"`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::http::Tls;
use crate::communicator::Target;
use crate::component::Check;
use crate::config::GoDuration;
use crate::secret::Secret;

/// How long to wait for a machine where the template does not say.
const TIMEOUT: i64 = 30 * 60;

/// How to reach the machine's WinRM service and log in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::communicator) struct WinRmOptions {
    /// The user to log in as; `DOMAIN\user` for one of a domain.
    pub(super) winrm_username: String,
    /// The password to log in with.
    pub(super) winrm_password: Option<Secret>,
    /// The machine's name or address, instead of the one that the builder finds.
    pub(super) winrm_host: String,
    /// Goes straight to the machine, whatever proxy the environment names.
    pub(super) winrm_no_proxy: bool,
    /// The port of the service. Default: 5985, or 5986 with `winrm_use_ssl`.
    pub(super) winrm_port: Option<u16>,
    /// How long to wait for the machine to let us in.
    pub(super) winrm_timeout: GoDuration,
    /// Speaks HTTPS.
    pub(super) winrm_use_ssl: bool,
    /// Takes any certificate of the machine.
    pub(super) winrm_insecure: bool,
    /// Logs in with NTLM, which proves that we know the password without telling it, and seals what
    /// is sent over HTTP. Otherwise the password is sent.
    pub(super) winrm_use_ntlm: bool,
}

impl Default for WinRmOptions {
    fn default() -> Self {
        Self {
            winrm_username: String::new(),
            winrm_password: None,
            winrm_host: String::new(),
            winrm_no_proxy: false,
            winrm_port: None,
            winrm_timeout: GoDuration::from_secs(TIMEOUT),
            winrm_use_ssl: false,
            winrm_insecure: false,
            winrm_use_ntlm: false,
        }
    }
}

impl WinRmOptions {
    pub(super) fn check_all(&self, check: &mut Check<'_>) {
        if self.winrm_username.is_empty() {
            check.missing("winrm_username", "say which user of the machine to log in as");
        }
        if self.winrm_password.as_ref().is_none_or(Secret::is_empty) {
            check.missing("winrm_password", "say with which password to log in");
        }
        if self.winrm_username.contains(':') && !self.winrm_use_ntlm {
            let cause = "with Basic no name may have a colon";
            check.error("winrm_username", cause).help = Some("set `winrm_use_ntlm = true`".into());
        }
        if self.winrm_timeout.is_zero() || self.winrm_timeout.is_negative() {
            check.error("winrm_timeout", "there must be some time to connect in");
        }
    }

    /// Nobody but the template can know how to get into a machine that is already there.
    pub(super) fn check_known(&self, check: &mut Check<'_>) {
        if self.winrm_host.is_empty() {
            check.missing("winrm_host", "say which machine to connect to");
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.winrm_port.unwrap_or(if self.winrm_use_ssl { 5986 } else { 5985 })
    }

    pub(super) fn tls(&self) -> Tls {
        match (self.winrm_use_ssl, self.winrm_insecure) {
            (false, _) => Tls::Off,
            (true, false) => Tls::Verified,
            (true, true) => Tls::Unverified,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.winrm_timeout.get()
    }

    pub(super) fn password(&self) -> Secret {
        self.winrm_password.clone().unwrap_or_default()
    }

    /// Where to connect to.
    pub(super) fn address<'a>(&'a self, target: &'a Target) -> (&'a str, u16) {
        let host = if self.winrm_host.is_empty() { &target.host } else { &self.winrm_host };
        (host, target.port.unwrap_or(self.port()))
    }
}
