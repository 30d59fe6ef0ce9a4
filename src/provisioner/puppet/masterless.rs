//! `puppet-masterless`: uploads manifests and what belongs to them, and applies them on the machine.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::agent::{Puppet, PuppetOptions, Run, module_path_joiner};
use crate::component::{Check, Component, ProvisionContext, Provisioner};
use crate::config::{Late, late_fields};
use crate::provisioner::elevated::Elevation;
use crate::provisioner::staging::{GuestOptions, Staging};
use crate::provisioner::{base_name, check_directory, check_file};

late_fields! {
    /// The fields of `execute_command` and `extra_arguments`.
    pub MasterlessFields = [
        "Debug", "ExtraArguments", "FacterVars", "HieraConfigPath", "ManifestDir", "ManifestFile",
        "ModulePath", "ModulePathJoiner", "PuppetBinDir", "Sudo", "WorkingDir"
    ];
}

/// The options of `puppet-masterless` beside those of both provisioners of Puppet.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MasterlessOptions {
    /// The manifest, or a directory of manifests, to apply. Required.
    pub manifest_file: Option<String>,
    /// A directory of manifests that are uploaded beside it, for `--manifestdir` of Puppet 3.
    pub manifest_dir: Option<String>,
    /// Directories of modules.
    pub module_paths: Vec<String>,
    /// The configuration of Hiera.
    pub hiera_config_path: Option<String>,
    /// More arguments of Puppet, for the machine's shell: not quoted.
    pub extra_arguments: Vec<Late<MasterlessFields>>,
    /// The command that runs Puppet, for the machine's shell. Default: `puppet apply
    /// --detailed-exitcodes` in the working directory, with `sudo -E` unless `prevent_sudo`, and with
    /// all that the other options say.
    pub execute_command: Option<Late<MasterlessFields>>,
    /// Where everything is uploaded to. Default: `packer-puppet-masterless` in `/tmp`, or in
    /// `C:/Windows/Temp`.
    pub staging_directory: Option<String>,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct PuppetMasterless {
    own: MasterlessOptions,
    manifest: String,
    puppet: Puppet,
}

impl Component for PuppetMasterless {
    const TYPE: &'static str = "puppet-masterless";
    const ABOUT: &'static str = "Uploads Puppet manifests, and applies them on the machine.";
    type Options = (MasterlessOptions, PuppetOptions, GuestOptions, Elevation);

    fn prepare(
        (own, shared, guest, elevation): Self::Options,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        match &own.manifest_file {
            None => check.missing("manifest_file", "name the manifest to apply"),
            Some(path) if check.may_read("manifest_file", path) => {
                if let Err(error) = std::fs::metadata(path) {
                    check.error("manifest_file", format!("cannot read {path}: {error}"));
                }
            }
            Some(_) => {}
        }
        check_file(check, "hiera_config_path", own.hiera_config_path.as_deref());
        check_directory(check, "manifest_dir", own.manifest_dir.as_deref());
        for (index, path) in own.module_paths.iter().enumerate() {
            check_directory(check, &format!("module_paths.{index}"), Some(path));
        }
        let staging = ("packer-puppet-masterless", own.staging_directory.clone());
        let puppet = Puppet::new(shared, guest, elevation, staging, check);
        Some(Self { manifest: own.manifest_file.clone()?, own, puppet })
    }
}

#[async_trait]
impl Provisioner for PuppetMasterless {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        let own = &self.own;
        let all = own.manifest_dir.iter().chain(&own.hiera_config_path).chain(&own.module_paths);
        Some(all.chain([&self.manifest]).map(PathBuf::from).collect())
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        self.puppet.provision(cx, |staging| self.stage(staging)).await
    }
}

impl MasterlessOptions {
    /// The directories of manifests and modules, and the configuration.
    fn stage(&self, staging: &mut Staging<'_>) -> [String; 3] {
        let hiera = self.hiera_config_path.as_deref();
        let hiera = hiera.map(|path| staging.file("hiera configuration", path, "hiera.yaml"));
        let manifests = self.manifest_dir.as_deref();
        let manifests =
            manifests.map(|path| staging.folder("manifest directory", path, "manifests"));
        let modules = self.module_paths.iter().enumerate();
        let modules: Vec<_> = modules
            .map(|(index, path)| staging.folder("local modules", path, &format!("module-{index}")))
            .collect();
        let modules = modules.join(module_path_joiner(staging.os));
        [modules, hiera.unwrap_or_default(), manifests.unwrap_or_default()]
    }
}

impl PuppetMasterless {
    /// Says what goes where, and how Puppet is told.
    fn stage(&self, staging: &mut Staging<'_>) -> Run<'_, MasterlessFields> {
        let [modules, hiera, manifests] = self.own.stage(staging);
        let manifest = match Path::new(&self.manifest).is_dir() {
            true => staging.folder("manifest directory", &self.manifest, "manifests"),
            false => {
                let name = format!("manifests/{}", base_name(&self.manifest));
                staging.file("manifest file", &self.manifest, &name)
            }
        };
        Run {
            execute_command: self.own.execute_command.as_ref(),
            extra_arguments: &self.own.extra_arguments,
            action: "apply --detailed-exitcodes",
            fields: vec![
                ("ModulePath", "--modulepath", modules),
                ("HieraConfigPath", "--hiera_config", hiera),
                ("ManifestDir", "--manifestdir", manifests),
            ],
            manifest: Some(manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Answer, Machine};

    #[tokio::test]
    async fn a_manifest_is_staged_and_applied_with_its_facts_and_in_no_command_line() {
        let (dir, manifest) = fake::local_file("site.pp", b"");
        let options = json!({
            "manifest_file": manifest, "module_paths": [dir.path()], "facter": {"a": "it's"},
            "extra_arguments": ["--verbose", "--x={{.ModulePath}}"], "staging_directory": "/my stage/",
            "puppet_bin_dir": "/opt/puppet bin/"
        });
        let (ended, log) = fake::run::<PuppetMasterless>(options, Machine::answering([])).await;
        assert_eq!(ended, "ok");
        let paths = "'/my stage' '/my stage/manifests' '/my stage/module-0'";
        let writable =
            "test -w '/my stage' && test -w '/my stage/manifests' && test -w '/my stage/module-0'";
        assert_eq!(
            log[0],
            format!(
                "run {{ mkdir -p {paths} 2>/dev/null && {writable}; }} || \
                 {{ sudo mkdir -p {paths} && sudo chown \"$(id -u)\" {paths}; }}"
            )
        );
        assert_eq!(log[1], format!("upload_dir {}/ /my stage/module-0", dir.path().display()));
        assert_eq!(log[2], format!("upload {} /my stage/manifests/site.pp", manifest.display()));
        assert_eq!(
            log[3],
            "write 600 /my stage/command.sh\nrm -f '/my stage/command.sh'\nexport FACTER_a='it'\"'\"'s'\n\
             export FACTER_packer_build_name='web'\nexport FACTER_packer_builder_type='null'\n\
             cd '/my stage' && sudo -E '/opt/puppet bin/puppet' apply --detailed-exitcodes \
             --modulepath='/my stage/module-0' --verbose --x=/my stage/module-0 \
             '/my stage/manifests/site.pp'\n"
        );
        assert_eq!(log[4], "run . '/my stage/command.sh'");
        assert_eq!(log[5..], ["run rm -f '/my stage/command.sh'"]);
    }

    #[tokio::test]
    async fn a_command_of_the_template_has_the_fields_and_the_login_shell() {
        let (_dir, manifest) = fake::local_file("site.pp", b"");
        let options = json!({
            "manifest_file": manifest, "prevent_sudo": true, "staging_directory": "/stage",
            "execute_command": "{{.FacterVars}} {{if .Sudo}}sudo {{end}}puppet apply \
                {{if ne .HieraConfigPath \"\"}}--hiera{{end}} {{.ManifestFile}} {{.ExtraArguments}}",
            "extra_arguments": ["-v"]
        });
        let (_, log) = fake::run::<PuppetMasterless>(options, Machine::answering([])).await;
        assert_eq!(log[0], "run mkdir -p /stage /stage/manifests");
        assert!(log[2].ends_with(
            "FACTER_packer_build_name='web' FACTER_packer_builder_type='null' puppet apply  \
             /stage/manifests/site.pp -v\n"
        ));
        assert_eq!(log[3], "login . /stage/command.sh");
    }

    #[tokio::test]
    async fn windows_is_known_by_its_shell_and_takes_any_fact() {
        let (_dir, manifest) = fake::local_file("site.pp", b"");
        let options = json!({
            "manifest_file": manifest, "facter": {"a": "100% 'a'\n\"b\" !"},
            "elevated_user": "me", "elevated_password": "{{ build `Password` }}",
            "clean_staging_directory": true
        });
        let machine = Machine::windows();
        let (cx, _said) = fake::context(machine.clone());
        let puppet = fake::prepare::<PuppetMasterless>(options).unwrap();
        puppet.provision(&cx).await.unwrap();
        let stage = r"c:\Windows\Temp\packer-puppet-masterless";
        let log = machine.log();
        assert_eq!(
            log[0],
            format!(
                r#"run (if not exist "{stage}" mkdir "{stage}") & (if not exist "{stage}\manifests" mkdir "{stage}\manifests")"#
            )
        );
        let command = "$command = 'cd /d \"c:\\Windows\\Temp\\packer-puppet-masterless\" && puppet apply \
                       --detailed-exitcodes \"c:\\Windows\\Temp\\packer-puppet-masterless\\manifests\\site.pp\"'\n";
        assert!(log[2].contains("$env:FACTER_a = '100% ''a''\n\"b\" !'\n"), "{}", log[2]);
        assert!(log[2].contains(command), "{}", log[2]);
        assert_eq!(
            log.last().unwrap(),
            &format!(r#"run if exist "{stage}" rmdir /s /q "{stage}""#)
        );
    }

    #[tokio::test]
    async fn statuses_say_whether_puppet_is_there_and_did_well() {
        let (_dir, manifest) = fake::local_file("site.pp", b"");
        for (status, expected) in
            [(2, "ok"), (4, "non-zero exit status: 4"), (127, "has no `puppet`")]
        {
            let machine = Machine::answering([Answer::Exit(0), Answer::Exit(status)]);
            let (ended, _) =
                fake::run::<PuppetMasterless>(json!({"manifest_file": manifest}), machine).await;
            assert!(ended.contains(expected), "{status}: {ended}");
        }
    }

    #[test]
    fn all_that_is_wrong_with_the_options_is_said_at_once() {
        let wrong = json!({
            "hiera_config_path": "/no/a", "module_paths": ["/no/b", ""], "guest_os_type": "dos",
            "facter": {"a-b": "c"}, "elevated_password": "d"
        });
        let found = fake::prepare::<PuppetMasterless>(wrong).unwrap_err();
        insta::assert_snapshot!(found.join("\n"), @r"
        `puppet-masterless` needs `manifest_file`: required here
        the value of `hiera_config_path` cannot be used: cannot read /no/a: No such file or directory (os error 2)
        the value of `module_paths.0` cannot be used: cannot read /no/b: No such file or directory (os error 2)
        the value of `module_paths.1` cannot be used: an empty text is no path
        the value of `guest_os_type` cannot be used: there is no such kind of system
        `puppet-masterless` needs `elevated_user`: required here
        the value of `facter` cannot be used: `a-b` is no name of a fact: it has letters, digits and `_`
        ");
    }
}
