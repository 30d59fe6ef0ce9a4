//! What can be wrong with the options, found before any machine starts.

use std::path::Path;

use russh::keys::Certificate;

use super::options::SshOptions;
use super::{algorithm, tunnel};
use crate::communicator::key::{self, KeyType};
use crate::component::Check;
use crate::diagnostic::code;

impl SshOptions {
    /// Reports everything that is wrong, and hands the private keys to the redactor.
    pub(super) fn check_all(&self, check: &mut Check<'_>) {
        if self.ssh_username.is_empty() {
            check.missing("ssh_username", "say which user of the machine to log in as");
        }
        self.check_but_user(check);
    }

    /// The same for a machine whose users the builder finds out.
    pub(super) fn check_but_user(&self, check: &mut Check<'_>) {
        self.check_login(check);
        self.check_temporary_key(check);
        self.check_route(check);
        self.check_algorithms(check);
        self.check_tunnels(check);
        if !self.ssh_wait_timeout.is_zero() {
            let text = "`ssh_wait_timeout` is called `ssh_timeout` now";
            check.warn(code::DEPRECATED_OPTION, "ssh_wait_timeout", text);
        }
    }

    /// Nobody but the template can know how to get into a machine that is already there.
    pub(super) fn check_known(&self, check: &mut Check<'_>) {
        if self.ssh_host.is_empty() {
            check.missing("ssh_host", "say which machine to connect to");
        }
        let given = [
            ("ssh_agent_auth", self.ssh_agent_auth),
            ("ssh_password", self.ssh_password.is_some()),
            ("ssh_private_key_file", self.ssh_private_key_file.is_some()),
        ];
        let mut given = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        match (given.next(), given.next()) {
            (None, _) => {
                let help = "or `ssh_private_key_file`, or `ssh_agent_auth`: one way to log in";
                check.missing("ssh_password", help);
            }
            (Some(first), Some(second)) => {
                check.error(second, format!("`{first}` is given too: choose one way to log in"));
            }
            (Some(_), None) => {}
        }
    }

    fn check_login(&self, check: &mut Check<'_>) {
        let environment = check.facts.scope.environment.clone();
        check_key_file(check, "ssh_private_key_file", self.ssh_private_key_file.as_deref());
        let certificate = self.ssh_certificate_file.as_deref();
        check_certificate(check, "ssh_certificate_file", certificate);
        if certificate.is_some() && self.ssh_private_key_file.is_none() {
            check.missing("ssh_private_key_file", "a certificate is of no use without its key");
        }
        if self.ssh_agent_auth && environment.get("SSH_AUTH_SOCK").is_none() {
            let cause = "there is no SSH agent: SSH_AUTH_SOCK is not set";
            let help = "start one with `eval $(ssh-agent)`, or use `ssh_private_key_file`";
            check.error("ssh_agent_auth", cause).help = Some(help.into());
        }
        if !self.ssh_keypair_name.is_empty()
            && self.ssh_private_key_file.is_none()
            && !self.ssh_agent_auth
            && self.ssh_password.is_none()
        {
            let help = "give the private half of the key pair, or set `ssh_agent_auth`";
            check.missing("ssh_private_key_file", help);
        }
    }

    fn check_temporary_key(&self, check: &mut Check<'_>) {
        // Bits without a type are meant for RSA: the default, Ed25519, has no choice of bits.
        let kind = self.temporary_key_pair_type.unwrap_or(KeyType::Rsa);
        if let Some(cause) = self.temporary_key_pair_bits.and_then(|bits| kind.refuse_bits(bits)) {
            check.error("temporary_key_pair_bits", cause);
        }
        if self.temporary_key_pair_name.contains(['\n', '\r']) {
            check.error("temporary_key_pair_name", "a name is one line");
        }
    }

    fn check_route(&self, check: &mut Check<'_>) {
        if self.ssh_bastion_host.is_empty() {
            return;
        }
        if !self.ssh_proxy_host.is_empty() {
            check.error("ssh_proxy_host", "a bastion and a proxy cannot be used together");
        }
        if self.ssh_bastion_username.is_empty() {
            check.missing("ssh_bastion_username", "say which user of the bastion to log in as");
        }
        let environment = check.facts.scope.environment.clone();
        let key = self.bastion_key_file();
        if self.ssh_bastion_password.is_none() && key.is_none() && !self.ssh_bastion_agent_auth {
            let help = "give `ssh_bastion_password`, `ssh_bastion_private_key_file` or `ssh_bastion_agent_auth`";
            check.missing("ssh_bastion_private_key_file", help);
        }
        if self.ssh_bastion_agent_auth && environment.get("SSH_AUTH_SOCK").is_none() {
            let cause = "there is no SSH agent: SSH_AUTH_SOCK is not set";
            check.error("ssh_bastion_agent_auth", cause);
        }
        let own_key = self.ssh_bastion_private_key_file.as_deref();
        check_key_file(check, "ssh_bastion_private_key_file", own_key);
        let certificate = self.ssh_bastion_certificate_file.as_deref();
        check_certificate(check, "ssh_bastion_certificate_file", certificate);
        if certificate.is_some() && key.is_none() {
            let help = "a certificate is of no use without its key";
            check.missing("ssh_bastion_private_key_file", help);
        }
    }

    fn check_algorithms(&self, check: &mut Check<'_>) {
        if let Err(cause) = algorithm::ciphers(&self.ssh_ciphers) {
            check.error("ssh_ciphers", cause);
        }
        if let Err(cause) = algorithm::key_exchanges(&self.ssh_key_exchange_algorithms) {
            check.error("ssh_key_exchange_algorithms", cause);
        }
    }

    fn check_tunnels(&self, check: &mut Check<'_>) {
        let tunnels = [
            ("ssh_local_tunnels", &self.ssh_local_tunnels),
            ("ssh_remote_tunnels", &self.ssh_remote_tunnels),
        ];
        for (option, texts) in tunnels {
            for text in texts {
                if let Err(cause) = tunnel::Tunnel::parse(text) {
                    check.error(option, cause);
                }
            }
        }
    }

    /// The key for the bastion: its own, else that for the machine.
    pub(super) fn bastion_key_file(&self) -> Option<&Path> {
        self.ssh_bastion_private_key_file.as_deref().or(self.ssh_private_key_file.as_deref())
    }
}

fn check_key_file(check: &mut Check<'_>, option: &str, path: Option<&Path>) {
    let Some(path) = path else { return };
    let path = check.facts.scope.environment.expand_home(path);
    let reach = &check.facts.scope.environment.reach;
    let cause = match reach.read_text(&path, key::LARGEST_FILE) {
        Err(error) => format!("cannot read {}: {error}", path.display()),
        Ok(text) => match key::parse(&text) {
            Ok(_) => return check.redactor.register(&text),
            Err(error) => format!("{}: {error}", path.display()),
        },
    };
    let help = "give a private key without a passphrase, or set `ssh_agent_auth`";
    check.error(option, cause).help = Some(help.into());
}

fn check_certificate(check: &mut Check<'_>, option: &str, path: Option<&Path>) {
    let Some(path) = path else { return };
    let environment = check.facts.scope.environment.clone();
    let path = environment.expand_home(path);
    let now = u64::try_from(environment.started.as_second()).unwrap_or(0);
    let cause = match environment.reach.read_text(&path, key::LARGEST_FILE) {
        Err(error) => Some(error.to_string()),
        Ok(text) => match Certificate::from_openssh(text.trim()) {
            Err(error) => Some(format!("this is no OpenSSH certificate: {error}")),
            Ok(certificate) => refuse_certificate(&certificate, now).map(str::to_owned),
        },
    };
    if let Some(cause) = cause {
        check.error(option, format!("{}: {cause}", path.display()));
    }
}

/// Why a `certificate` is of no use at `now` (seconds since 1970).
fn refuse_certificate(certificate: &Certificate, now: u64) -> Option<&'static str> {
    if !certificate.cert_type().is_user() {
        Some("this is a host's certificate, not a user's")
    } else if now < certificate.valid_after() {
        Some("the certificate is not valid yet")
    } else if now >= certificate.valid_before() {
        Some("the certificate has expired")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::component::{BuildContext, Check};
    use crate::config::{GoDuration, Node};
    use crate::secret::Redactor;
    use crate::source::{SourceMap, Span};

    /// What is found wrong with `options`: the summary and the cause of each.
    fn found(options: &SshOptions) -> Vec<String> {
        let (cx, _said) = BuildContext::for_tests();
        let body = Node::empty(Span::new(SourceMap::default().add("t.json", ""), 0, 0));
        let redactor = Redactor::default();
        let mut check = Check::new("null", &body, &cx.facts, &redactor);
        options.check_all(&mut check);
        let line = |d: crate::diagnostic::Diagnostic| {
            format!("{}: {}", d.summary, d.cause.unwrap_or_default())
        };
        check.into_found().0.into_iter().map(line).collect()
    }

    fn named() -> SshOptions {
        SshOptions { ssh_username: "root".into(), ..SshOptions::default() }
    }

    #[test]
    fn enough_is_enough_and_nothing_is_too_little() {
        assert_eq!(found(&named()), [""; 0]);
        assert_eq!(found(&SshOptions::default()), ["`null` needs `ssh_username`: required here"]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            Some(dir.path().join(name))
        };
        let wrong = SshOptions {
            ssh_private_key_file: file("key", "no key"),
            ssh_certificate_file: file("certificate", "no certificate"),
            ssh_bastion_host: "bastion".into(),
            ssh_proxy_host: "proxy".into(),
            ssh_ciphers: vec!["rot13".into()],
            ssh_key_exchange_algorithms: vec!["shouting".into()],
            ssh_local_tunnels: vec!["80".into()],
            ssh_agent_auth: true,
            temporary_key_pair_type: Some(KeyType::Ecdsa),
            temporary_key_pair_bits: Some(255),
            ssh_wait_timeout: GoDuration::from_secs(1),
            ..named()
        };
        let found = found(&wrong).join("\n");
        for part in [
            "`ssh_private_key_file` cannot be used",
            "no OpenSSH certificate",
            "SSH_AUTH_SOCK is not set",
            "256, 384 or 521 bits",
            "`ssh_bastion_username`",
            "cannot be used together",
            "no cipher `rot13`; these are known: aes128-ctr",
            "no key exchange algorithm `shouting`",
            "`80` is no tunnel",
            "is called `ssh_timeout` now",
        ] {
            assert!(found.contains(part), "{part} in:\n{found}");
        }
    }
}
