//! How other programs of this machine get to the one at the end of a connection.

use std::path::PathBuf;

use tokio_util::task::AbortOnDropHandle;

use crate::secret::Secret;

/// Which way another program gets to a machine that we are connected to.
#[derive(Clone, Copy, Debug)]
pub enum Entrance<'a> {
    /// It logs in there itself, with the key that let us in.
    OwnLogin,
    /// It logs in there itself, by what its own user gives it, or by a key that may let it in: all that is
    /// sure is where the machine is.
    Unaided,
    /// It logs in to an SSH server on loopback, which leads to the machine over our connection.
    OurConnection(&'a Sharing),
}

/// How a connection is shared with other programs of this machine.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    /// The port to listen on, or one of the nine after it; zero: any.
    pub port: u16,
    /// Whether keys that are made for it are RSA keys.
    pub rsa: bool,
    /// The private key that shows who the server is; a new one if not given.
    pub host_key: Option<Secret>,
    /// Who may log in, as `authorized_keys` has it; whoever has a new key if not given.
    pub authorized_key: Option<String>,
    /// The user to log in as; the machine's if not given.
    pub user: Option<String>,
    /// The command of the machine that speaks SFTP; what its SSH server has for that if not given.
    pub sftp_command: Option<String>,
}

/// What a program that speaks WinRM must know to get to a machine.
#[derive(Debug)]
pub struct WindowsAccess {
    /// The address to connect to.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// With which password.
    pub password: Secret,
    /// Whether HTTPS is spoken.
    pub is_https: bool,
    /// Whether the certificate is looked at.
    pub is_verified: bool,
    /// Whether NTLM is spoken; else Basic.
    pub is_ntlm: bool,
    /// Whether no proxy of the environment leads there.
    pub is_direct: bool,
    /// What leads to the machine, and ends with this value.
    pub leads: Option<AbortOnDropHandle<()>>,
}

/// What a program must know to run commands in a container.
#[derive(Clone, Debug)]
pub struct ContainerAccess {
    /// The container.
    pub id: String,
    /// Who runs commands; the container's own user if nobody is named.
    pub user: Option<String>,
    /// Where its engine listens, as `DOCKER_HOST` says it.
    pub engine: String,
    /// Podman's program, if that is the engine.
    pub podman: Option<PathBuf>,
}

/// What a program that speaks SSH must know to get to a machine.
#[derive(Debug)]
pub struct Access {
    /// The address to connect to.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The private key to log in with, in OpenSSH's form; the agent's if not given.
    pub key: Option<Secret>,
    /// The certificate of the key, in OpenSSH's form.
    pub certificate: Option<String>,
    /// The keys that the server may show, each as `authorized_keys` has them.
    pub host_keys: Vec<String>,
    /// What leads to the machine, and ends with this value.
    pub leads: Option<AbortOnDropHandle<()>>,
}
