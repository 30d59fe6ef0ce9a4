//! One run of Ansible's programs: their command lines, their environment, and their files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::galaxy::{Requirements, extra_vars};
use super::inventory::{self, Inventory, Login, Place};
use super::options::Options;
use super::{arguments, version};
use crate::component::{Access, ContainerAccess, ProvisionContext, WindowsAccess};
use crate::guest::shell::quote;
use crate::provisioner::fields::rendered;
use crate::provisioner::private::Private;
use crate::provisioner::program;
use crate::script::{self, child};

/// How Ansible gets to the machine.
pub(super) enum Way {
    Ssh(Access),
    Windows(WindowsAccess),
    Container(ContainerAccess),
}

/// A generated inventory, and arguments before and after those of the template.
type Means = (Option<String>, Vec<String>, Vec<String>);

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
            let status = self.run(&own.galaxy_command, &arguments, &[]).await?;
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
    pub(super) fn ready(&self, playbook: &str, way: &Way) -> anyhow::Result<Ready> {
        let cwd = &self.cx.facts.scope.environment.cwd;
        let extra = self.own.extra_arguments.iter();
        let extra = extra.map(|text| rendered(self.cx, "extra_arguments", text));
        let mut extra = extra.collect::<anyhow::Result<Vec<_>>>()?;
        let (inventory, before, after) = match way {
            Way::Ssh(access) => self.by_ssh(access, &mut extra)?,
            Way::Windows(access) => self.by_winrm(access, &extra)?,
            Way::Container(access) => self.by_engine(access)?,
        };
        let (path, file) = match (&self.own.inventory_file, inventory) {
            (None, Some(text)) => {
                let file = self.place(&text)?;
                (file.path().to_owned(), Some(file))
            }
            (Some(path), _) => (cwd.join(path), None),
            (None, None) => bail!("there is no inventory"),
        };
        let mut words = vec!["-e".to_owned(), extra_vars(&self.cx.facts)];
        words.extend(before);
        words.extend(arguments::without_secrets(extra, &self.cx.redactor, self.private)?);
        words.extend(after);
        let mut arguments: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        arguments.extend(["-i".into(), path.into_os_string()]);
        arguments.push(cwd.join(playbook).into_os_string());
        let variables = self.variables_of(way);
        Ok(Ready { arguments, file, keep: self.own.keep_inventory_file, variables })
    }

    /// What the way to the machine needs in the environment.
    fn variables_of(&self, way: &Way) -> Vec<(&'static str, String)> {
        match way {
            Way::Windows(access) if access.is_direct => {
                let names = ["no_proxy", "NO_PROXY"];
                let environment = &self.cx.facts.scope.environment;
                let known = names.into_iter().find_map(|name| environment.get(name));
                let hosts = [known.unwrap_or_default(), &access.host];
                let hosts = hosts.into_iter().filter(|text| !text.is_empty());
                let hosts = hosts.collect::<Vec<_>>().join(",");
                names.map(|name| (name, hosts.clone())).to_vec()
            }
            Way::Container(ContainerAccess { engine, podman: None, .. }) => {
                vec![("DOCKER_HOST", engine.clone())]
            }
            Way::Ssh(_) | Way::Windows(_) | Way::Container(_) => Vec::new(),
        }
    }

    /// How Ansible logs in by SSH: a generated inventory, if one is wanted, and arguments before and
    /// after those of the template.
    fn by_ssh(&self, access: &Access, extra: &mut Vec<String>) -> anyhow::Result<Means> {
        let login = Login::new(access, self.private)?;
        let given = arguments::take_ssh_options(extra).unwrap_or_default();
        let options = format!("{given} {}", login.ssh_options(self.own, false));
        let variables = inventory::ssh_variables(&login, options.trim());
        let place = Place { host: &access.host, port: access.port, user: &access.user };
        let made = self.inventory(&place, &variables)?;
        let has_login = made.as_ref().is_some_and(|made| made.has_login);
        let before = self.ssh_arguments(&login, &given, has_login);
        let key = login.key.filter(|_| !has_login).into_iter();
        let after = key.flat_map(|key| {
            ["-e".to_owned(), format!("ansible_ssh_private_key_file={}", key.display())]
        });
        Ok((made.map(|made| made.text), before, after.collect()))
    }

    /// The same by WinRM. The password is in a file: a command line can be read by every user of this
    /// machine.
    fn by_winrm(&self, access: &WindowsAccess, extra: &[String]) -> anyhow::Result<Means> {
        let variables = inventory::windows_variables(self.own, access);
        let text: String =
            variables.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let place = Place { host: &access.host, port: access.port, user: &access.user };
        let made = self.inventory(&place, &text)?;
        let has_login = made.as_ref().is_some_and(|made| made.has_login);
        let gives_password = extra.iter().any(|word| word.contains("ansible_password"));
        let mut secret = serde_json::Map::new();
        if !gives_password {
            secret.insert("ansible_password".to_owned(), access.password.expose().into());
        }
        // An inventory of the template's own says how the machine is reached.
        if made.is_some() && !has_login {
            secret.extend(variables.map(|(name, value)| (name.to_owned(), value.into())));
        }
        let mut after = Vec::new();
        if !secret.is_empty() {
            let text = serde_json::Value::Object(secret).to_string();
            let file = self.private.write("login.json", &text)?;
            after.extend(["-e".to_owned(), format!("@{}", file.display())]);
        }
        Ok((made.map(|made| made.text), Vec::new(), after))
    }

    /// The same by the engine of a container.
    fn by_engine(&self, access: &ContainerAccess) -> anyhow::Result<Means> {
        let variables = inventory::container_variables(access);
        let text: String =
            variables.iter().map(|(name, value)| format!(" {name}={}", quote(value))).collect();
        let user = access.user.as_deref().unwrap_or_default();
        let made = self.inventory(&Place { host: &access.id, port: 0, user }, &text)?;
        let is_needed = made.as_ref().is_some_and(|made| !made.has_login);
        let after = variables.into_iter().filter(|_| is_needed);
        let after = after.flat_map(|(name, value)| ["-e".to_owned(), format!("{name}={value}")]);
        Ok((made.map(|made| made.text), Vec::new(), after.collect()))
    }

    /// The generated inventory, unless the template has its own.
    fn inventory(&self, place: &Place<'_>, login: &str) -> anyhow::Result<Option<Inventory>> {
        let scope = &self.cx.facts.scope;
        let is_wanted = self.own.inventory_file.is_none();
        is_wanted.then(|| inventory::generate(self.own, place, login, scope)).transpose()
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
            (None, true) => self.cx.facts.scope.environment.get("TMPDIR").unwrap_or("/tmp").into(),
            (None, false) => private.to_owned(),
        };
        let named =
            || tempfile::Builder::new().prefix("packer-provisioner-ansible").tempfile_in(&dir);
        let written = named().and_then(|file| std::fs::write(file.path(), text).map(|()| file));
        written.with_context(|| format!("cannot write the inventory in {}", dir.display()))
    }

    /// Runs one of Ansible's programs and shows what it prints.
    pub(super) async fn run(
        &self,
        program: &str,
        arguments: &[OsString],
        of_way: &[(&str, String)],
    ) -> anyhow::Result<ExitStatus> {
        let cx = self.cx;
        let words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
        let words = std::iter::once(program.to_owned()).chain(words);
        let words: Vec<_> = words.map(|word| quote(&word).into_owned()).collect();
        cx.ui.say(format!("Executing Ansible: {}", words.join(" ")));
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(cx.facts.scope.environment.vars());
        command.envs(of_way.iter().map(|(name, value)| (name, value)));
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
        let given = program::variables(self.cx, "ansible_env_vars", &self.own.ansible_env_vars)?;
        variables.extend(given.into_iter().map(|(name, value)| (name, value.into())));
        Ok(variables)
    }
}

/// A command line, and the inventory that is there as long as it runs.
pub(super) struct Ready {
    pub(super) arguments: Vec<OsString>,
    file: Option<NamedTempFile>,
    keep: bool,
    /// What else is in the environment.
    pub(super) variables: Vec<(&'static str, String)>,
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
