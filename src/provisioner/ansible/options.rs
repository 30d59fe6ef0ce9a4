//! The options of `ansible`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::config::{Late, late_fields};
use crate::provisioner::fields::MachineFields;

late_fields! {
    /// The fields of `inventory_file_template`.
    pub InventoryFields = ["HostAlias", "Host", "User", "Port"];
}

/// The kinds of keys that the proxy can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProxyKey {
    /// P-384.
    Ecdsa,
    /// 2048 bits.
    Rsa,
}

/// The options of `ansible`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The playbook.
    pub playbook_file: Option<String>,
    /// The program that runs the playbook: a name or a path, no command line.
    #[default("ansible-playbook".to_owned())]
    pub command: String,
    /// More arguments for it, each one word. Extra variables (`-e`) that hold a secret, or whose text
    /// speaks of a password or a secret, are given in a file: a command line can be read by every
    /// user of this machine.
    pub extra_arguments: Vec<Late<MachineFields>>,
    /// Variables of its environment, each as `NAME=value`.
    pub ansible_env_vars: Vec<Late<MachineFields>>,
    /// More arguments for `ssh`, where it logs in with a key. Default: `-o IdentitiesOnly=yes`.
    pub ansible_ssh_extra_args: Vec<String>,
    /// Groups of the generated inventory that the machine is in.
    pub groups: Vec<String>,
    /// Groups of the generated inventory that nothing is in.
    pub empty_groups: Vec<String>,
    /// The machine's name in the generated inventory. Default: `default`.
    pub host_alias: Option<String>,
    /// The user to log in as. Default: the connection's. With another one, and without `use_proxy =
    /// false`, it is only what Ansible calls the user: it uses imgbake's connection then.
    pub user: Option<String>,
    /// The port of the proxy on this machine, or one of the nine after it; zero: any. Giving it asks
    /// for the proxy.
    pub local_port: u16,
    /// The private key of the proxy's SSH server. Giving it asks for the proxy.
    pub ssh_host_key_file: Option<String>,
    /// The public key that may log in to the proxy, instead of a new one. Giving it asks for the
    /// proxy.
    pub ssh_authorized_key_file: Option<String>,
    /// The kind of the proxy's new keys: `ECDSA` (the default) or `RSA`.
    pub ansible_proxy_key_type: Option<ProxyKey>,
    /// The command of the machine that speaks SFTP for the proxy. Default: what its SSH server has
    /// for that.
    pub sftp_command: Option<String>,
    /// Whether files go by SFTP: `false` pipes them through commands. Default: as Ansible is set up,
    /// which tries SFTP first.
    pub use_sftp: Option<bool>,
    /// Whether the version of `command` is not looked at.
    pub skip_version_check: bool,
    /// The directory that the generated inventory is put in, e.g. one with `group_vars`.
    pub inventory_directory: Option<String>,
    /// The inventory to use instead of a generated one: it must say how the machine is reached.
    pub inventory_file: Option<String>,
    /// The lines of the machine in the generated inventory. Default: `{{ .HostAlias }}
    /// ansible_host={{ .Host }} ansible_user={{ .User }} ansible_port={{ .Port }}`. How to log in is
    /// added.
    pub inventory_file_template: Option<Late<InventoryFields>>,
    /// Whether the generated inventory is kept.
    pub keep_inventory_file: bool,
    /// A `requirements.yml` whose roles and collections are installed first, on this machine.
    pub galaxy_file: Option<String>,
    /// The program that installs them.
    #[default("ansible-galaxy".to_owned())]
    pub galaxy_command: String,
    /// Installs them even where they are installed already.
    pub galaxy_force_install: bool,
    /// The same, for what they need, too.
    pub galaxy_force_with_deps: bool,
    /// Where roles are installed to. Default: as Ansible is set up.
    pub roles_path: Option<String>,
    /// Where collections are installed to. Default: as Ansible is set up.
    pub collections_path: Option<String>,
    /// Whether Ansible works over imgbake's own connection (`true`), through an SSH server on
    /// loopback, or logs in to the machine itself (`false`). Unlike in Packer it logs in itself if
    /// this is not given, as far as it can: with a key or an agent, through bastions and tunnels. To a
    /// machine with WinRM, and into a container, it always goes itself.
    pub use_proxy: Option<bool>,
    /// Has Ansible speak HTTP with a machine that is reached by WinRM, whatever the build speaks.
    pub ansible_winrm_use_http: bool,
}

impl Options {
    /// The machine's name in the generated inventory.
    pub(super) fn alias(&self) -> &str {
        self.host_alias.as_deref().unwrap_or("default")
    }

    /// Whether only the proxy can give what the template asks for.
    pub(super) fn wants_proxy(&self) -> bool {
        self.use_proxy == Some(true)
            || self.local_port != 0
            || self.ssh_host_key_file.is_some()
            || self.ssh_authorized_key_file.is_some()
    }
}
