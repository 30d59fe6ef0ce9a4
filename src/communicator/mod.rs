//! How machines are connected to.
//!
//! A [`Connector`] is one way to talk to machines, and a component with options of its own. The registry
//! has those that any builder may take; the builder `docker` brings its own. A builder has [`Options`]
//! among its own, [chooses](Options::choose) one of those that it [takes](Taken), starts a machine, and
//! [opens](Chosen::open) a connection to the [`Target`] that it knows. What comes back is a
//! [`Communicator`](crate::component::Communicator) for the provisioners.
//!
//! | file | what is there |
//! |---|---|
//! | `connector`, `target` | what a builder may ask of a connector, and what it knows of its machine |
//! | `options`, `registered` | what a template chooses, among the connectors of the registry |
//! | `ssh/`, `winrm/`, `none/`, `docker/` | a connector each, and the connection that it opens |
//! | `key`, `announcement` | keys made for a build or read; host keys that a console shows |
//! | `way` | a connection that the builder provides |
//! | `listening`, `ssh_bridge` | ports of this host, and an SSH server on it, that lead to a machine |
//! | `local`, `pack`, `bridge`, `quoting`, `progress` | what transfers share: files of this host, archives, streams, paths for a shell, how far it is |

mod announcement;
mod bridge;
mod connector;
#[cfg(feature = "docker")]
mod docker;
mod key;
mod listening;
mod local;
mod options;
mod pack;
mod progress;
mod quoting;
mod registered;
mod ssh_bridge;
mod target;
mod way;

use crate::component::Descriptor;

pub use announcement::Announcement;
pub use connector::{Connector, FoundLogin, KeyRequest, PasswordKey, Pause};
#[cfg(feature = "docker")]
pub use docker::DockerExec;
pub use key::{KeyType, TemporaryKey};
pub use options::{Chosen, Options, Taken};
pub use registered::Connectors;
pub use ssh::{SshOptions, TransferMethod};
pub use ssh_bridge::lend;
pub use target::{HostKey, Target};
pub use way::{Transport, Way};

/// A line for each connector: its folder, and the options that are it. The first is the default.
macro_rules! connectors {
    ($($module:ident::$options:ident),+ $(,)?) => {
        $(mod $module;)+

        /// The connectors that are built in.
        pub fn built_in() -> Vec<Descriptor<dyn Connector>> {
            vec![$(Descriptor::<dyn Connector>::of::<$module::$options>(|own| Box::new(own))),+]
        }
    };
}

connectors! {
    ssh::SshOptions,
    winrm::WinRmOptions,
    none::NoOptions,
}

/// The connectors of Packer that are refused by name.
pub const NOT_BUILT: &[&str] = &["dockerWindowsContainer"];
