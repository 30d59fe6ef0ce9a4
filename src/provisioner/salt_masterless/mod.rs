//! `salt-masterless`: uploads a tree of Salt states, and applies it on the machine.

mod formula;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use self::formula::Formula;
use crate::component::{Check, Command, Component, Exit, ProvisionContext, Provisioner};
use crate::provisioner::elevated::Elevation;
use crate::provisioner::staging::{GuestOptions, Os, Staging, must_end_well};
use crate::provisioner::{check_directory, check_file};

/// The options of `salt-masterless`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SaltOptions {
    /// The tree of states. A `.git` in it is left out. Required.
    pub local_state_tree: Option<String>,
    /// The roots of the pillar.
    pub local_pillar_roots: Option<String>,
    /// Where the states go on the machine: what is there is replaced. Default: `/srv/salt` or
    /// `C:/salt/state`.
    pub remote_state_tree: Option<String>,
    /// Where the pillar goes on the machine: what is there is replaced. Default: `/srv/pillar` or
    /// `C:/salt/pillar`.
    pub remote_pillar_roots: Option<String>,
    /// The configuration of the minion; it says where states and pillar are.
    pub minion_config: Option<String>,
    /// The grains of the minion.
    pub grains_file: Option<String>,
    /// The states to apply, for the machine's shell: not quoted. Default: the highstate.
    pub custom_state: Option<String>,
    /// Formulas from Git: the address of a repository, `//`, a directory of it, and `?ref=` with a
    /// branch, tag or commit if wanted (`git::https://example.com/formulas.git//nginx?ref=v1`). Each is
    /// uploaded beside the states. One whose directory `local_state_tree` has is not fetched.
    pub formulas: Vec<String>,
    /// Installs nothing: the machine has Salt.
    pub skip_bootstrap: bool,
    /// Arguments of Salt's installer, for the machine's shell: not quoted.
    pub bootstrap_args: String,
    /// Runs nothing with `sudo`.
    pub disable_sudo: bool,
    /// Where everything is uploaded to first. Default: `/tmp/salt` or `C:/Windows/Temp/salt`.
    pub temp_config_dir: Option<String>,
    /// Goes on where Salt fails.
    pub no_exit_on_failure: bool,
    /// How much Salt tells: `-l` of `salt-call`. Default: `info`.
    pub log_level: Option<String>,
    /// More arguments of `salt-call`, for the machine's shell: not quoted.
    pub salt_call_args: String,
    /// The directory of the machine that has `salt-call`, if `PATH` does not name it.
    pub salt_bin_dir: Option<String>,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct SaltMasterless {
    own: SaltOptions,
    guest: GuestOptions,
    states: String,
    formulas: Vec<Formula>,
}

impl Component for SaltMasterless {
    const TYPE: &'static str = "salt-masterless";
    const ABOUT: &'static str = "Uploads Salt states, and applies them on the machine.";
    type Options = (SaltOptions, GuestOptions);

    fn prepare((own, guest): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        guest.check(check);
        if own.local_state_tree.is_none() {
            check.missing("local_state_tree", "name the directory of the states");
        }
        check_directory(check, "local_state_tree", own.local_state_tree.as_deref());
        check_directory(check, "local_pillar_roots", own.local_pillar_roots.as_deref());
        check_file(check, "minion_config", own.minion_config.as_deref());
        check_file(check, "grains_file", own.grains_file.as_deref());
        own.check_targets(check);
        let formulas = own.formulas.iter().enumerate();
        let formulas = formulas.filter_map(|(index, text)| {
            Formula::parse(text)
                .map_err(|cause| check.error(&format!("formulas.{index}"), cause))
                .ok()
        });
        let formulas = formulas.collect();
        Some(Self { states: own.local_state_tree.clone()?, own, guest, formulas })
    }
}

impl SaltOptions {
    /// What is replaced on the machine: neither ambiguous nor too much.
    fn check_targets(&self, check: &mut Check<'_>) {
        let targets = [
            ("remote_state_tree", &self.remote_state_tree),
            ("remote_pillar_roots", &self.remote_pillar_roots),
        ];
        for (option, path) in targets {
            let Some(path) = path else { continue };
            if self.minion_config.is_some() {
                let cause = "`minion_config` is given too, which says where they are";
                check.error(option, cause).help = Some("keep one of them".to_owned());
            }
            let below = path.trim_matches(['/', '\\']);
            if below.is_empty()
                || below.ends_with(':')
                || below.split(['/', '\\']).any(|p| p == "..")
            {
                check.error(option, format!("{path} would be replaced as a whole"));
            }
        }
    }
}

#[async_trait]
impl Provisioner for SaltMasterless {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        // What an installer or a repository has tomorrow, nobody knows.
        let own = &self.own;
        let files = own.local_pillar_roots.iter().chain(&own.minion_config).chain(&own.grains_file);
        (own.skip_bootstrap && self.formulas.is_empty())
            .then(|| files.chain([&self.states]).map(PathBuf::from).collect())
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let tree = formula::assemble(cx, &self.states, &self.formulas).await?;
        cx.ui.say("Provisioning with Salt...");
        let os = self.guest.of(cx);
        let directory = os.choose("/tmp/salt", "C:/Windows/Temp/salt");
        let directory = self.own.temp_config_dir.as_deref().unwrap_or(directory);
        let mut staging = Staging::new(cx, os, !self.own.disable_sudo, directory);
        let moves = self.stage(&mut staging, tree.path());
        let work = async {
            self.bootstrap(cx, &staging).await?;
            staging.fill().await?;
            for (from, to) in &moves {
                cx.ui.say(format!("Moving {from} to {to}"));
                staging.replace(from, to).await?;
            }
            if os == Os::Windows {
                self.refresh_packages(cx, &staging).await?;
            }
            self.call(cx, &staging).await
        };
        staging.during(self.own.temp_config_dir.is_none(), work).await
    }
}

/// Git for Windows, which Salt's list of packages comes with.
const INSTALL_GIT: [(&str, &str); 3] = [
    (
        "Downloading Git for Windows",
        "powershell [Net.ServicePointManager]::SecurityProtocol = \
         [Net.SecurityProtocolType]::Tls12; Invoke-WebRequest -Uri \
         https://github.com/git-for-windows/git/releases/download/v2.28.0.windows.1/Git-2.28.0-64-bit.exe \
         -OutFile (Join-Path $env:TEMP Git.exe)",
    ),
    (
        "Installing Git for Windows",
        "powershell Start-Process -FilePath (Join-Path $env:TEMP Git.exe) -ArgumentList /SILENT -Wait",
    ),
    ("Cleaning Up After Git for Windows", "powershell Remove-Item (Join-Path $env:TEMP Git.exe)"),
];

impl SaltMasterless {
    /// Says what goes where; in the end, what of it belongs where else.
    fn stage(&self, staging: &mut Staging<'_>, tree: &str) -> Vec<(String, String)> {
        let (own, os) = (&self.own, staging.os);
        let configuration = os.choose("/etc/salt", "C:/salt/conf");
        let mut moves = Vec::new();
        if let Some(path) = &own.minion_config {
            let staged = staging.file("minion config", path, "minion");
            moves.push((staged, format!("{configuration}/minion")));
        }
        if let Some(path) = &own.grains_file {
            let staged = staging.file("grains file", path, "grains");
            moves.push((staged, format!("{configuration}/grains")));
        }
        let [states, pillar] = self.roots(os);
        moves.push((staging.folder("local state tree", tree, "states"), states));
        if let Some(path) = &own.local_pillar_roots {
            moves.push((staging.folder("local pillar roots", path, "pillar"), pillar));
        }
        moves
    }

    /// Where states and pillar are on the machine.
    fn roots(&self, os: Os) -> [String; 2] {
        let or = |given: &Option<String>, default: &str| {
            given.as_deref().unwrap_or(default).trim_end_matches(['/', '\\']).to_owned()
        };
        [
            or(&self.own.remote_state_tree, os.choose("/srv/salt", "C:/salt/state")),
            or(&self.own.remote_pillar_roots, os.choose("/srv/pillar", "C:/salt/pillar")),
        ]
    }

    /// Runs Salt's installer. That it fails is said, and no error: Salt may be there already.
    async fn bootstrap(&self, cx: &ProvisionContext, staging: &Staging<'_>) -> anyhow::Result<()> {
        if self.own.skip_bootstrap {
            return Ok(());
        }
        let fetch = staging.os.choose(
            "curl -fsSL https://bootstrap.saltproject.io -o /tmp/install_salt.sh || \
             wget -O /tmp/install_salt.sh https://bootstrap.saltproject.io",
            "powershell Invoke-WebRequest -Uri \
             'https://raw.githubusercontent.com/saltstack/salt-bootstrap/stable/bootstrap-salt.ps1' \
             -OutFile 'C:/Windows/Temp/bootstrap-salt.ps1'",
        );
        let sudo = staging.sudo_word();
        let program = staging
            .os
            .choose("sh /tmp/install_salt.sh", "powershell C:/Windows/Temp/bootstrap-salt.ps1");
        let install = format!("{sudo}{program} {}", self.own.bootstrap_args);
        let steps = [
            ("Downloading Salt's installer".to_owned(), fetch),
            (format!("Installing Salt with command {install}"), install.as_str()),
        ];
        for (what, command) in &steps {
            cx.ui.say(what);
            let exit = staging.remote().run("install Salt", Command::Ours(command)).await?;
            if exit != Exit::Status(0) {
                cx.ui.error(format!(
                    "Salt may not be installed: {what} ended with status {}",
                    exit.status()
                ));
                break;
            }
        }
        let installer =
            staging.os.choose("/tmp/install_salt.sh", "C:/Windows/Temp/bootstrap-salt.ps1");
        let remote = staging.remote();
        remote.clean_up_for_good(&remote.shell().remove_files(&[installer])).await;
        Ok(())
    }

    /// What Salt needs on Windows before it knows any package.
    async fn refresh_packages(
        &self,
        cx: &ProvisionContext,
        staging: &Staging<'_>,
    ) -> anyhow::Result<()> {
        let calls = ["winrepo.update_git_repos", "pkg.refresh_db"];
        let calls = calls.map(|call| {
            (
                format!("Running salt-call --local {call}"),
                format!("{} --local {call}", self.program(staging)),
            )
        });
        let git = INSTALL_GIT.map(|(what, command)| (what.to_owned(), command.to_owned()));
        for (what, command) in git.iter().chain(&calls) {
            cx.ui.say(what);
            match staging.remote().run("prepare Salt", Command::Ours(command)).await? {
                Exit::Status(0) => {}
                _ if self.own.no_exit_on_failure => {}
                exit => bail!("{what} failed with status {}", exit.status()),
            }
        }
        Ok(())
    }

    fn program(&self, staging: &Staging<'_>) -> String {
        match &self.own.salt_bin_dir {
            None => "salt-call".to_owned(),
            Some(dir) => {
                let path = format!("{}/salt-call", dir.trim_end_matches(['/', '\\']));
                staging.os.shell().path(&path).into_owned()
            }
        }
    }

    /// Applies the states.
    async fn call(&self, cx: &ProvisionContext, staging: &Staging<'_>) -> anyhow::Result<()> {
        let sudo = staging.sudo_word();
        let command =
            format!("{sudo}{} --local {}", self.program(staging), self.arguments(staging.os));
        cx.ui.say(format!("Running: {command}"));
        let command = Command::Ours(&command);
        let exit = staging.run(command, &BTreeMap::new(), &Elevation::default()).await?;
        match exit {
            Exit::Status(_) if self.own.no_exit_on_failure => Ok(()),
            exit => must_end_well("Salt", "salt-call", exit, &[0]),
        }
    }

    fn arguments(&self, os: Os) -> String {
        let own = &self.own;
        let mut words = vec![match &own.custom_state {
            None => "state.highstate".to_owned(),
            Some(state) => format!("state.sls {state}"),
        }];
        if own.minion_config.is_none() {
            let [states, pillar] = self.roots(os);
            words.push(format!("--file-root={}", os.shell().word(&states)));
            words.push(format!("--pillar-root={}", os.shell().word(&pillar)));
        }
        words.extend((!own.no_exit_on_failure).then(|| "--retcode-passthrough".to_owned()));
        let level = own.log_level.as_deref().unwrap_or("info");
        words.push(format!("-l {}", os.shell().word(level)));
        words.extend((!own.salt_call_args.is_empty()).then(|| own.salt_call_args.clone()));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Machine};

    async fn run(options: serde_json::Value, machine: std::sync::Arc<Machine>) -> Vec<String> {
        let (cx, _said) = fake::context(machine.clone());
        fake::prepare::<SaltMasterless>(options).unwrap().provision(&cx).await.unwrap();
        machine.log()
    }

    #[tokio::test]
    async fn salt_is_installed_and_gets_its_files_by_root() {
        let (dir, minion) = fake::local_file("minion", b"");
        let options = json!({
            "local_state_tree": dir.path(), "minion_config": minion, "bootstrap_args": "stable 3006",
            "salt_bin_dir": "/opt/salt/"
        });
        let log = run(options, Machine::answering([])).await;
        assert!(log[0].starts_with(
            "run curl -fsSL https://bootstrap.saltproject.io -o /tmp/install_salt.sh || "
        ));
        assert_eq!(log[1], "run sudo sh /tmp/install_salt.sh stable 3006");
        assert_eq!(log[4], format!("upload {} /tmp/salt/minion", minion.display()));
        assert_eq!(
            log[6..12],
            [
                "run sudo mkdir -p /etc/salt",
                "run sudo rm -rf /etc/salt/minion",
                "run sudo mv /tmp/salt/minion /etc/salt/minion",
                "run sudo mkdir -p /srv",
                "run sudo rm -rf /srv/salt",
                "run sudo mv /tmp/salt/states /srv/salt",
            ]
        );
        assert_eq!(
            log[12],
            "write 600 /tmp/salt/command.sh\nrm -f /tmp/salt/command.sh\nsudo /opt/salt/salt-call --local state.highstate \
             --retcode-passthrough -l info\n"
        );
        assert_eq!(log[14..], ["run rm -rf /tmp/salt 2>/dev/null || sudo rm -rf /tmp/salt"]);
    }

    #[tokio::test]
    async fn windows_gets_git_and_its_list_of_packages() {
        let (dir, _file) = fake::local_file("top.sls", b"");
        let options = json!({
            "local_state_tree": dir.path(), "skip_bootstrap": true, "no_exit_on_failure": true
        });
        let log = run(options, Machine::windows()).await;
        assert_eq!(log[4], r#"run move /y "C:\Windows\Temp\salt\states" "C:\salt\state" >nul"#);
        assert!(log[5].contains("Git-2.28.0-64-bit.exe"), "{}", log[5]);
        assert_eq!(log[9], "run salt-call --local pkg.refresh_db");
        let call = r#"$command = 'salt-call --local state.highstate --file-root="C:/salt/state" --pillar-root="C:/salt/pillar" -l "info"'"#;
        assert!(log[10].contains(call), "{}", log[10]);
    }

    #[test]
    fn all_that_is_wrong_with_the_options_is_said_at_once() {
        let (_dir, minion) = fake::local_file("minion", b"");
        let wrong = json!({
            "minion_config": minion, "remote_state_tree": "/srv/x", "remote_pillar_roots": "/",
            "formulas": ["nginx"], "grains_file": "/no/a"
        });
        let found = fake::prepare::<SaltMasterless>(wrong).unwrap_err();
        insta::assert_snapshot!(found.join("\n"), @r"
        `salt-masterless` needs `local_state_tree`: required here
        the value of `grains_file` cannot be used: cannot read /no/a: No such file or directory (os error 2)
        the value of `remote_state_tree` cannot be used: `minion_config` is given too, which says where they are
        the value of `remote_pillar_roots` cannot be used: `minion_config` is given too, which says where they are
        the value of `remote_pillar_roots` cannot be used: / would be replaced as a whole
        the value of `formulas.0` cannot be used: `nginx` is not the address of a Git repository with `//` and a directory of it
        ");
    }
}
