//! What a builder knows of the machine that it started.

use std::sync::Arc;

use super::announcement::Announcement;
use super::key::TemporaryKey;
use super::way::Way;

/// The machine to connect to, as the builder that started it knows it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name or address; the one that the template gives (`ssh_host`) wins over it.
    pub host: String,
    /// The port where a builder forwards one; `None` stands for the connector's own.
    pub port: Option<u16>,
    /// The key that the builder made for this machine.
    pub key: Option<Arc<TemporaryKey>>,
    /// How the machine shows that it is the one that was started.
    pub host_key: HostKey,
    /// A way to the machine that needs no address of it.
    pub way: Option<Arc<dyn Way>>,
    /// Whether it is starting now: what it refuses at first, it may accept later.
    pub boots: bool,
}

impl Target {
    /// A machine that nobody has started, at `host`.
    pub fn at(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: None,
            key: None,
            host_key: HostKey::FirstUse,
            way: None,
            boots: false,
        }
    }
}

/// How the machine proves that it is the one that was started.
#[derive(Clone, Debug)]
pub enum HostKey {
    /// By one of the keys that it announced, if it has done so by then; else as `FirstUse`.
    Announced(Announcement),
    /// By nothing the first time; by the same key every time after that.
    FirstUse,
}
