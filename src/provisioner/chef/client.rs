//! `chef-client`: runs Chef on the machine, against a Chef server.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::infra::{Chef, ChefOptions};
use super::ruby::Config;
use crate::component::{Check, Command, Component, Exit, ProvisionContext, Provisioner};
use crate::config::{Late, late_fields};
use crate::interpolate::Dot;
use crate::provisioner::check_file;
use crate::provisioner::elevated::Elevation;
use crate::provisioner::fields::rendered_with;
use crate::provisioner::staging::{GuestOptions, Staging};

late_fields! {
    /// The fields of `knife_command`.
    pub KnifeFields = ["Args", "Flags", "Sudo"];
}

/// The options of `chef-client` beside those of both provisioners of Chef.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClientOptions {
    /// The address of the Chef server. Required.
    pub server_url: Option<String>,
    /// What the machine is called there. Default: `packer-` and a new UUID.
    pub node_name: Option<String>,
    /// Where the machine's key is on the machine. Default: `client.pem` in the staging directory,
    /// which Chef makes, and which is removed at the end.
    pub client_key: Option<String>,
    /// The key that registers new machines: a file. It is removed from the machine at the end.
    pub validation_key_path: Option<String>,
    /// Whose key that is. Default: `chef-validator`.
    pub validation_client_name: Option<String>,
    /// The policy of the machine; `policy_group` belongs to it.
    pub policy_name: Option<String>,
    /// The group of the policy; `policy_name` belongs to it.
    pub policy_group: Option<String>,
    /// How Chef looks at certificates: `verify_none` or `verify_peer`.
    pub ssl_verify_mode: Option<String>,
    /// A directory of the machine whose certificates Chef trusts.
    pub trusted_certs_dir: Option<String>,
    /// Where Chef fetches gems from.
    pub rubygems_url: Option<String>,
    /// The command that runs `knife`, for the machine's shell: `{{.Args}}` is what it is to do, and
    /// `{{.Flags}}` how.
    pub knife_command: Option<Late<KnifeFields>>,
    /// Leaves the node on the Chef server.
    pub skip_clean_node: bool,
    /// Leaves the client on the Chef server.
    pub skip_clean_client: bool,
    /// Leaves the staging directory on the machine; only the key of `validation_key_path`, other
    /// secrets and the command are removed.
    pub skip_clean_staging_directory: bool,
}

/// The fields of a `config_template`.
const FIELDS: [&str; 13] = [
    "ChefEnvironment",
    "ChefLicense",
    "ClientKey",
    "EncryptedDataBagSecretPath",
    "NodeName",
    "PolicyGroup",
    "PolicyName",
    "RubygemsUrl",
    "ServerUrl",
    "SslVerifyMode",
    "TrustedCertsDir",
    "ValidationClientName",
    "ValidationKeyPath",
];

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct ChefClient {
    own: ClientOptions,
    chef: Chef,
    elevation: Elevation,
    server: String,
    node: String,
    validation_key: Option<String>,
}

impl Component for ChefClient {
    const TYPE: &'static str = "chef-client";
    const ABOUT: &'static str = "Runs Chef on the machine, against a Chef server.";
    type Options = (ClientOptions, ChefOptions, GuestOptions, Elevation);

    fn prepare(
        (own, shared, guest, elevation): Self::Options,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        if own.server_url.is_none() {
            check.missing("server_url", "give the address of the Chef server");
        }
        match (&own.policy_name, &own.policy_group) {
            (Some(_), None) => check.missing("policy_group", "`policy_name` needs its group"),
            (None, Some(_)) => check.missing("policy_name", "`policy_group` is that of a policy"),
            _ => {}
        }
        let environment = check.facts.scope.environment.clone();
        let home = |path: String| environment.expand_home(path.as_ref()).display().to_string();
        let validation_key = own.validation_key_path.clone().map(home);
        check_file(check, "validation_key_path", validation_key.as_deref());
        elevation.check(check);
        let chef = Chef::new(shared, guest, "chef-client", &FIELDS, check);
        let node =
            own.node_name.clone().unwrap_or_else(|| format!("packer-{}", uuid::Uuid::new_v4()));
        Some(Self { server: own.server_url.clone()?, own, chef, elevation, node, validation_key })
    }
}

#[async_trait]
impl Provisioner for ChefClient {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say("Provisioning with chef-client");
        let mut staging = self.chef.staging(cx);
        let [config, knife] = self.stage(cx, &mut staging)?;
        let attributes = self.chef.stage_attributes(cx, &mut staging, "first-boot.json")?;
        let config = staging.text("configuration", config, "client.rb");
        let knife = staging.text("configuration", knife, "knife.rb");
        let work = async {
            staging.fill().await?;
            self.chef.install(cx, &staging).await?;
            let paths = [config.as_str(), attributes.as_str()];
            let ran = self.chef.run(cx, &staging, paths, &self.elevation).await;
            let forgotten = self.forget(cx, &staging, &knife).await;
            match (ran, forgotten) {
                (Err(ran), Err(forgotten)) => {
                    cx.ui.error(format!("{forgotten:#}"));
                    Err(ran)
                }
                (ran, forgotten) => ran.and(forgotten),
            }
        };
        staging.during(!self.own.skip_clean_staging_directory, work).await
    }

    /// What a server says changes, whatever is here.
    fn reads(&self) -> Option<Vec<PathBuf>> {
        None
    }
}

impl ChefClient {
    /// Says what goes where: the configurations of `chef-client` and of `knife` that know it.
    fn stage(
        &self,
        cx: &ProvisionContext,
        staging: &mut Staging<'_>,
    ) -> anyhow::Result<[String; 2]> {
        fn text(given: &Option<String>) -> &str {
            given.as_deref().unwrap_or_default()
        }
        let (own, chef) = (&self.own, &self.chef);
        let secret = chef.stage_secret(staging);
        let validation = self.validation_key.as_deref();
        let validation =
            validation.map(|path| staging.secret_file("validation key", path, "validation.pem"));
        let validation = validation.unwrap_or_default();
        let client_key = own.client_key.clone().unwrap_or_else(|| {
            let path = staging.path("client.pem");
            staging.secret_is_made(&path);
            path
        });
        let validator = own.validation_client_name.as_deref().unwrap_or("chef-validator");
        let shared = || {
            Config::default()
                .logging()
                .text("chef_server_url", &self.server)
                .text("client_key", &client_key)
                .text("node_name", &self.node)
                .symbol("ssl_verify_mode", text(&own.ssl_verify_mode))
                .text("trusted_certs_dir", text(&own.trusted_certs_dir))
        };
        let ours = shared()
            .text("chef_license", chef.license())
            .text("encrypted_data_bag_secret", &secret)
            .text("validation_client_name", validator)
            .text("validation_key", &validation)
            .text("environment", text(&chef.own.chef_environment))
            .text("policy_name", text(&own.policy_name))
            .text("policy_group", text(&own.policy_group))
            .text("rubygems_url", text(&own.rubygems_url));
        let fields = [
            ("ChefEnvironment", text(&chef.own.chef_environment).into()),
            ("ChefLicense", chef.license().into()),
            ("ClientKey", client_key.as_str().into()),
            ("EncryptedDataBagSecretPath", secret.into()),
            ("NodeName", self.node.as_str().into()),
            ("PolicyGroup", text(&own.policy_group).into()),
            ("PolicyName", text(&own.policy_name).into()),
            ("RubygemsUrl", text(&own.rubygems_url).into()),
            ("ServerUrl", self.server.as_str().into()),
            ("SslVerifyMode", text(&own.ssl_verify_mode).into()),
            ("TrustedCertsDir", text(&own.trusted_certs_dir).into()),
            ("ValidationClientName", text(&own.validation_client_name).into()),
            ("ValidationKeyPath", validation.into()),
        ];
        let config = chef.config(&cx.facts.scope, &fields, ours.finish())?;
        Ok([config, shared().finish()])
    }

    /// Takes the machine's node and client from the server, whatever Chef did.
    async fn forget(
        &self,
        cx: &ProvisionContext,
        staging: &Staging<'_>,
        config: &str,
    ) -> anyhow::Result<()> {
        let all = [("node", self.own.skip_clean_node), ("client", self.own.skip_clean_client)];
        for (kind, _) in all.into_iter().filter(|(_, skip)| !skip) {
            cx.ui.say(format!("Cleaning up chef {kind}..."));
            self.knife(cx, staging, kind, config).await.with_context(|| {
                format!("cannot remove the {kind} {} from the server", self.node)
            })?;
        }
        Ok(())
    }

    async fn knife(
        &self,
        cx: &ProvisionContext,
        staging: &Staging<'_>,
        kind: &str,
        config: &str,
    ) -> anyhow::Result<()> {
        let shell = staging.os.shell();
        let arguments = format!("{kind} delete {}", shell.word(&self.node));
        let flags = format!("-y -c {}", shell.path(config));
        let ours = format!("{} {arguments} {flags}", self.chef.tool(staging, "knife"));
        let dot = Dot::from([
            ("Args".into(), arguments.into()),
            ("Flags".into(), flags.into()),
            ("Sudo".into(), staging.sudo.into()),
        ]);
        let given = self.own.knife_command.as_ref();
        let given = given.map(|text| rendered_with(cx, "knife_command", text, &dot)).transpose()?;
        let command = given.as_deref().map_or(Command::Ours(&ours), Command::Template);
        match staging.remote().run("start `knife`", command).await? {
            Exit::Status(0) => Ok(()),
            Exit::Status(status) => bail!("`knife` exited with status {status}"),
            Exit::Disconnected => bail!("the connection was lost while `knife` ran"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Answer, Machine};

    #[tokio::test]
    async fn chef_is_installed_and_run_elevated_on_windows() {
        let machine = Machine::windows();
        let (cx, _said) = fake::context(machine.clone());
        let options = json!({
            "server_url": "https://chef", "node_name": "n", "version": "17.1", "elevated_user": "me",
            "skip_clean_node": true, "skip_clean_client": true, "run_list": ["a"]
        });
        fake::prepare::<ChefClient>(options).unwrap().provision(&cx).await.unwrap();
        let log = machine.log();
        let stage = "c:/Windows/Temp/packer-chef-client";
        assert!(log.iter().any(|line| line.starts_with(&format!("write 644 {stage}/client.rb\n"))));
        assert!(log.iter().any(|line| {
            line.starts_with("run powershell.exe -Command")
                && line.ends_with("Install-Project -version '17.1'\"")
        }));
        let run = r#"$command = '"c:\opscode\chef\bin\chef-client.bat" --no-color -c "c:\Windows\Temp\packer-chef-client\client.rb" -j "c:\Windows\Temp\packer-chef-client\first-boot.json"'"#;
        assert!(log.iter().any(|line| line.contains(run)), "{log:#?}");
        let elevated = format!(
            "$command = 'powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -File \"{stage}/command.ps1\"'"
        );
        assert!(log.iter().any(|line| line.contains(&elevated)), "{log:#?}");
    }

    #[tokio::test]
    async fn the_server_forgets_the_machine_whatever_chef_did() {
        // Directories; Chef; knife twice.
        let machine = Machine::answering([Answer::Exit(0), Answer::Exit(3), Answer::Exit(4)]);
        let (cx, mut said) = fake::context(machine.clone());
        let options = json!({"server_url": "https://chef", "node_name": "n", "skip_install": true});
        let error = fake::prepare::<ChefClient>(options).unwrap().provision(&cx).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "Chef exited with a non-zero exit status: 3");
        let said = fake::said(&mut said).concat();
        assert!(said.contains("cannot remove the node n from the server"), "{said}");
    }

    #[test]
    fn all_that_is_wrong_with_the_options_is_said_at_once() {
        let wrong = json!({
            "policy_name": "p", "validation_key_path": "/no/a", "json_string": "[1]",
            "config_template": "/no/b"
        });
        let found = fake::prepare::<ChefClient>(wrong).unwrap_err();
        insta::assert_snapshot!(found.join("\n"), @r"
        `chef-client` needs `server_url`: required here
        `chef-client` needs `policy_group`: required here
        the value of `validation_key_path` cannot be used: cannot read /no/a: No such file or directory (os error 2)
        the value of `json_string` cannot be used: is no JSON object: invalid type: sequence, expected a map at line 1 column 0
        the value of `config_template` cannot be used: cannot read /no/b: No such file or directory (os error 2)
        ");
    }
}
