//! One run of Ansible's programs: their command lines, their environment, and their files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::galaxy::{Requirements, extra_vars};
use super::inventory::{self, Login};
use super::options::{MachineFields, Options};
use super::private::Private;
use super::{arguments, version};
use crate::component::{Access, ProvisionContext};
use crate::config::Late;
use crate::guest::shell::quote;
use crate::script::{self, child};

/// What all programs of one run work with.
pub(super) struct Play<'a> {
    pub(super) own: &'a Options,
    pub(super) cx: &'a ProvisionContext,
    pub(super) private: &'a Private,
}

impl Play<'_> {
    /// `ansible-galaxy` for what `galaxy_file` names.
    pub(super) async fn install_requirements(&self) -> anyhow::Result<()> {
        let own = self.own;
        let Some(file) = &own.galaxy_file else { return Ok(()) };
        let file = self.cx.facts.scope.environment.cwd.join(file);
        let requirements = Requirements::read(&file)?;
        let roles = requirements.roles.then_some((&["install"][..], &own.roles_path));
        let collections = requirements
            .collections
            .then_some((&["collection", "install"][..], &own.collections_path));
        for (action, target) in roles.into_iter().chain(collections) {
            let mut arguments: Vec<OsString> = action.iter().map(OsString::from).collect();
            arguments.extend(["-r".into(), file.clone().into_os_string()]);
            arguments.extend(target.iter().flat_map(|path| ["-p".into(), OsString::from(path)]));
            arguments.extend(own.galaxy_force_install.then(|| "-f".into()));
            arguments.extend(own.galaxy_force_with_deps.then(|| "--force-with-deps".into()));
            let status = self.run(&own.galaxy_command, &arguments).await?;
            if !status.success() {
                bail!(
                    "`{}` could not install what {} asks for: {status}",
                    own.galaxy_command,
                    file.display()
                );
            }
        }
        Ok(())
    }

    /// The whole command line, with the files that it names.
    pub(super) fn ready(&self, playbook: &str, access: &Access) -> anyhow::Result<Ready> {
        let cwd = &self.cx.facts.scope.environment.cwd;
        let login = Login::new(access, self.private)?;
        let mut extra = self.rendered(&self.own.extra_arguments, "extra_arguments")?;
        let given = arguments::take_ssh_options(&mut extra).unwrap_or_default();
        let (path, file, has_login) = match &self.own.inventory_file {
            Some(path) => (cwd.join(path), None, false),
            None => {
                let options = format!("{given} {}", login.ssh_options(self.own, false));
                let scope = &self.cx.facts.scope;
                let made = inventory::generate(self.own, access, &login, options.trim(), scope)?;
                let file = self.place(&made.text)?;
                (file.path().to_owned(), Some(file), made.has_login)
            }
        };
        let mut words = vec!["-e".to_owned(), extra_vars(&self.cx.facts)];
        words.extend(self.ssh_arguments(&login, &given, has_login));
        words.extend(arguments::without_secrets(extra, &self.cx.redactor, self.private)?);
        let key = login.key.filter(|_| !has_login);
        words.extend(key.into_iter().flat_map(|key| {
            ["-e".to_owned(), format!("ansible_ssh_private_key_file={}", key.display())]
        }));
        let mut arguments: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        arguments.extend(["-i".into(), path.into_os_string()]);
        arguments.push(cwd.join(playbook).into_os_string());
        Ok(Ready { arguments, file, keep: self.own.keep_inventory_file })
    }

    /// What `ssh` is told on the command line: what the inventory cannot say.
    fn ssh_arguments(&self, login: &Login, given: &str, has_login: bool) -> Vec<String> {
        let mut words = Vec::new();
        let more = &self.own.ansible_ssh_extra_args;
        if login.key.is_some() && !more.is_empty() {
            let more: Vec<_> = more.iter().map(|word| quote(word)).collect();
            words.extend(["--ssh-extra-args".to_owned(), more.join(" ")]);
        }
        if !has_login {
            let options = format!("{given} {}", login.ssh_options(self.own, true));
            words.extend(["--ssh-common-args".to_owned(), options.trim().to_owned()]);
        }
        words
    }

    /// Writes a generated inventory where the template wants it.
    fn place(&self, text: &str) -> anyhow::Result<NamedTempFile> {
        let (private, cwd) = (self.private.path(), &self.cx.facts.scope.environment.cwd);
        let dir = match (&self.own.inventory_directory, self.own.keep_inventory_file) {
            (Some(dir), _) => cwd.join(dir),
            (None, true) => private.parent().unwrap_or(cwd).to_owned(),
            (None, false) => private.to_owned(),
        };
        let named =
            || tempfile::Builder::new().prefix("packer-provisioner-ansible").tempfile_in(&dir);
        let written = named().and_then(|file| std::fs::write(file.path(), text).map(|()| file));
        written.with_context(|| format!("cannot write the inventory in {}", dir.display()))
    }

    fn rendered(&self, texts: &[Late<MachineFields>], option: &str) -> anyhow::Result<Vec<String>> {
        let scope = &self.cx.facts.scope;
        let dot = scope.build_data.clone().unwrap_or_default();
        let rendered: Result<_, _> = texts.iter().map(|text| text.render(scope, &dot)).collect();
        rendered.with_context(|| format!("cannot render `{option}`"))
    }

    /// Runs one of Ansible's programs and shows what it prints.
    pub(super) async fn run(
        &self,
        program: &str,
        arguments: &[OsString],
    ) -> anyhow::Result<ExitStatus> {
        let cx = self.cx;
        let words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
        let words = std::iter::once(program.to_owned()).chain(words);
        let words: Vec<_> = words.map(|word| quote(&word).into_owned()).collect();
        cx.ui.say(format!("Executing Ansible: {}", words.join(" ")));
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(cx.facts.scope.environment.vars());
        command.envs(script::build_variables(&cx.facts)).envs(self.variables()?);
        let ended = child::run(command, &cx.ui, &cx.cancel).await;
        ended.map_err(|error| match error.downcast_ref::<std::io::Error>() {
            Some(cause) => anyhow::anyhow!(version::not_started(program, cause)),
            None => error,
        })
    }

    /// Variables for Ansible; the template's win over ours.
    fn variables(&self) -> anyhow::Result<BTreeMap<String, OsString>> {
        let mut variables = BTreeMap::from([
            ("ANSIBLE_SSH_CONTROL_PATH_DIR".to_owned(), self.private.sockets().into_os_string()),
            ("ANSIBLE_LOCAL_TEMP".to_owned(), self.private.path().join("tmp").into_os_string()),
        ]);
        if let Some(sftp) = self.own.use_sftp {
            let method = if sftp { "sftp" } else { "piped" };
            variables.insert("ANSIBLE_SSH_TRANSFER_METHOD".to_owned(), method.into());
        }
        for variable in self.rendered(&self.own.ansible_env_vars, "ansible_env_vars")? {
            let pair = variable.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, value) = pair.context("a text of `ansible_env_vars` is not NAME=value")?;
            variables.insert(name.to_owned(), value.into());
        }
        Ok(variables)
    }
}

/// A command line, and the inventory that is there as long as it runs.
pub(super) struct Ready {
    pub(super) arguments: Vec<OsString>,
    file: Option<NamedTempFile>,
    keep: bool,
}

impl Ready {
    /// Removes the inventory, or says where it is kept.
    pub(super) fn end(self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let Some(file) = self.file.filter(|_| self.keep) else { return Ok(()) };
        let (_, path): (_, PathBuf) = file.keep().context("cannot keep the inventory")?;
        cx.ui.say(format!("The inventory is kept: {}", path.display()));
        Ok(())
    }
}
