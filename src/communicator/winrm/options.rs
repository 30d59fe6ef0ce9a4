//! The options of `communicator = "winrm"`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use super::http::Tls;
use crate::communicator::{Connector, KeyType, Target};
use crate::component::Check;
use crate::config::GoDuration;
use crate::secret::Secret;

/// How long to wait for a machine where the template does not say.
const TIMEOUT: i64 = 30 * 60;

/// How to reach the machine's WinRM service and log in.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
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
    #[default(GoDuration::from_secs(TIMEOUT))]
    pub(super) winrm_timeout: GoDuration,
    /// Speaks HTTPS.
    pub(super) winrm_use_ssl: bool,
    /// Takes any certificate of the machine.
    pub(super) winrm_insecure: bool,
    /// Logs in with NTLM, which proves that we know the password without telling it, and seals what
    /// is sent over HTTP. Otherwise the password is sent.
    pub(super) winrm_use_ntlm: bool,
    /// The key that the machine's own password is sealed for, if the builder finds it out.
    #[serde(skip)]
    pub(super) sealed_for: Option<SealedFor>,
}

/// What the template says of the key that a password is sealed for.
#[derive(Clone, Debug, Default)]
pub(in crate::communicator) struct SealedFor {
    /// The key pair of the cloud.
    pub(super) pair: Option<String>,
    /// Its private half.
    pub(super) file: Option<PathBuf>,
    /// What a temporary one is called.
    pub(super) name: Option<String>,
    /// Of which kind that is.
    pub(super) kind: Option<KeyType>,
}

/// Whose password the machine makes.
const ADMINISTRATOR: &str = "Administrator";

impl WinRmOptions {
    pub(super) fn check_all(&self, check: &mut Check<'_>) {
        if self.winrm_username.is_empty() {
            check.missing("winrm_username", "say which user of the machine to log in as");
        }
        match &self.sealed_for {
            Some(key) => key.check(check),
            None if self.password().is_empty() => {
                check.missing("winrm_password", "say with which password to log in");
            }
            None => {}
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

    /// The same options, whose password the builder finds out with what `keys` says.
    pub(super) fn finding_password(&self, keys: &dyn Connector) -> Self {
        let wish = keys.temporary_key();
        let sealed_for = SealedFor {
            pair: keys.key_pair().map(str::to_owned),
            file: keys.private_key_file().map(PathBuf::from),
            name: wish.and_then(|wish| wish.name).map(str::to_owned),
            kind: wish.map(|wish| wish.kind),
        };
        let mut own = Self { sealed_for: Some(sealed_for), ..self.clone() };
        if own.winrm_username.is_empty() {
            own.winrm_username = ADMINISTRATOR.to_owned();
        }
        own
    }

    /// Where to connect to.
    pub(super) fn address<'a>(&'a self, target: &'a Target) -> (&'a str, u16) {
        let host = if self.winrm_host.is_empty() { &target.host } else { &self.winrm_host };
        (host, target.port.unwrap_or(self.port()))
    }
}

impl SealedFor {
    fn check(&self, check: &mut Check<'_>) {
        if self.pair.is_some() && self.file.is_none() {
            let help = "the machine seals its password for the key pair of `ssh_keypair_name`: give \
                        its private key, or the password in `winrm_password`";
            check.missing("ssh_private_key_file", help);
        }
        let kind = self.kind.filter(|_| check.is_given("temporary_key_pair_type"));
        if kind.is_some_and(|kind| kind != KeyType::Rsa) {
            let cause = "Windows seals its password for RSA keys only";
            check.error("temporary_key_pair_type", cause).help = Some("leave it out".to_owned());
        }
    }
}
