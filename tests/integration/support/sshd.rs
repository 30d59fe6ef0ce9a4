//! OpenSSH's server on a loopback port: the "instance" of the tests.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{Server, free_port, wait_for_port};

/// A running sshd that lets the current user in with its keys.
#[derive(Debug)]
pub struct Sshd {
    _server: Server,
    dir: TempDir,
    /// On 127.0.0.1.
    pub port: u16,
    /// Who may log in.
    pub user: String,
}

impl Sshd {
    /// With the usual settings.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With more lines in `sshd_config`; the first value of a keyword wins, and these come first.
    pub fn start_with(config: &str) -> Self {
        Self::start_new(free_port(), config)
    }

    /// It accepts any key, as if it were the instance that EC2 gave the key to.
    pub fn start_with_any_key() -> Self {
        Self::start_with("AuthorizedKeysCommand /bin/echo %t %k\nAuthorizedKeysCommandUser root")
    }

    /// As if the user had this login shell.
    pub fn start_with_login_shell(shell: &str) -> Self {
        Self::start_with(&format!(
            "ForceCommand {shell} -c \"$SSH_ORIGINAL_COMMAND\"\nSetEnv SHELL={shell}"
        ))
    }

    /// With the usual settings, on this port.
    pub fn start_on(port: u16) -> Self {
        Self::start_new(port, "")
    }

    fn start_new(port: u16, config: &str) -> Self {
        // RSA keys take longer to find than a server to start: the servers of a test run share them.
        static KEYS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(rsa_keys);
        let dir = tempfile::Builder::new().prefix("imgbake-sshd").tempdir().expect("a directory");
        for (name, key) in &*KEYS {
            let mut file = fs::OpenOptions::new();
            let file = file.write(true).create_new(true).mode(0o600).open(dir.path().join(name));
            file.and_then(|mut file| file.write_all(key)).expect("a key");
        }
        for kind in ["ed25519", "ecdsa"] {
            for of in ["host", "client"] {
                generate_key(kind, &dir.path().join(format!("{of}_{kind}")));
            }
        }
        Self::start_in(dir, port, config)
    }

    fn start_in(dir: TempDir, port: u16, config: &str) -> Self {
        let path = dir.path();
        let keys = ["ed25519", "rsa", "ecdsa"].map(|kind| {
            fs::read_to_string(path.join(format!("client_{kind}.pub"))).expect("a key")
        });
        fs::write(path.join("authorized_keys"), keys.concat()).expect("authorized_keys");
        // With this SHLVL, bash does not read the start-up files of whoever runs the tests.
        let text = format!(
            "{config}\nPort {port}\nListenAddress 127.0.0.1\nPidFile none\nStrictModes no\n\
             HostKey {dir}/host_ed25519\nHostKey {dir}/host_rsa\nHostKey {dir}/host_ecdsa\n\
             AuthorizedKeysFile {dir}/authorized_keys\nPermitRootLogin yes\nUsePAM no\n\
             SetEnv SHLVL=1\nMaxSessions 100\nMaxStartups 200:30:400\nSubsystem sftp internal-sftp\n",
            dir = path.display(),
        );
        let file = path.join("sshd_config");
        fs::write(&file, text).expect("sshd_config");
        // Where sshd separates its privileges; only root needs and can make it.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(path.join("log")).expect("a log");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("openssh-server is installed (tests/run does)");
        let mut server = Server(child);
        wait_for_port(&mut server.0, port, "sshd");
        Self { _server: server, dir, port, user: current_user() }
    }

    /// A private key that is let in: `ed25519`, `rsa` or `ecdsa`.
    pub fn key(&self, kind: &str) -> PathBuf {
        self.dir.path().join(format!("client_{kind}"))
    }

    /// The public half of a host key.
    pub fn host_key(&self, kind: &str) -> PathBuf {
        self.dir.path().join(format!("host_{kind}.pub"))
    }

    /// What sshd said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The directory that it lives in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file that says whose key is let in.
    pub fn authorized_keys(&self) -> PathBuf {
        self.dir.path().join("authorized_keys")
    }

    /// A null builder `web` that reaches this server, with these options beside.
    pub fn builder(&self, options: Json) -> Json {
        let mut builder = json!({
            "type": "null", "name": "web", "ssh_host": "127.0.0.1", "ssh_port": self.port,
            "ssh_username": self.user, "ssh_private_key_file": self.key("ed25519"),
        });
        let all = builder.as_object_mut().expect("a map");
        all.extend(options.as_object().expect("a map").clone());
        builder
    }

    /// Lines for a `source` block: how to reach this server.
    pub fn hcl_options(&self) -> String {
        format!(
            "ssh_host = \"127.0.0.1\"\nssh_port = {}\nssh_username = \"{}\"\nssh_private_key_file = \"{}\"\n",
            self.port,
            self.user,
            self.key("ed25519").display(),
        )
    }
}

/// Two RSA keys, as files: for a server, and for who logs in.
fn rsa_keys() -> Vec<(String, Vec<u8>)> {
    let dir = tempfile::tempdir().expect("a directory");
    for of in ["host", "client"] {
        generate_key("rsa", &dir.path().join(format!("{of}_rsa")));
    }
    let files = fs::read_dir(dir.path()).expect("the directory").map(|file| {
        let file = file.expect("a file");
        let name = file.file_name().into_string().expect("a name");
        (name, fs::read(file.path()).expect("a key"))
    });
    files.collect()
}

/// Who runs the tests.
pub fn current_user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}

/// An OpenSSH key pair without a passphrase at `path` and `path.pub`.
pub fn generate_key(kind: &str, path: &Path) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "imgbake-test", "-t", kind, "-f"])
        .arg(path)
        .status()
        .expect("openssh-client is installed (tests/run does)");
    assert!(status.success(), "ssh-keygen -t {kind}");
}
