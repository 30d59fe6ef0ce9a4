//! The options of `communicator = "ssh"`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::communicator::{KeyRequest, KeyType, Target};
use crate::config::GoDuration;
use crate::secret::Secret;

/// How files get to the machine and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransferMethod {
    /// As streams through the machine's shell (`cat`, `tar`): the fast way, which needs no `scp`
    /// there.
    #[default]
    Scp,
    /// Through the server's SFTP subsystem.
    Sftp,
}

/// How to reach the machine and log in.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
// Only Packer's own parts set them.
#[schemars(extend(
    "x-not-built" = ["ssh_public_key", "ssh_private_key"],
    "x-renamed" = {
        "ssh_key_path": "ssh_private_key_file",
        "ssh_disable_agent": "ssh_disable_agent_forwarding",
        "ssh_wait_timeout": "ssh_timeout",
    },
))]
pub struct SshOptions {
    /// The machine's name or address, instead of the one that the builder finds.
    pub ssh_host: String,
    /// The port of the machine's SSH server.
    #[default(22)]
    pub ssh_port: u16,
    /// The user to log in as.
    pub ssh_username: String,
    /// The password to log in with; it also answers every keyboard-interactive question.
    pub ssh_password: Option<Secret>,
    /// A key pair that the cloud already has; needs `ssh_private_key_file` or `ssh_agent_auth`.
    pub ssh_keypair_name: String,
    /// The name of the temporary key pair; `packer_` and a unique id if not given.
    pub temporary_key_pair_name: String,
    /// The kind of the temporary key: `ed25519` (the default), `rsa` or `ecdsa`.
    pub temporary_key_pair_type: Option<KeyType>,
    /// Bits of the temporary key: 4096 for RSA and 521 for ECDSA if not given.
    pub temporary_key_pair_bits: Option<u32>,
    /// The ciphers to offer, best first.
    pub ssh_ciphers: Vec<String>,
    /// The key exchange algorithms to offer, best first.
    pub ssh_key_exchange_algorithms: Vec<String>,
    /// Whether to take the temporary key out of the machine's `authorized_keys` in the end. Unlike
    /// in Packer it is, unless the template says `false`: no image should let a stranger in.
    #[default(true)]
    pub ssh_clear_authorized_keys: bool,
    /// The private key to log in with, not encrypted.
    pub ssh_private_key_file: Option<PathBuf>,
    /// The certificate that goes with `ssh_private_key_file`.
    pub ssh_certificate_file: Option<PathBuf>,
    /// Whether commands get a terminal.
    pub ssh_pty: bool,
    /// How long to wait for the machine to let us in. Five minutes if neither this nor
    /// `ssh_handshake_attempts` is given; without end if it is zero.
    pub ssh_timeout: GoDuration,
    /// The former name of `ssh_timeout`.
    pub ssh_wait_timeout: GoDuration,
    /// How many times the machine may refuse to let us in. Ten if neither this nor `ssh_timeout` is
    /// given; without end if it is zero.
    pub ssh_handshake_attempts: u32,
    /// Whether to log in with the keys of the SSH agent.
    pub ssh_agent_auth: bool,
    /// Whether the machine must not use the local SSH agent. Unlike in Packer it must not, unless the
    /// template says `false`: who rules the machine could log in elsewhere with the agent's keys.
    /// With `true`, the agent's keys are not tried for logging in either.
    pub ssh_disable_agent_forwarding: Option<bool>,
    /// A host to connect through.
    pub ssh_bastion_host: String,
    /// The bastion's port.
    #[default(22)]
    pub ssh_bastion_port: u16,
    /// The user on the bastion.
    pub ssh_bastion_username: String,
    /// The password on the bastion.
    pub ssh_bastion_password: Option<Secret>,
    /// Whether to ask the person at the terminal what the bastion asks.
    pub ssh_bastion_interactive: bool,
    /// The key for the bastion; `ssh_private_key_file` if not given.
    pub ssh_bastion_private_key_file: Option<PathBuf>,
    /// The certificate that goes with `ssh_bastion_private_key_file`.
    pub ssh_bastion_certificate_file: Option<PathBuf>,
    /// Whether to log in to the bastion with the keys of the SSH agent.
    pub ssh_bastion_agent_auth: bool,
    /// How files get to the machine: `scp` (the fast way) or `sftp`.
    pub ssh_file_transfer_method: TransferMethod,
    /// A SOCKS5 proxy to connect through.
    pub ssh_proxy_host: String,
    /// The proxy's port.
    #[default(1080)]
    pub ssh_proxy_port: u16,
    /// The user at the proxy.
    pub ssh_proxy_username: String,
    /// The password at the proxy.
    pub ssh_proxy_password: Option<Secret>,
    /// How often to let the machine know that we are still there; negative: never.
    #[default(GoDuration::from_secs(5))]
    pub ssh_keep_alive_interval: GoDuration,
    /// How long the connection may be silent before it is given up; zero: for ever.
    pub ssh_read_write_timeout: GoDuration,
    /// Ports of the machine that lead here, as `REMOTE_PORT:LOCAL_HOST:LOCAL_PORT`.
    pub ssh_remote_tunnels: Vec<String>,
    /// Ports of this host that lead to the machine, as `LOCAL_PORT:REMOTE_HOST:REMOTE_PORT`.
    pub ssh_local_tunnels: Vec<String>,
}

impl SshOptions {
    /// The key that the builder should make, if nothing else is given to log in with.
    pub(super) fn wanted_key(&self) -> Option<KeyRequest<'_>> {
        let is_needed = given(self.ssh_password.as_ref()).is_none()
            && self.ssh_private_key_file.is_none()
            && self.ssh_keypair_name.is_empty()
            && !self.ssh_agent_auth;
        is_needed.then(|| KeyRequest {
            kind: self.temporary_key_pair_type.unwrap_or(KeyType::Ed25519),
            bits: self.temporary_key_pair_bits,
            name: Some(self.temporary_key_pair_name.as_str()).filter(|name| !name.is_empty()),
        })
    }

    /// Where to connect to.
    pub(super) fn address<'a>(&'a self, target: &'a Target) -> (&'a str, u16) {
        let host = if self.ssh_host.is_empty() { &target.host } else { &self.ssh_host };
        (host, target.port.unwrap_or(self.ssh_port))
    }
}

/// The password, if one was given that is not empty.
pub(super) fn given(password: Option<&Secret>) -> Option<&Secret> {
    password.filter(|password| !password.is_empty())
}
