//! The cloud of the tests: moto's server, and questions about what is left in it.

use std::process::{Command, Stdio};

use super::{Server, free_port, wait_for_port};

/// A running moto with its own empty account.
#[derive(Debug)]
pub struct Moto {
    _server: Server,
    /// On 127.0.0.1.
    pub port: u16,
}

/// The documented example key: no credential of anybody.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Its secret half.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

impl Moto {
    /// Starts a server; `tests/run` put `moto_server` on the path.
    pub fn start() -> Self {
        Self::start_with([("", ""); 0])
    }

    /// Starts a server with more variables in its environment.
    pub fn start_with(
        vars: impl IntoIterator<Item = (impl AsRef<std::ffi::OsStr>, impl AsRef<std::ffi::OsStr>)>,
    ) -> Self {
        let port = free_port();
        let child = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .envs(vars)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server is installed (tests/run does)");
        let mut server = Server(child);
        wait_for_port(&mut server.0, port, "moto_server");
        Self { _server: server, port }
    }

    /// Where its API is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
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
