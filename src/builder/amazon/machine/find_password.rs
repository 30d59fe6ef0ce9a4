//! The password that a machine with Windows makes for itself at its first boot.
//!
//! EC2Launch seals it for the key pair of the machine, and EC2 keeps what it has sealed.

use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::aws::allow::Regions;
use crate::builder::amazon::machine::make_key_pair::Key;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::communicator::PasswordKey;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::peer;
use crate::permission::Permission;
use crate::retry::{self, Backoff, or_cancelled};
use crate::secret::{RsaKey, Secret};
use crate::step::Step;

/// The waits before looks: a machine needs minutes, and one that was prepared for it is quick.
const LOOKS: Backoff =
    Backoff { first: Duration::from_millis(500), factor: 1.5, longest: Duration::from_secs(5) };
/// The largest file of a key.
const LARGEST_KEY: u64 = 1 << 20;

/// Waits for the password, and opens it.
pub(crate) struct FindPassword {
    machine: Machine,
    instance: String,
    /// The temporary key, if one was made.
    pem: Option<Secret>,
}

impl FindPassword {
    pub(crate) fn new(machine: &Machine, instance: &str, key: &Key) -> Self {
        Self { machine: machine.clone(), instance: instance.to_owned(), pem: key.pem.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let is_wanted = settings.connector.password_key().is_some();
        let find = || at.on_ours("instance", &["GetPasswordData"]);
        is_wanted.then(find).into_iter().collect()
    }

    /// The key that the password is sealed for.
    fn key(&self, cx: &BuildContext) -> anyhow::Result<RsaKey> {
        let file = match self.machine.settings.connector.password_key() {
            Some(PasswordKey::File(file)) => Some(cx.facts.scope.environment.expand_home(file)),
            Some(PasswordKey::Temporary) | None => None,
        };
        let (pem, name) = match (&self.pem, file) {
            (Some(pem), _) => (pem.clone(), "the temporary key".to_owned()),
            (None, Some(file)) => {
                let read = peer::read_regular_text(&file, LARGEST_KEY);
                let text = read.with_context(|| format!("cannot read {}", file.display()))?;
                (Secret::new(text), file.display().to_string())
            }
            (None, None) => bail!("there is no key that could open the password"),
        };
        let key = RsaKey::from_pem(pem.expose()).map_err(anyhow::Error::msg);
        key.with_context(|| {
            format!(
                "{name} cannot open the password: it must be an RSA key in PEM without a passphrase \
                 (`ssh-keygen -p -m PEM` makes one of OpenSSH's form)"
            )
        })
    }

    /// What is sealed, as soon as EC2 has it.
    async fn sealed(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let ec2 = self.machine.build.ec2(cx);
        let request = ec2.get_password_data().instance_id(&self.instance);
        let mut waits = LOOKS.waits();
        loop {
            let answer = ec2.call("GetPasswordData", |_| request.clone().send()).await?;
            let sealed = answer.password_data().unwrap_or_default().trim();
            if !sealed.is_empty() {
                return Ok(sealed.to_owned());
            }
            retry::sleep(&cx.cancel, waits.next().unwrap_or(LOOKS.longest)).await?;
        }
    }
}

#[async_trait]
impl Step for FindPassword {
    type Output = Secret;

    fn name(&self) -> &'static str {
        "find the password"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Secret> {
        let key = self.key(cx)?;
        let limit = self.machine.settings.run.windows_password_timeout;
        cx.ui.say(format!(
            "Waiting for the password that {} makes for itself (up to {limit}; it usually takes 4 to \
             15 minutes)...",
            self.instance
        ));
        let waiting = tokio::time::timeout(limit.get(), self.sealed(cx));
        let Ok(sealed) = or_cancelled(&cx.cancel, waiting).await? else {
            bail!(
                "Timeout waiting for password: EC2 has none of {} after {limit} \
                 (`windows_password_timeout`). The AMI must be one whose EC2Launch sets a random \
                 password at the first boot; else give the password in `winrm_password`",
                self.instance
            );
        };
        let sealed = BASE64.decode(sealed?).context("EC2's password is no base64")?;
        let password = key.open(&sealed).with_context(|| {
            format!(
                "the key does not open the password of {}: it is of another key pair",
                self.instance
            )
        })?;
        let password = String::from_utf8(password).context("the password is no text")?;
        cx.redactor.register(&password);
        cx.ui.say("Password retrieved!");
        Ok(Secret::new(password))
    }
}
