//! `puppet-server`: runs Puppet's agent on the machine, which asks a Puppet server.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::agent::{Puppet, PuppetOptions, Run};
use crate::component::{Check, Component, ProvisionContext, Provisioner};
use crate::config::{Late, late_fields};
use crate::provisioner::check_directory;
use crate::provisioner::elevated::Elevation;
use crate::provisioner::staging::{GuestOptions, Staging};

late_fields! {
    /// The fields of `execute_command` and `extra_arguments`.
    pub ServerFields = [
        "ClientCertPath", "ClientPrivateKeyPath", "Debug", "ExtraArguments", "FacterVars",
        "PuppetBinDir", "PuppetNode", "PuppetServer", "Sudo", "WorkingDir"
    ];
}

/// The options of `puppet-server` beside those of both provisioners of Puppet.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerOptions {
    /// The name of the Puppet server. Default: as Puppet is set up on the machine.
    pub puppet_server: Option<String>,
    /// The name of the machine's certificate. Default: as Puppet is set up on the machine.
    pub puppet_node: Option<String>,
    /// A directory of certificates for the machine.
    pub client_cert_path: Option<String>,
    /// A directory of private keys for the machine. They are removed from it at the end.
    pub client_private_key_path: Option<String>,
    /// More arguments of Puppet, for the machine's shell: not quoted.
    pub extra_arguments: Vec<Late<ServerFields>>,
    /// The command that runs Puppet, for the machine's shell. Default: `puppet agent --onetime
    /// --no-daemonize --detailed-exitcodes` in the working directory, with `sudo -E` unless
    /// `prevent_sudo`, and with all that the other options say.
    pub execute_command: Option<Late<ServerFields>>,
    /// Where everything is uploaded to. Default: `packer-puppet-server` in `/tmp`, or in
    /// `C:/Windows/Temp`.
    pub staging_dir: Option<String>,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct PuppetServer {
    own: ServerOptions,
    puppet: Puppet,
}

impl Component for PuppetServer {
    const TYPE: &'static str = "puppet-server";
    const ABOUT: &'static str = "Runs Puppet's agent on the machine, against a Puppet server.";
    type Options = (ServerOptions, PuppetOptions, GuestOptions, Elevation);

    fn prepare(
        (own, shared, guest, elevation): Self::Options,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        check_directory(check, "client_cert_path", own.client_cert_path.as_deref());
        check_directory(check, "client_private_key_path", own.client_private_key_path.as_deref());
        let staging = ("packer-puppet-server", own.staging_dir.clone());
        let puppet = Puppet::new(shared, guest, elevation, staging, check);
        Some(Self { own, puppet })
    }
}

#[async_trait]
impl Provisioner for PuppetServer {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        self.puppet.provision(cx, |staging| self.stage(staging)).await
    }

    /// What a server says changes, whatever is here.
    fn reads(&self) -> Option<Vec<PathBuf>> {
        None
    }
}

impl PuppetServer {
    /// Says what goes where, and how Puppet is told.
    fn stage(&self, staging: &mut Staging<'_>) -> Run<'_, ServerFields> {
        let own = &self.own;
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let certificates = own.client_cert_path.as_deref();
        let certificates = certificates.map(|path| staging.folder("client cert", path, "certs"));
        let keys = own.client_private_key_path.as_deref();
        let keys =
            keys.map(|path| staging.secret_folder("client private keys", path, "private_keys"));
        Run {
            execute_command: own.execute_command.as_ref(),
            extra_arguments: &own.extra_arguments,
            action: "agent --onetime --no-daemonize --detailed-exitcodes",
            fields: vec![
                ("PuppetServer", "--server", given(&own.puppet_server)),
                ("PuppetNode", "--certname", given(&own.puppet_node)),
                ("ClientCertPath", "--certdir", certificates.unwrap_or_default()),
                ("ClientPrivateKeyPath", "--privatekeydir", keys.unwrap_or_default()),
            ],
            manifest: None,
        }
    }
}
