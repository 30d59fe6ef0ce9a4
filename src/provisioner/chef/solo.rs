//! `chef-solo`: uploads cookbooks and what belongs to them, and runs Chef on the machine.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::infra::{Chef, ChefOptions};
use super::ruby::Config;
use crate::component::{Check, Component, ProvisionContext, Provisioner};
use crate::provisioner::check_directory;
use crate::provisioner::elevated::Elevation;
use crate::provisioner::staging::{GuestOptions, Staging};

/// The options of `chef-solo` beside those of both provisioners of Chef.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SoloOptions {
    /// Directories of cookbooks.
    pub cookbook_paths: Vec<String>,
    /// Directories of cookbooks that are on the machine already; they come first.
    pub remote_cookbook_paths: Vec<String>,
    /// The directory of roles.
    pub roles_path: Option<String>,
    /// The directory of data bags.
    pub data_bags_path: Option<String>,
    /// The directory of environments. `chef_environment` says which of them is used.
    pub environments_path: Option<String>,
}

/// The fields of a `config_template`.
const FIELDS: [&str; 11] = [
    "ChefEnvironment",
    "ChefLicense",
    "CookbookPaths",
    "DataBagsPath",
    "EncryptedDataBagSecretPath",
    "EnvironmentsPath",
    "RolesPath",
    "HasDataBagsPath",
    "HasEncryptedDataBagSecretPath",
    "HasEnvironmentsPath",
    "HasRolesPath",
];

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct ChefSolo {
    own: SoloOptions,
    chef: Chef,
}

impl Component for ChefSolo {
    const TYPE: &'static str = "chef-solo";
    const ABOUT: &'static str = "Uploads Chef cookbooks, and runs them on the machine.";
    type Options = (SoloOptions, ChefOptions, GuestOptions);

    fn prepare((own, shared, guest): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        for (option, path) in own.directories() {
            check_directory(check, &option, Some(path));
        }
        let chef = Chef::new(shared, guest, "chef-solo", &FIELDS, check);
        Some(Self { own, chef })
    }
}

impl SoloOptions {
    /// The directories to upload, each with the option that names it.
    fn directories(&self) -> impl Iterator<Item = (String, &String)> {
        let one = [
            ("roles_path", &self.roles_path),
            ("data_bags_path", &self.data_bags_path),
            ("environments_path", &self.environments_path),
        ];
        let one =
            one.into_iter().filter_map(|(option, path)| Some((option.into(), path.as_ref()?)));
        let cookbooks = self.cookbook_paths.iter().enumerate();
        one.chain(cookbooks.map(|(index, path)| (format!("cookbook_paths.{index}"), path)))
    }
}

#[async_trait]
impl Provisioner for ChefSolo {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        // What its installer fetches, nobody knows.
        self.chef.own.skip_install.then(|| {
            let chef = &self.chef.own;
            let files = chef.config_template.iter().chain(&chef.encrypted_data_bag_secret_path);
            let directories = self.own.directories().map(|(_, path)| path);
            files.chain(directories).map(PathBuf::from).collect()
        })
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say("Provisioning with chef-solo");
        let mut staging = self.chef.staging(cx);
        let config = self.stage(cx, &mut staging)?;
        let attributes = self.chef.stage_attributes(cx, &mut staging, "node.json")?;
        let config = staging.text("configuration", config, "solo.rb");
        let work = async {
            staging.fill().await?;
            self.chef.install(cx, &staging).await?;
            let paths = [config.as_str(), attributes.as_str()];
            self.chef.run(cx, &staging, paths, &Elevation::default()).await
        };
        staging.during(false, work).await
    }
}

impl ChefSolo {
    /// Says what goes where: the configuration that knows it.
    fn stage(&self, cx: &ProvisionContext, staging: &mut Staging<'_>) -> anyhow::Result<String> {
        let own = &self.own;
        let mut cookbooks = own.remote_cookbook_paths.clone();
        for (index, path) in own.cookbook_paths.iter().enumerate() {
            cookbooks.push(staging.folder("cookbooks", path, &format!("cookbooks-{index}")));
        }
        let mut folder = |what, path: &Option<String>, name| {
            path.as_deref().map(|path| staging.folder(what, path, name)).unwrap_or_default()
        };
        let roles = folder("roles", &own.roles_path, "roles");
        let data_bags = folder("data bags", &own.data_bags_path, "data_bags");
        let environments = folder("environments", &own.environments_path, "environments");
        let secret = self.chef.stage_secret(staging);
        let environment = self.chef.own.chef_environment.as_deref().unwrap_or_default();
        let used = if environments.is_empty() { "" } else { environment };
        let ours = Config::default()
            .text("chef_license", self.chef.license())
            .list("cookbook_path", &cookbooks)
            .text("role_path", &roles)
            .text("data_bag_path", &data_bags)
            .text("encrypted_data_bag_secret", &secret)
            .text("environment_path", &environments)
            .text("environment", used);
        let cookbooks: Vec<_> = cookbooks.iter().map(|path| format!("\"{path}\"")).collect();
        let is_there = |path: &String| Json::from(!path.is_empty());
        let fields = [
            ("ChefEnvironment", environment.into()),
            ("ChefLicense", self.chef.license().into()),
            ("CookbookPaths", cookbooks.join(",").into()),
            ("HasDataBagsPath", is_there(&data_bags)),
            ("HasEncryptedDataBagSecretPath", is_there(&secret)),
            ("HasEnvironmentsPath", is_there(&environments)),
            ("HasRolesPath", is_there(&roles)),
            ("DataBagsPath", data_bags.into()),
            ("EncryptedDataBagSecretPath", secret.into()),
            ("EnvironmentsPath", environments.into()),
            ("RolesPath", roles.into()),
        ];
        self.chef.config(&cx.facts.scope, &fields, ours.finish())
    }
}
