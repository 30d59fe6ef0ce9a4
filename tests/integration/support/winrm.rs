//! A WinRM service for tests; `winrm_server.py` says what it knows.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{Server, cache_dir, pause};

/// Whom the service lets in.
pub const USER: &str = "vagrant";
/// With what.
pub const PASSWORD: &str = "va'gr\"ant-%pass%&";

/// The machine with the service.
#[derive(Debug)]
pub struct WinRm {
    _server: Server,
    dir: tempfile::TempDir,
    /// On 127.0.0.1.
    pub port: u16,
    is_https: bool,
}

impl WinRm {
    /// One that takes Basic over HTTP.
    pub fn basic() -> Self {
        Self::start(&[])
    }

    /// One that takes NTLM only, over HTTP.
    pub fn ntlm() -> Self {
        Self::start(&["--no-basic"])
    }

    /// One with HTTPS and a certificate that nobody vouches for.
    pub fn https() -> Self {
        Self::start(&["--cert"])
    }

    /// One with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str| dir.path().join(name);
        std::fs::create_dir(file("c")).expect("a directory");
        std::fs::write(file("users"), format!(":{USER}:{PASSWORD}\n")).expect("a file");
        let mut command = Command::new(python());
        command.arg(support("winrm_server.py"));
        command.args([file("port"), file("c"), file("log")]).arg(scripts());
        command.args(arguments);
        let is_https = arguments.contains(&"--cert");
        if is_https {
            command.arg(certificate(dir.path()));
        }
        command.env("NTLM_USER_FILE", file("users")).stdout(Stdio::null());
        let server = Server(command.spawn().expect("python3"));
        let deadline = Instant::now() + Duration::from_secs(60);
        let port = loop {
            if let Ok(text) = std::fs::read_to_string(file("port")) {
                break text.parse().expect("a port");
            }
            assert!(Instant::now() < deadline, "the WinRM service does not start");
            pause(20);
        };
        Self { _server: server, dir, port, is_https }
    }

    /// Where Python's libraries for WinRM are.
    pub fn site_packages() -> String {
        let code = "import winrm, os; print(os.path.dirname(os.path.dirname(winrm.__file__)))";
        let output = Command::new(python()).args(["-c", code]).output().expect("python3");
        String::from_utf8(output.stdout).expect("a path").trim().to_owned()
    }

    /// A null builder that reaches it, with these options beside.
    pub fn builder(&self, options: Json) -> Json {
        let mut builder = json!({
            "type": "null", "name": "web", "communicator": "winrm", "winrm_host": "127.0.0.1",
            "winrm_port": self.port, "winrm_username": USER, "winrm_password": PASSWORD,
            "winrm_timeout": "30s",
        });
        let all = builder.as_object_mut().expect("a map");
        all.extend(options.as_object().expect("a map").clone());
        builder
    }

    /// A file on the machine's drive C:.
    pub fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join("c").join(path)
    }

    /// What it was asked, and what it ran.
    pub fn log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Uploads `file` as Packer does.
    pub fn upload_by_echo(&self, file: &Path) -> Output {
        let url = format!("http://127.0.0.1:{}/wsman", self.port);
        let mut command = Command::new(python());
        command.arg(support("winrm_echo.py")).args([&url, USER, PASSWORD]).arg(file);
        command.output().expect("python3")
    }

    /// The variables of every script and tool that it ran, in order.
    pub fn variables(&self) -> Vec<Json> {
        let log = self.log();
        let all = log.iter().filter_map(|line| line.strip_prefix("variables "));
        all.map(|text| serde_json::from_str(text).expect("JSON")).collect()
    }

    /// The same commands, run by two public clients.
    pub fn ask_public_clients(&self, how: &str) -> Output {
        let scheme = if self.is_https { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{}/wsman", self.port);
        let mut command = Command::new(python());
        command.arg(support("winrm_clients.py")).args([&url, USER, PASSWORD, how]);
        command.output().expect("python3")
    }
}

/// The Python that has the libraries; `tests/run` makes it.
fn python() -> PathBuf {
    let python = cache_dir().with_file_name("winrm-1").join("bin/python3");
    assert!(python.exists(), "{} is missing (see tests/run)", python.display());
    python
}

fn support(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/support").join(name)
}

/// Where the PowerShell texts are that imgbake sends.
fn scripts() -> String {
    ["communicator/winrm", "provisioner/elevated", "provisioner/environment"]
        .map(|room| format!("{}/src/{room}", env!("CARGO_MANIFEST_DIR")))
        .join(":")
}

/// A certificate for 127.0.0.1, with its key, in one file.
fn certificate(dir: &Path) -> PathBuf {
    let file = dir.join("cert.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext"])
        .arg("subjectAltName=IP:127.0.0.1")
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(&file)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = std::fs::read_to_string(dir.join("key.pem")).expect("a key");
    let certificate = std::fs::read_to_string(&file).expect("a certificate");
    std::fs::write(&file, certificate + &key).expect("a file");
    file
}
