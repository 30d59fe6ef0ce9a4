//! The VNC server through which people see a machine's screen.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use smart_default::SmartDefault;

use crate::component::Check;
use crate::secret::{Secret, random};
use crate::vm::qmp::Qmp;

/// The port of display 0.
const FIRST_PORT: u16 = 5900;
/// How long a password may be: the protocol knows no more of it.
const LONGEST_PASSWORD: usize = 8;

/// How people see the machine's screen.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Whether there is no VNC server. The boot command does not need it, but as with Packer it
    /// cannot be given then.
    pub disable_vnc: bool,
    /// The address that the VNC server listens on.
    #[default(Ipv4Addr::LOCALHOST.to_string())]
    pub vnc_bind_address: String,
    /// The first port to try for the VNC server; not below 5900.
    #[default(FIRST_PORT)]
    pub vnc_port_min: u16,
    /// The last port to try.
    #[default(6000)]
    pub vnc_port_max: u16,
    /// Whether the VNC server asks for a password.
    pub vnc_use_password: bool,
    /// The password that it asks for, of at most 8 characters; then it asks for it in any case. If
    /// `vnc_use_password` is set without one, it is made up, and kept in the file `vnc-password` beside
    /// the pictures of the screen as long as the machine runs.
    pub vnc_password: Option<Secret>,
}

impl Options {
    /// Reports what cannot be.
    pub fn check(&self, check: &mut Check<'_>) {
        if self.disable_vnc {
            for option in ["boot_command", "boot_steps"] {
                if check.is_given(option) {
                    let cause = "a boot command cannot be used with `disable_vnc`";
                    check.error(option, cause).help = Some("leave `disable_vnc` out".to_owned());
                }
            }
        }
        if self.vnc_port_min < FIRST_PORT {
            check.error("vnc_port_min", format!("the ports of VNC begin at {FIRST_PORT}"));
        }
        if self.vnc_port_min > self.vnc_port_max {
            check.error("vnc_port_min", "it must not be greater than `vnc_port_max`");
        }
        let length = self.vnc_password.as_ref().map_or(0, |given| given.expose().len());
        if length > LONGEST_PASSWORD {
            let cause = format!("it has {length} characters: VNC takes at most {LONGEST_PASSWORD}");
            check.error("vnc_password", cause);
        }
    }

    /// Whether the server asks for a password.
    pub fn asks(&self) -> bool {
        self.vnc_use_password || self.password().is_some()
    }

    /// The password that the template gives.
    pub fn password(&self) -> Option<&Secret> {
        self.vnc_password.as_ref().filter(|given| !given.is_empty())
    }

    /// The value of QEMU's `-vnc`: it takes the first port of the range that is free, so that nobody
    /// else can take it in between.
    pub fn argument(&self) -> Option<String> {
        if self.disable_vnc {
            return None;
        }
        let host = match self.vnc_bind_address.as_str() {
            "" => Ipv4Addr::LOCALHOST.to_string(),
            address if address.contains(':') && !address.starts_with('[') => format!("[{address}]"),
            address => address.to_owned(),
        };
        let display = |port: u16| port.saturating_sub(FIRST_PORT);
        let (first, last) = (display(self.vnc_port_min), display(self.vnc_port_max));
        let password = if self.asks() { ",password=on" } else { "" };
        Some(format!("{host}:{first},to={last}{password}"))
    }
}

/// Tells the server which password to ask for. Until then it lets nobody in.
pub async fn set_password(qmp: &Qmp, password: &Secret) -> anyhow::Result<()> {
    let arguments = json!({ "protocol": "vnc", "password": password.expose() });
    qmp.execute("set_password", arguments).await.map(drop)
}

/// Writes the password, as a line, where only this user can read it.
pub fn write_password(file: &Path, password: &Secret) -> anyhow::Result<()> {
    let line = Secret::new(format!("{}\n", password.expose()));
    let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| line.write_to(file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// A password for one machine.
pub fn new_password() -> anyhow::Result<Secret> {
    let bytes = random::<LONGEST_PASSWORD>()?;
    const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let signs = bytes.iter().map(|byte| char::from(SIGNS[usize::from(byte % 32)]));
    Ok(Secret::new(signs.collect::<String>()))
}

/// Where the machine's screen can be seen, for VNC clients; `None` if it has no VNC server.
pub async fn url(qmp: &Qmp) -> Option<String> {
    let server = qmp.execute("query-vnc", json!({})).await.ok()?;
    let field = |name: &str| server.get(name)?.as_str().map(str::to_owned);
    let host = match field("host")? {
        host if host.contains(':') => format!("[{host}]"),
        host => host,
    };
    Some(format!("vnc://{host}:{}", field("service")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_is_told_of_a_range_of_displays() {
        let argument = |options: Options| options.argument();
        assert_eq!(argument(Options::default()).unwrap(), "127.0.0.1:0,to=100");
        let options = Options {
            vnc_bind_address: "::1".into(),
            vnc_port_min: 5910,
            vnc_port_max: 5910,
            vnc_password: Some(Secret::new("x")),
            ..Options::default()
        };
        assert_eq!(argument(options).unwrap(), "[::1]:10,to=10,password=on");
        assert_eq!(argument(Options { disable_vnc: true, ..Options::default() }), None);
    }

    #[test]
    fn passwords_are_as_long_as_the_protocol_takes_and_never_the_same() {
        let (one, two) = (new_password().unwrap(), new_password().unwrap());
        assert_eq!(one.expose().len(), LONGEST_PASSWORD);
        assert_ne!(one, two);
    }
}
