//! How other programs log in to the machine of a plugin's builder: by what the builder tells of it, and by
//! what its template says of WinRM.

use crate::component::{Access, WindowsAccess};
use crate::config::{Node, NodeKind};
use crate::interpolate::BuildData;
use crate::secret::Secret;

/// What a builder's template says of WinRM, by the names that all builders have for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WinRmFlags {
    is_https: bool,
    is_unverified: bool,
    is_ntlm: bool,
    is_direct: bool,
}

impl WinRmFlags {
    /// What the block `body` says.
    pub fn of(body: &Node) -> Self {
        let is_set = |name: &str| {
            let value = body.entries().and_then(|entries| entries.get(name));
            value.is_some_and(|entry| match &entry.value.kind {
                NodeKind::Bool(is_set) => *is_set,
                NodeKind::String(text) => text == "true",
                _ => false,
            })
        };
        Self {
            is_https: is_set("winrm_use_ssl"),
            is_unverified: is_set("winrm_insecure"),
            is_ntlm: is_set("winrm_use_ntlm"),
            is_direct: is_set("winrm_no_proxy"),
        }
    }
}

/// What a builder tells of its machine.
#[derive(Clone, Debug)]
pub struct Login {
    host: String,
    port: u16,
    user: String,
    password: Secret,
    key: Secret,
    winrm: WinRmFlags,
}

impl Login {
    /// What `data` says.
    pub fn of(data: &BuildData, winrm: WinRmFlags) -> Self {
        let text = |name: &str| data.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let port = data.get("Port");
        let number = port.and_then(|port| port.as_u64()).and_then(|port| port.try_into().ok());
        let password = [text("WinRMPassword"), text("Password")];
        let password = password.into_iter().find(|password| !password.is_empty());
        Self {
            host: text("Host").to_owned(),
            port: number.or_else(|| text("Port").parse().ok()).unwrap_or_default(),
            // Where nobody says it, other programs need a name all the same.
            user: Some(text("User")).filter(|user| !user.is_empty()).unwrap_or("packer").to_owned(),
            password: Secret::new(password.unwrap_or_default()),
            key: Secret::new(text("SSHPrivateKey")),
            winrm,
        }
    }

    /// The user that the plugin has logged in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// By SSH, with the key that the builder tells, if it tells one; `None` if it tells no address. Which
    /// host keys the machine has nobody knows.
    pub fn ssh(&self) -> Option<Access> {
        let key = self.key.expose().trim_end();
        self.has_address().then(|| Access {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            // `ssh` takes no key whose last line has no end.
            key: (!key.is_empty()).then(|| Secret::new(format!("{key}\n"))),
            certificate: None,
            host_keys: Vec::new(),
            leads: None,
        })
    }

    /// By WinRM.
    pub fn windows(&self) -> Option<WindowsAccess> {
        self.has_address().then(|| WindowsAccess {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.clone(),
            is_https: self.winrm.is_https,
            is_verified: !self.winrm.is_unverified,
            is_ntlm: self.winrm.is_ntlm,
            is_direct: self.winrm.is_direct,
            leads: None,
        })
    }

    fn has_address(&self) -> bool {
        !self.host.is_empty() && self.port != 0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(text: serde_json::Value) -> BuildData {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_machine_of_windows_is_entered_as_its_template_says() {
        let body = Node::for_tests(&json!({"winrm_use_ssl": true, "winrm_insecure": "true"}));
        let told = data(json!({
            "Host": "192.0.2.1", "Port": 5986, "User": "vagrant", "WinRMPassword": "p"
        }));
        let access = Login::of(&told, WinRmFlags::of(&body)).windows().unwrap();
        assert_eq!((&*access.host, access.port, &*access.user), ("192.0.2.1", 5986, "vagrant"));
        assert_eq!(access.password.expose(), "p");
        assert!(access.is_https && !access.is_verified && !access.is_ntlm && !access.is_direct);
    }

    #[test]
    fn a_machine_is_entered_with_its_key_if_it_tells_one_and_an_address() {
        let mut told = data(json!({"Host": "h", "Port": "2222", "SSHPrivateKey": "key"}));
        let login = Login::of(&told, WinRmFlags::default());
        let access = login.ssh().unwrap();
        assert_eq!((access.port, access.key.unwrap().expose()), (2222, "key\n"));
        assert_eq!(login.user(), "packer");
        told.remove("SSHPrivateKey");
        assert!(Login::of(&told, WinRmFlags::default()).ssh().unwrap().key.is_none());
        told.remove("Host");
        assert!(Login::of(&told, WinRmFlags::default()).ssh().is_none());
    }
}
