//! The connection to a machine.
//!
//! A [`Connector`] is one way to talk to machines; `connectors.rs` lists those that any builder may
//! take, and each has its options. `docker` brings its own. A builder has [`Options`] among its own, [chooses](Options::choose) one
//! of those that it [takes](Taken), starts a machine, and [opens](Chosen::open) a connection to the
//! [`Target`] that it knows. What comes back is a
//! [`Communicator`](crate::component::Communicator) for the provisioners.

mod announcement;
mod bridge;
mod connector;
mod connectors;
#[cfg(feature = "docker")]
mod docker;
mod key;
mod lent;
mod listening;
mod local;
mod none;
mod options;
mod pack;
mod progress;
mod quoting;
mod ssh;
mod target;
mod way;
mod winrm;

pub use announcement::Announcement;
pub use connector::{Connector, FoundLogin, KeyRequest, PasswordKey, Pause};
#[cfg(feature = "docker")]
pub use docker::DockerExec;
pub use key::{KeyType, TemporaryKey};
pub use lent::lend;
pub use options::{Chosen, Options, Taken};
pub use ssh::{SshOptions, TransferMethod};
pub use target::{HostKey, Target};
pub use way::{Transport, Way};

/// The connectors that any machine can be reached by; the first is the default.
pub const ANY: &[&str] = connectors::NAMES;
