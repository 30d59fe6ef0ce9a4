//! What both provisioners of Chef share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::component::{Check, Command, Exit, ProvisionContext};
use crate::config::{Late, UNKNOWN, late_fields};
use crate::interpolate::{Dot, Fields, Scope, Template};
use crate::peer;
use crate::provisioner::check_file;
use crate::provisioner::elevated::Elevation;
use crate::provisioner::fields::rendered_with;
use crate::provisioner::staging::{GuestOptions, Os, Staging, must_end_well};

late_fields! {
    /// The fields of `execute_command`.
    pub ExecuteFields = ["ConfigPath", "JsonPath", "Sudo"];
}

late_fields! {
    /// The fields of `install_command`.
    pub InstallFields = ["Sudo", "Version"];
}

late_fields! {
    /// `json_string` has no fields.
    pub JsonFields = [];
}

/// The options of both provisioners of Chef.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChefOptions {
    /// The environment of the machine in Chef.
    pub chef_environment: Option<String>,
    /// Whether Chef's license is accepted: `accept`, `accept-no-persist` or `accept-silent`. Default:
    /// `accept-silent` where the default `install_command` runs.
    pub chef_license: Option<String>,
    /// A file of this machine that becomes Chef's configuration instead of ours: a `{{ … }}` text.
    pub config_template: Option<String>,
    /// The secret of encrypted data bags: a file. It is removed from the machine at the end.
    pub encrypted_data_bag_secret_path: Option<String>,
    /// The attributes of the machine.
    pub json: Map<String, Json>,
    /// More attributes, as a text in JSON; they win over `json`.
    pub json_string: Option<Late<JsonFields>>,
    /// What Chef runs: recipes and roles. It wins over the `run_list` of the attributes.
    pub run_list: Vec<String>,
    /// The command that runs Chef, for the machine's shell: `{{.ConfigPath}}` is its configuration,
    /// `{{.JsonPath}}` are its attributes, `{{.Sudo}}` says whether `sudo` is wanted.
    pub execute_command: Option<Late<ExecuteFields>>,
    /// The command that installs Chef, for the machine's shell: `{{.Version}}` is the wanted version.
    /// Default: Chef's own installer from `omnitruck.chef.io`.
    pub install_command: Option<Late<InstallFields>>,
    /// Installs nothing: the machine has Chef.
    pub skip_install: bool,
    /// The version of Chef to install. Default: the newest.
    pub version: Option<String>,
    /// Runs nothing with `sudo`.
    pub prevent_sudo: bool,
    /// Where everything is uploaded to. Default: `packer-chef-solo` or `packer-chef-client`, in `/tmp`
    /// or in `C:/Windows/Temp`.
    pub staging_directory: Option<String>,
}

/// A configuration is short.
const LARGEST_CONFIG: u64 = 4 << 20;
/// Where Chef's own installer puts its programs on Windows.
const WINDOWS_PROGRAMS: &str = "c:/opscode/chef/bin";

/// What both provisioners are made of.
#[derive(Debug)]
pub(super) struct Chef {
    pub(super) own: ChefOptions,
    pub(super) guest: GuestOptions,
    /// `chef-solo` or `chef-client`.
    pub(super) program: &'static str,
    /// The text of `config_template`.
    config: Option<String>,
}

impl Chef {
    /// Checks what both share; `fields` are those that a `config_template` may ask for.
    pub(super) fn new(
        own: ChefOptions,
        guest: GuestOptions,
        program: &'static str,
        fields: &[&str],
        check: &mut Check<'_>,
    ) -> Self {
        guest.check(check);
        let secret = own.encrypted_data_bag_secret_path.as_deref();
        check_file(check, "encrypted_data_bag_secret_path", secret);
        if let Err(cause) = own.attributes(&check.facts.scope) {
            check.error("json_string", format!("{cause:#}"));
        }
        let config = own.config_template.as_deref().and_then(|path| {
            match check.may_read("config_template", path) {
                true => read_config(path, fields, &check.facts.scope.clone())
                    .map_err(|cause| check.error("config_template", format!("{cause:#}")))
                    .ok(),
                false => None,
            }
        });
        Self { own, guest, program, config }
    }

    /// The staging directory, still empty.
    pub(super) fn staging<'a>(&self, cx: &'a ProvisionContext) -> Staging<'a> {
        let os = self.guest.of(cx);
        let default = || format!("{}/packer-{}", os.shell().temporary_directory(), self.program);
        let directory = self.own.staging_directory.clone().unwrap_or_else(default);
        Staging::new(cx, os, !self.own.prevent_sudo, &directory)
    }

    /// The configuration: that of the template, with these fields; else `ours`.
    pub(super) fn config(
        &self,
        scope: &Scope,
        fields: &[(&str, Json)],
        ours: String,
    ) -> anyhow::Result<String> {
        let Some(given) = &self.config else { return Ok(ours) };
        let dot: Dot =
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let rendered = Template::parse(given).and_then(|template| template.render(scope, &dot));
        rendered.context("cannot render the text of `config_template`")
    }

    /// The secret of data bags goes to the machine: its path there.
    pub(super) fn stage_secret(&self, staging: &mut Staging<'_>) -> String {
        let path = self.own.encrypted_data_bag_secret_path.as_deref();
        let staged = path.map(|path| {
            staging.secret_file("encrypted data bag secret", path, "encrypted_data_bag_secret")
        });
        staged.unwrap_or_default()
    }

    /// The attributes go to the machine, as the file `name`: its path there.
    pub(super) fn stage_attributes(
        &self,
        cx: &ProvisionContext,
        staging: &mut Staging<'_>,
        name: &str,
    ) -> anyhow::Result<String> {
        let mut all = self.own.attributes(&cx.facts.scope)?;
        if !self.own.run_list.is_empty() {
            all.insert("run_list".to_owned(), self.own.run_list.clone().into());
        }
        let text = serde_json::to_string_pretty(&Json::Object(all))?;
        Ok(staging.text("attributes", text, name))
    }

    /// Whether the license is accepted, and how.
    pub(super) fn license(&self) -> &str {
        let installs = !self.own.skip_install && self.own.install_command.is_none();
        let default = if installs { "accept-silent" } else { "" };
        self.own.chef_license.as_deref().unwrap_or(default)
    }

    /// Installs Chef, unless the machine has it.
    pub(super) async fn install(
        &self,
        cx: &ProvisionContext,
        staging: &Staging<'_>,
    ) -> anyhow::Result<()> {
        if self.own.skip_install {
            return Ok(());
        }
        cx.ui.say("Installing Chef...");
        let version = self.own.version.as_deref().unwrap_or_default();
        let dot =
            Dot::from([("Sudo".into(), staging.sudo.into()), ("Version".into(), version.into())]);
        let ours = standard_install(staging, version);
        let given = self.own.install_command.as_ref();
        let given =
            given.map(|text| rendered_with(cx, "install_command", text, &dot)).transpose()?;
        let command = given.as_deref().map_or(Command::Ours(&ours), Command::Template);
        match staging.remote().run("install Chef", command).await? {
            Exit::Status(0) => Ok(()),
            Exit::Status(status) => {
                bail!("Install script exited with non-zero exit status {status}")
            }
            Exit::Disconnected => bail!("the connection was lost while Chef was installed"),
        }
    }

    /// Runs Chef.
    pub(super) async fn run(
        &self,
        cx: &ProvisionContext,
        staging: &Staging<'_>,
        [config, attributes]: [&str; 2],
        elevation: &Elevation,
    ) -> anyhow::Result<()> {
        let dot = Dot::from([
            ("ConfigPath".into(), config.into()),
            ("JsonPath".into(), attributes.into()),
            ("Sudo".into(), staging.sudo.into()),
        ]);
        let shell = staging.os.shell();
        let ours = format!(
            "{} --no-color -c {} -j {}",
            self.tool(staging, self.program),
            shell.path(config),
            shell.path(attributes)
        );
        let given = self.own.execute_command.as_ref();
        let given =
            given.map(|text| rendered_with(cx, "execute_command", text, &dot)).transpose()?;
        let command = given.as_deref().map_or(Command::Ours(&ours), Command::Template);
        cx.ui.say(format!("Executing Chef: {}", command.text()));
        let exit = staging.run(command, &BTreeMap::new(), elevation).await?;
        must_end_well("Chef", self.program, exit, &[0])
    }

    /// One of Chef's programs, with `sudo` where it is wanted.
    pub(super) fn tool(&self, staging: &Staging<'_>, program: &str) -> String {
        match staging.os {
            Os::Unix => format!("{}{program}", staging.sudo_word()),
            Os::Windows => {
                let path = format!("{WINDOWS_PROGRAMS}/{program}.bat");
                staging.os.shell().path(&path).into_owned()
            }
        }
    }
}

impl ChefOptions {
    /// `json`, and over it `json_string`.
    fn attributes(&self, scope: &Scope) -> anyhow::Result<Map<String, Json>> {
        let mut all = self.json.clone();
        let given = self.json_string.as_ref();
        // What only a run knows stands for any text.
        let Some(text) = given.filter(|text| !text.raw().contains(UNKNOWN)) else { return Ok(all) };
        let text = text.render(&within_json(scope), &Dot::new()).context("cannot be rendered")?;
        let more: Map<String, Json> = serde_json::from_str(&text).context("is no JSON object")?;
        all.extend(more);
        Ok(all)
    }
}

/// `scope`, with user variables as they are within quotes of JSON.
fn within_json(scope: &Scope) -> Scope {
    let escape = |text: &String| {
        let quoted = Json::from(text.as_str()).to_string();
        quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
    };
    let variables = scope.user_variables.as_ref().map(|all| {
        let all = all.iter().map(|(name, value)| (name.clone(), escape(value)));
        Arc::new(all.collect::<BTreeMap<_, _>>())
    });
    Scope { user_variables: variables, ..scope.clone() }
}

/// The text of a `config_template`, which may ask for these fields.
fn read_config(path: &str, fields: &[&str], scope: &Scope) -> anyhow::Result<String> {
    let text = peer::read_regular_text(Path::new(path), LARGEST_CONFIG);
    let text = text.with_context(|| format!("cannot read {path}"))?;
    let checked = Template::parse(&text)
        .and_then(|template| template.check_fields(Fields::Of(fields), scope));
    checked.with_context(|| format!("{path} cannot be rendered"))?;
    Ok(text)
}

/// Chef's own installer. Unlike in Packer, one that cannot be fetched is an error: a pipe
/// would only say how the shell at its end did.
fn standard_install(staging: &Staging<'_>, version: &str) -> String {
    let shell = staging.os.shell();
    match staging.os {
        Os::Unix => {
            let path = staging.path("install.sh");
            let sudo = staging.sudo_word();
            let version = match version {
                "" => String::new(),
                version => format!(" -v {}", shell.word(version)),
            };
            format!(
                "curl -fsSL https://omnitruck.chef.io/install.sh -o {0} && {sudo}bash {0}{version}",
                shell.path(&path)
            )
        }
        Os::Windows => {
            let version = match version {
                "" => String::new(),
                version => format!(" -version '{}'", version.replace('\'', "''")),
            };
            format!(
                "powershell.exe -Command \"$ErrorActionPreference = 'Stop'; . {{ iwr -useb \
                 https://omnitruck.chef.io/install.ps1 }} | iex; Install-Project{version}\""
            )
        }
    }
}
