//! The cloud of the tests: moto's server, and questions about what is left in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use super::{Server, fixture, free_port, wait_for, wait_for_port};

/// A running moto with its own empty account.
#[derive(Debug)]
pub struct Moto {
    _process: Process,
    /// On 127.0.0.1.
    pub port: u16,
}

/// What ends with a [`Moto`].
#[derive(Debug)]
#[expect(dead_code, reason = "held for its end")]
enum Process {
    Own(Server),
    Forked(Forked),
}

/// A child of [`Motos`].
#[derive(Debug)]
struct Forked(Pid);

impl Drop for Forked {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// A moto that was loaded once, and is forked for each test; it ends with the test run.
struct Motos {
    ports: ChildStdin,
    ids: BufReader<ChildStdout>,
}

impl Motos {
    #[expect(clippy::zombie_processes, reason = "it ends with the test run, when its input does")]
    fn load() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", include_str!("moto.py")])
            // Two of the images that moto knows: with all of them, whoever asks for snapshots is
            // told of a thousand.
            .env("MOTO_AMIS_PATH", fixture("canonical-amis.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto's python3 is on the path (tests/run does that)");
        let ports = child.stdin.take().expect("a pipe");
        let ids = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { ports, ids }
    }

    fn fork(&mut self, port: u16) -> Forked {
        writeln!(self.ports, "{port}").expect("moto reads (is it installed?)");
        let mut id = String::new();
        self.ids.read_line(&mut id).expect("moto answers");
        let id = id.trim().parse().ok().and_then(Pid::from_raw);
        Forked(id.expect("moto can be loaded (is it installed?)"))
    }
}

/// The documented example key: no credential of anybody.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Its secret half.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

impl Moto {
    /// Starts a server; `tests/run` put moto's environment on the path.
    pub fn start() -> Self {
        static MOTOS: LazyLock<Mutex<Motos>> = LazyLock::new(|| Mutex::new(Motos::load()));
        let port = free_port();
        let forked = MOTOS.lock().expect("nobody panicked before").fork(port);
        let is_there = || {
            assert!(rustix::process::test_kill_process(forked.0).is_ok(), "moto ended early");
        };
        wait_for(port, "moto", is_there);
        Self { _process: Process::Forked(forked), port }
    }

    /// Starts a server with more variables in its environment, which takes seconds.
    pub fn start_with(
        vars: impl IntoIterator<Item = (impl AsRef<std::ffi::OsStr>, impl AsRef<std::ffi::OsStr>)>,
    ) -> Self {
        Self::spawn(&[], vars)
    }

    /// Starts a server that speaks TLS, with a certificate that nobody vouches for.
    pub fn start_with_tls() -> Self {
        Self::spawn(&["-s"], [("", ""); 0])
    }

    fn spawn(
        args: &[&str],
        vars: impl IntoIterator<Item = (impl AsRef<std::ffi::OsStr>, impl AsRef<std::ffi::OsStr>)>,
    ) -> Self {
        let port = free_port();
        let child = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .args(args)
            .envs(vars)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server is installed (tests/run does)");
        let mut server = Server(child);
        wait_for_port(&mut server.0, port, "moto_server");
        Self { _process: Process::Own(server), port }
    }

    /// Where its API is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its IAM.
    #[cfg(feature = "aws")]
    pub fn iam(&self) -> aws_sdk_iam::Client {
        let credentials =
            aws_sdk_iam::config::Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(aws_sdk_iam::config::BehaviorVersion::latest())
            .credentials_provider(credentials)
            .region(aws_sdk_iam::config::Region::new("us-east-1"))
            .endpoint_url(self.endpoint());
        aws_sdk_iam::Client::from_conf(config.build())
    }

    /// Its Systems Manager in `region`.
    #[cfg(feature = "aws")]
    pub fn ssm(&self, region: &'static str) -> aws_sdk_ssm::Client {
        use aws_sdk_ssm::config::{BehaviorVersion, Credentials, Region};
        let config = aws_sdk_ssm::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .region(Region::new(region))
            .endpoint_url(self.endpoint());
        aws_sdk_ssm::Client::from_conf(config.build())
    }

    /// Its Auto Scaling in `region`.
    #[cfg(feature = "aws")]
    pub fn auto_scaling(&self, region: &'static str) -> aws_sdk_autoscaling::Client {
        use aws_sdk_autoscaling::config::{BehaviorVersion, Credentials, Region};
        let config = aws_sdk_autoscaling::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .region(Region::new(region))
            .endpoint_url(self.endpoint());
        aws_sdk_autoscaling::Client::from_conf(config.build())
    }

    /// The environment that points AWS clients at it.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }
}

impl Moto {
    /// A subnet that every account has.
    pub fn default_subnet(&self, region: &str) -> String {
        let answer = self.ec2(region, "DescribeSubnets");
        let id = regex::Regex::new("<subnetId>([^<]+)<").expect("a pattern");
        id.captures(&answer).expect("a default subnet")[1].to_owned()
    }

    /// The answer to an EC2 call without parameters; moto asks for no signature, only for a region.
    pub fn ec2(&self, region: &str, action: &str) -> String {
        let scope = format!("Credential={ACCESS_KEY}/20260101/{region}/ec2/aws4_request");
        let output = Command::new("curl")
            .args(["-fsS", "-H", &format!("Authorization: AWS4-HMAC-SHA256 {scope}")])
            .args(["-d", &format!("Action={action}&Version=2016-11-15")])
            .arg(self.endpoint())
            .output()
            .expect("curl is installed (tests/run does)");
        assert!(output.status.success(), "{action}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The answer of a service that is called in JSON, e.g. `kms`'s to `TrentService.CreateKey`.
    pub fn json(
        &self,
        service: &str,
        target: &str,
        input: &serde_json::Value,
    ) -> serde_json::Value {
        let scope = format!("Credential={ACCESS_KEY}/20260101/us-east-1/{service}/aws4_request");
        let output = Command::new("curl")
            .args(["-fsS", "-H", &format!("Authorization: AWS4-HMAC-SHA256 {scope}")])
            .args(["-H", &format!("X-Amz-Target: {target}")])
            .args(["-H", "Content-Type: application/x-amz-json-1.1", "-d", &input.to_string()])
            .arg(self.endpoint())
            .output()
            .expect("curl is installed (tests/run does)");
        assert!(output.status.success(), "{target}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}
