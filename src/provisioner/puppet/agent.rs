//! What both provisioners of Puppet share.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::{Check, Command, Exit, Facts, ProvisionContext};
use crate::config::{Late, LateFields};
use crate::guest::shell::in_quotes;
use crate::interpolate::Dot;
use crate::provisioner::elevated::Elevation;
use crate::provisioner::environment;
use crate::provisioner::fields::rendered_with;
use crate::provisioner::staging::{GuestOptions, Os, Staging, must_end_well};

/// The options of both provisioners of Puppet.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PuppetOptions {
    /// More facts for Puppet, beside `packer_build_name` and `packer_builder_type`. They are variables
    /// of its environment, and in no command line.
    pub facter: BTreeMap<String, String>,
    /// Takes any exit status of Puppet. Otherwise 0 and 2 (it changed something) count as success.
    pub ignore_exit_codes: bool,
    /// Runs Puppet without `sudo`.
    pub prevent_sudo: bool,
    /// The directory of the machine that has `puppet`, if `PATH` does not name it.
    pub puppet_bin_dir: Option<String>,
    /// The directory of the machine in which Puppet runs. Default: the staging directory.
    pub working_directory: Option<String>,
    /// Removes the staging directory at the end. What is secret in it is removed anyway.
    pub clean_staging_directory: bool,
}

/// The statuses of `--detailed-exitcodes` that are no failure.
const SUCCESS: [u32; 2] = [0, 2];

/// What both provisioners are made of.
#[derive(Debug)]
pub(super) struct Puppet {
    own: PuppetOptions,
    guest: GuestOptions,
    elevation: Elevation,
    staging: Option<String>,
    /// What the staging directory is called by default.
    name: &'static str,
}

/// One run of Puppet: what it is told beside what all runs are.
pub(super) struct Run<'a, F> {
    pub(super) execute_command: Option<&'a Late<F>>,
    pub(super) extra_arguments: &'a [Late<F>],
    /// `apply`, or `agent` with its options.
    pub(super) action: &'static str,
    /// Fields of the template's own command, and the options of ours that have them as values.
    pub(super) fields: Vec<(&'static str, &'static str, String)>,
    /// The last argument, and the field `ManifestFile`.
    pub(super) manifest: Option<String>,
}

impl Puppet {
    /// Checks what both share.
    pub(super) fn new(
        own: PuppetOptions,
        guest: GuestOptions,
        elevation: Elevation,
        (name, staging): (&'static str, Option<String>),
        check: &mut Check<'_>,
    ) -> Self {
        guest.check(check);
        elevation.check(check);
        let is_plain = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        for name in own.facter.keys().filter(|name| !is_plain(name)) {
            let cause = format!("`{name}` is no name of a fact: it has letters, digits and `_`");
            check.error("facter", cause);
        }
        Self { own, guest, elevation, staging, name }
    }

    /// Puts what `stage` says where it says, and runs Puppet so.
    pub(super) async fn provision<'r, F: LateFields>(
        &self,
        cx: &ProvisionContext,
        stage: impl FnOnce(&mut Staging<'_>) -> Run<'r, F>,
    ) -> anyhow::Result<()> {
        cx.ui.say("Provisioning with Puppet...");
        let os = self.guest.of(cx);
        let default = || format!("{}/{}", os.shell().temporary_directory(), self.name);
        let directory = self.staging.clone().unwrap_or_else(default);
        let mut staging = Staging::new(cx, os, !self.own.prevent_sudo, &directory);
        let run = stage(&mut staging);
        let work = async {
            staging.fill().await?;
            self.run(cx, &staging, run).await
        };
        staging.during(self.own.clean_staging_directory, work).await
    }

    async fn run<F: LateFields>(
        &self,
        cx: &ProvisionContext,
        staging: &Staging<'_>,
        run: Run<'_, F>,
    ) -> anyhow::Result<()> {
        let facts = self.facts(&cx.facts, staging.os);
        let mut dot = self.dot(staging, &facts, &run);
        let extra = run.extra_arguments.iter();
        let extra = extra.map(|text| rendered_with(cx, "extra_arguments", text, &dot));
        let extra = extra.collect::<anyhow::Result<Vec<_>>>()?.join(" ");
        let ours = self.standard(staging, &run, &extra);
        dot.insert("ExtraArguments".into(), extra.into());
        let given = run.execute_command;
        let given = given.map(|text| rendered_with(cx, "execute_command", text, &dot));
        let given = given.transpose()?;
        let command = given.as_deref().map_or(Command::Ours(&ours), Command::Template);
        cx.ui.say(format!("Running Puppet: {}", command.text()));
        let exit = staging.run(command, &facts, &self.elevation).await?;
        match exit {
            Exit::Status(_) if self.own.ignore_exit_codes => Ok(()),
            exit => must_end_well("Puppet", "puppet", exit, &SUCCESS),
        }
    }

    /// All facts, as variables.
    fn facts(&self, facts: &Facts, os: Os) -> BTreeMap<String, String> {
        let mut all = self.own.facter.clone();
        all.insert("packer_build_name".into(), facts.source_name().into());
        all.insert("packer_builder_type".into(), facts.builder_type.clone());
        let is_ascii = all.values().all(|value| value.is_ascii());
        let all = all.into_iter().map(|(name, value)| (format!("FACTER_{name}"), value));
        let mut all: BTreeMap<_, _> = all.collect();
        if os == Os::Unix && !is_ascii {
            // Facter refuses what is not ASCII in the locale `C`, which a connection often has.
            all.insert("LC_ALL".into(), "C.UTF-8".into());
        }
        all
    }

    fn working_directory<'a>(&'a self, staging: &'a Staging<'_>) -> &'a str {
        self.own.working_directory.as_deref().unwrap_or(staging.directory())
    }

    /// The fields of the template's own command.
    fn dot<F>(
        &self,
        staging: &Staging<'_>,
        facts: &BTreeMap<String, String>,
        run: &Run<'_, F>,
    ) -> Dot {
        let bin_dir = self.own.puppet_bin_dir.as_deref().unwrap_or_default();
        let mut dot = Dot::from([
            // Packer has this field, and never sets it.
            ("Debug".into(), false.into()),
            ("FacterVars".into(), facter_vars(staging.os, facts).into()),
            ("PuppetBinDir".into(), bin_dir.into()),
            ("Sudo".into(), staging.sudo.into()),
            ("WorkingDir".into(), self.working_directory(staging).into()),
            ("ModulePathJoiner".into(), module_path_joiner(staging.os).into()),
        ]);
        let fields = run.fields.iter().map(|(field, _, value)| (*field, value));
        let all = fields.chain(run.manifest.iter().map(|path| ("ManifestFile", path)));
        dot.extend(all.map(|(field, value)| (field.to_owned(), value.as_str().into())));
        dot
    }

    /// The command where the template has none.
    fn standard<F>(&self, staging: &Staging<'_>, run: &Run<'_, F>, extra: &str) -> String {
        let shell = staging.os.shell();
        let program = match &self.own.puppet_bin_dir {
            None => "puppet".into(),
            Some(dir) => shell.path(&format!("{}/puppet", dir.trim_end_matches('/'))).into_owned(),
        };
        let mut words = vec![program, run.action.to_owned()];
        for (_, option, value) in run.fields.iter().filter(|(_, _, value)| !value.is_empty()) {
            words.push(format!("{option}={}", shell.word(value)));
        }
        words.extend((!extra.is_empty()).then(|| extra.to_owned()));
        words.extend(run.manifest.as_ref().map(|path| shell.path(path).into_owned()));
        let sudo = if staging.sudo { "sudo -E " } else { "" };
        let command = format!("{sudo}{}", words.join(" "));
        shell.in_directory(self.working_directory(staging), &command)
    }
}

/// What stands between two module paths.
pub(super) fn module_path_joiner(os: Os) -> &'static str {
    os.choose(":", ";")
}

/// `{{.FacterVars}}`: Puppet has the facts in its environment anyway. `cmd` cannot say every value;
/// what it cannot is left out.
fn facter_vars(os: Os, facts: &BTreeMap<String, String>) -> String {
    match os {
        Os::Unix => {
            let all = facts.iter().map(|(name, value)| format!("{name}={}", in_quotes(value)));
            all.collect::<Vec<_>>().join(" ")
        }
        Os::Windows => {
            let sayable = facts.iter().filter(|(_, value)| environment::cmd_can_say(value));
            let all = sayable.map(|(name, value)| format!("SET \"{name}={value}\""));
            all.collect::<Vec<_>>().join(" & ")
        }
    }
}
