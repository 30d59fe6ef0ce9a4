//! `inspec`: runs Chef InSpec on this machine, against the one that is built.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use smart_default::SmartDefault;
use tokio::process::Command;

use crate::component::{
    Access, Check, Component, Entrance, ProvisionContext, Provisioner, Sharing,
};
use crate::config::Late;
use crate::diagnostic::code;
use crate::guest::shell::quote;
use crate::provisioner::fields::{MachineFields, rendered};
use crate::provisioner::private::Private;
use crate::provisioner::{check_directory, check_file, program};
use crate::retry::or_cancelled;
use crate::script::child;
use crate::secret::Secret;

/// How InSpec gets to a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// By SSH, over imgbake's own connection.
    #[default]
    Ssh,
    /// Into a container of this machine: `host` is its id.
    Docker,
    /// Not at all: it tests this machine.
    Local,
    /// By WinRM.
    Winrm,
}

/// The options of `inspec`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InspecOptions {
    /// The profile to run: a path or an address. Required.
    pub profile: Option<String>,
    /// The program that runs it: a name or a path, no command line.
    #[default("inspec".to_owned())]
    pub command: String,
    /// How InSpec gets to the machine: `ssh`, `docker`, `local` or `winrm`.
    pub backend: Backend,
    /// The machine to test. With `docker`: the id of the container, `{{ build "ID" }}`. Default: with
    /// `winrm` the machine that is built, else 127.0.0.1.
    pub host: Option<Late<MachineFields>>,
    /// The user to log in as. Default: the connection's.
    pub user: Option<Late<MachineFields>>,
    /// The port of the SSH server that InSpec logs in to on this machine, or one of the nine after it;
    /// zero: any.
    pub local_port: u16,
    /// The private key of that server. Default: a new one.
    pub ssh_host_key_file: Option<String>,
    /// The public key that may log in there. Default: a new one.
    pub ssh_authorized_key_file: Option<String>,
    /// Files of inputs for the profile.
    pub attributes: Vec<Late<MachineFields>>,
    /// The directory for the file of inputs that tells the profile of the build
    /// (`packer_build_name`, `packer_builder_type`). Default: one of our own.
    pub attributes_directory: Option<String>,
    /// More arguments for InSpec, each one word. A `--password` is given in a file: a command line can
    /// be read by every user of this machine.
    pub extra_arguments: Vec<Late<MachineFields>>,
    /// Variables of its environment, each as `NAME=value`.
    pub inspec_env_vars: Vec<Late<MachineFields>>,
    /// The exit statuses that count as success. Default: 0, and 101 (controls were skipped).
    #[default(vec![0, 101])]
    pub valid_exit_codes: Vec<i32>,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct Inspec {
    own: InspecOptions,
    profile: String,
}

impl Component for Inspec {
    const TYPE: &'static str = "inspec";
    const ABOUT: &'static str = "Runs Chef InSpec on this machine, against the one that is built.";
    type Options = (InspecOptions,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        match &own.profile {
            None => check.missing("profile", "name the profile to run"),
            // One that is no file here is an address.
            Some(path) if Path::new(path).exists() => {
                check.may_read("profile", path);
            }
            Some(_) => {}
        }
        check_file(check, "ssh_host_key_file", own.ssh_host_key_file.as_deref());
        check_file(check, "ssh_authorized_key_file", own.ssh_authorized_key_file.as_deref());
        check_directory(check, "attributes_directory", own.attributes_directory.as_deref());
        if own.backend == Backend::Docker && own.host.is_none() {
            check.missing("host", "say which container to test: `{{ build \"ID\" }}`");
        }
        program::check_variables("inspec_env_vars", &own.inspec_env_vars, check);
        own.warn_of_idle_options(check);
        Some(Self { profile: own.profile.clone()?, own })
    }
}

impl InspecOptions {
    fn warn_of_idle_options(&self, check: &mut Check<'_>) {
        let of_server = [
            ("local_port", self.local_port != 0),
            ("ssh_host_key_file", self.ssh_host_key_file.is_some()),
            ("ssh_authorized_key_file", self.ssh_authorized_key_file.is_some()),
        ];
        let is_idle = self.backend != Backend::Ssh;
        for (option, _) in of_server.into_iter().filter(|(_, given)| *given && is_idle) {
            let text = format!("`{option}` changes nothing unless `backend` is `ssh`");
            check.warn(code::OPTION_VALUE, option, text);
        }
    }
}

#[async_trait]
impl Provisioner for Inspec {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say("Provisioning with Inspec...");
        let private = Private::new(&cx.facts.scope.environment, "inspec")?;
        let access = match self.own.backend {
            Backend::Ssh => Some(or_cancelled(&cx.cancel, self.access(cx)).await??),
            Backend::Docker | Backend::Local | Backend::Winrm => None,
        };
        let exam = Exam { own: &self.own, cx, private: &private, access: access.as_ref() };
        exam.take(&self.profile).await
    }
}

impl Inspec {
    /// An SSH server on loopback that leads to the machine. InSpec looks at no host key: it must not
    /// go over a network.
    async fn access(&self, cx: &ProvisionContext) -> anyhow::Result<Access> {
        let own = &self.own;
        let cwd = &cx.facts.scope.environment.cwd;
        let sharing = Sharing {
            port: own.local_port,
            rsa: true,
            host_key: program::read_key(cwd, own.ssh_host_key_file.as_deref())?.map(Secret::new),
            authorized_key: program::read_key(cwd, own.ssh_authorized_key_file.as_deref())?,
            user: own.user.as_ref().map(|user| rendered(cx, "user", user)).transpose()?,
            sftp_command: None,
        };
        let access = cx.communicator.access(Entrance::OurConnection(&sharing)).await?;
        access.context(
            "InSpec cannot get to the machine by SSH: this communicator has no connection that it \
             could use. For a machine with WinRM set `backend = \"winrm\"`",
        )
    }
}

/// One run of InSpec.
struct Exam<'a> {
    own: &'a InspecOptions,
    cx: &'a ProvisionContext,
    private: &'a Private,
    access: Option<&'a Access>,
}

impl Exam<'_> {
    async fn take(&self, profile: &str) -> anyhow::Result<()> {
        let (own, cx) = (self.own, self.cx);
        let inputs = self.inputs()?;
        let mut words = vec!["exec".to_owned(), profile.to_owned()];
        words.extend(self.target()?);
        let (extra, password) = self.extra_arguments()?;
        if let Some(password) = password {
            let config =
                json!({"file_version": "1.1", "cli_options": {"password": password.expose()}});
            let path = self.private.write("config.json", &config.to_string())?;
            words.extend(["--config".to_owned(), path.display().to_string()]);
        }
        words.push("--input-file".to_owned());
        for text in &own.attributes {
            words.push(rendered(cx, "attributes", text)?);
        }
        words.push(inputs.path().display().to_string());
        words.extend(extra);
        self.run(&words).await
    }

    /// The file of inputs that tells of the build.
    fn inputs(&self) -> anyhow::Result<tempfile::NamedTempFile> {
        let facts = &self.cx.facts;
        let cwd = &facts.scope.environment.cwd;
        let given = self.own.attributes_directory.as_ref().map(|dir| cwd.join(dir));
        let dir = given.unwrap_or_else(|| self.private.path().to_owned());
        let mut named = tempfile::Builder::new();
        named.prefix("packer-provisioner-inspec.").suffix(".yml");
        // JSON is YAML, and any name arrives whole.
        let text = json!({
            "packer_build_name": facts.source_name(), "packer_builder_type": facts.builder_type
        });
        let file = named.tempfile_in(&dir);
        let written = file.and_then(|file| {
            std::fs::write(file.path(), text.to_string())?;
            Ok(file)
        });
        written.with_context(|| format!("cannot write the inputs in {}", dir.display()))
    }

    /// Which machine is tested, and how InSpec gets there.
    fn target(&self) -> anyhow::Result<Vec<String>> {
        let backend = match self.own.backend {
            Backend::Ssh => "ssh",
            Backend::Docker => "docker",
            Backend::Local => "local",
            Backend::Winrm => "winrm",
        };
        let text = |given: &Option<Late<MachineFields>>, option: &str| {
            given.as_ref().map(|text| rendered(self.cx, option, text)).transpose()
        };
        let (host, user) = (text(&self.own.host, "host")?, text(&self.own.user, "user")?);
        let machine =
            |name: &str| self.machine(name).filter(|_| self.own.backend == Backend::Winrm);
        let access = self.access;
        let host = host.or_else(|| access.map(|access| access.host.clone()));
        let host = host.or_else(|| machine("Host")).unwrap_or_else(|| "127.0.0.1".to_owned());
        let user = user.or_else(|| access.map(|access| access.user.clone()));
        let user = user.or_else(|| machine("User"));
        let mut words: Vec<String> =
            ["--backend", backend, "--host", &host].map(str::to_owned).into();
        words.extend(user.into_iter().flat_map(|user| ["--user".to_owned(), user]));
        if let Some(access) = access {
            if let Some(key) = &access.key {
                let path = self.private.write("key", key.expose())?;
                words.extend(["--key-files".to_owned(), path.display().to_string()]);
            }
            words.extend(["--port".to_owned(), access.port.to_string()]);
        } else if let Some(port) = machine("Port") {
            words.extend(["--port".to_owned(), port]);
        }
        Ok(words)
    }

    /// What the machine has said of itself.
    fn machine(&self, name: &str) -> Option<String> {
        match self.cx.facts.scope.build_data.as_ref()?.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The template's own arguments without a password, and the password: the machine's, if they have
    /// none.
    fn extra_arguments(&self) -> anyhow::Result<(Vec<String>, Option<Secret>)> {
        let (mut words, mut password) = (Vec::new(), None);
        let mut arguments = self.own.extra_arguments.iter();
        while let Some(argument) = arguments.next() {
            let word = rendered(self.cx, "extra_arguments", argument)?;
            if word == "--password" {
                let next = arguments.next().context("`--password` has no value")?;
                password = Some(Secret::new(rendered(self.cx, "extra_arguments", next)?));
            } else if let Some(value) = word.strip_prefix("--password=") {
                password = Some(Secret::new(value));
            } else {
                ensure!(
                    !self.cx.redactor.holds(&word),
                    "argument {} of `extra_arguments` holds a secret, and every user of this machine \
                     can read command lines: give it in a file, or in `inspec_env_vars`",
                    words.len() + 1
                );
                words.push(word);
            }
        }
        let has_config = words.iter().any(|word| word.starts_with("--config"));
        if has_config && password.is_some() {
            bail!(
                "`extra_arguments` have both `--config` and `--password`: write the password there"
            );
        }
        if self.own.backend == Backend::Winrm && !has_config {
            password = password.or_else(|| self.machine("Password").map(Secret::new));
        }
        if let Some(password) = &password {
            self.cx.redactor.register(password.expose());
        }
        Ok((words, password))
    }

    async fn run(&self, words: &[String]) -> anyhow::Result<()> {
        let (own, cx) = (self.own, self.cx);
        let shown = [&own.command].into_iter().chain(words).map(|word| quote(word).into_owned());
        cx.ui.say(format!("Executing Inspec: {}", shown.collect::<Vec<_>>().join(" ")));
        let environment = &cx.facts.scope.environment;
        let mut command = Command::new(&own.command);
        command.args(words).env_clear().envs(environment.vars()).current_dir(&environment.cwd);
        command.envs(program::variables(cx, "inspec_env_vars", &own.inspec_env_vars)?);
        let ended = child::run(command, &cx.ui, &cx.cancel).await;
        let ended = ended.map_err(|error| match error.downcast_ref::<std::io::Error>() {
            Some(cause) if cause.kind() == std::io::ErrorKind::NotFound => anyhow::anyhow!(
                "there is no `{}` on this machine: InSpec is not installed here",
                own.command
            ),
            _ => error.context(format!("cannot run `{}`", own.command)),
        })?;
        match ended.code() {
            Some(status) if own.valid_exit_codes.contains(&status) => Ok(()),
            Some(status) => bail!(
                "Inspec exited with unexpected exit status: {status}. Expected exit codes are: {:?}",
                own.valid_exit_codes
            ),
            None => bail!("InSpec was ended by a signal ({ended})"),
        }
    }
}
