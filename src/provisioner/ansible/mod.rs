//! `ansible`: runs Ansible on this machine, against the one that is built.
//!
//! | file | what is there |
//! |---|---|
//! | `options`, `check` | what templates may say, and what is wrong with it |
//! | `version`, `python` | which Ansible is here, and whether the machine's Python will do |
//! | `inventory` | how Ansible finds the machine and logs in |
//! | `arguments` | what it is told, without telling secrets to others |
//! | `play` | one run of Ansible's programs |
//! | `galaxy` | what `ansible-local` does as well |

mod arguments;
mod check;
pub(super) mod galaxy;
mod inventory;
mod options;
mod play;
mod python;
mod version;

use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use async_trait::async_trait;

pub use self::options::{InventoryFields, Options, ProxyKey};
use self::play::{Play, Way};
use self::version::Version;
use crate::component::{
    Access, Check, Component, ContainerAccess, Entrance, ProvisionContext, Provisioner, Sharing,
    WindowsAccess,
};
use crate::config::Late;
use crate::provisioner::must_be_file;
use crate::provisioner::private::Private;
use crate::provisioner::program::read_key;
use crate::retry::or_cancelled;
use crate::secret::Secret;

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct Ansible {
    own: Options,
    playbook: String,
    /// The version that was found, if it was looked for.
    version: Option<Version>,
}

impl Component for Ansible {
    const TYPE: &'static str = "ansible";
    const ABOUT: &'static str = "Runs Ansible on this machine, against the one that is built.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        own.check(check);
        let version = match own.skip_version_check {
            true => None,
            false => find_version(&own, check),
        };
        Some(Self { playbook: own.playbook_file.clone()?, own, version })
    }
}

/// Asks the program itself, if it is one of this machine's. One that a template brings along is not
/// run before the build: whoever only reads a template runs nothing of it.
fn find_version(own: &Options, check: &mut Check<'_>) -> Option<Version> {
    let found = match own.command.contains('/') {
        true => must_be_file(Path::new(&own.command)).map(|()| None),
        false => version::of(&own.command, &check.facts.scope.environment).map(Some),
    };
    found.unwrap_or_else(|cause| {
        let help = "install Ansible where imgbake runs, or name its program in `command`; \
                    `skip_version_check = true` looks for it only when it is needed";
        check.error("command", cause).help = Some(help.to_owned());
        None
    })
}

#[async_trait]
impl Provisioner for Ansible {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say("Provisioning with Ansible...");
        let version = self.version_now(cx).await?;
        let private = Private::new(&cx.facts.scope.environment, "ansible")?;
        let played = self.work(cx, &private, version).await;
        private.hang_up().await;
        played
    }
}

impl Ansible {
    /// The version, asked for now if it was not before.
    async fn version_now(&self, cx: &ProvisionContext) -> anyhow::Result<Option<Version>> {
        if self.version.is_some() || self.own.skip_version_check {
            return Ok(self.version);
        }
        let (program, facts) = (self.own.command.clone(), cx.facts.clone());
        let ask = move || version::of(&program, &facts.scope.environment);
        let asked = tokio::task::spawn_blocking(ask).await?;
        asked.map(Some).map_err(anyhow::Error::msg)
    }

    async fn work(
        &self,
        cx: &ProvisionContext,
        private: &Private,
        version: Option<Version>,
    ) -> anyhow::Result<()> {
        let way = or_cancelled(&cx.cancel, self.way(cx)).await??;
        or_cancelled(&cx.cancel, self.look_for_python(cx, version)).await??;
        let play = Play { own: &self.own, cx, private };
        play.install_requirements().await?;
        let ready = play.ready(&self.playbook, &way)?;
        let status = play.run(&self.own.command, &ready.arguments, &ready.variables).await;
        ready.end(cx)?;
        let status = status?;
        if status.success() {
            return Ok(());
        }
        bail!("{}", explain(cx, version, status).await)
    }

    /// Says at once what a playbook would fail of as it begins.
    async fn look_for_python(
        &self,
        cx: &ProvisionContext,
        version: Option<Version>,
    ) -> anyhow::Result<()> {
        let playbook = cx.facts.scope.environment.cwd.join(&self.playbook);
        if !python::is_needed_first(&self.own, &playbook, cx) {
            return Ok(());
        }
        match python::trouble(version, &*cx.communicator).await {
            Some(trouble) => bail!("Ansible cannot ask the machine for facts: {trouble}"),
            None => Ok(()),
        }
    }

    /// How Ansible gets to the machine.
    async fn way(&self, cx: &ProvisionContext) -> anyhow::Result<Way> {
        if let Some(access) = cx.communicator.windows_access().await? {
            if self.own.wants_proxy() {
                bail!(
                    "Ansible works over imgbake's own connection by SSH only, and this machine is \
                     reached by WinRM: leave out `use_proxy` and the options of the proxy"
                );
            }
            let user = self.own.user.clone().unwrap_or(access.user);
            return Ok(Way::Windows(WindowsAccess { user, ..access }));
        }
        if let Some(access) = cx.communicator.container_access() {
            if self.own.wants_proxy() {
                bail!(
                    "Ansible works over imgbake's own connection by SSH only, and this machine is a \
                     container, which Ansible enters by its engine: leave out `use_proxy` and the \
                     options of the proxy"
                );
            }
            let user = self.own.user.clone().or(access.user);
            return Ok(Way::Container(ContainerAccess { user, ..access }));
        }
        let access = self.access(cx).await?;
        if let Some(key) = &access.key {
            cx.redactor.register(key.expose());
        }
        Ok(Way::Ssh(access))
    }

    async fn access(&self, cx: &ProvisionContext) -> anyhow::Result<Access> {
        let own = &self.own;
        if !own.wants_proxy() {
            let access = cx.communicator.access(Entrance::OwnLogin).await?;
            match (access, &own.user, own.use_proxy) {
                (Some(access), Some(user), Some(false)) => {
                    return Ok(Access { user: user.clone(), ..access });
                }
                (Some(access), user, _)
                    if user.as_ref().is_none_or(|user| *user == access.user) =>
                {
                    return Ok(access);
                }
                (None, user, Some(false)) => {
                    if let Some(access) = self.unaided(cx).await? {
                        let user = user.clone().unwrap_or(access.user);
                        return Ok(Access { user, ..access });
                    }
                }
                _ => {}
            }
        }
        let sharing = self.sharing(cx)?;
        let access = cx.communicator.access(Entrance::OurConnection(&sharing)).await?;
        let access = access.context(
            "Ansible cannot get to the machine: this connection is none that it could use. It needs \
             SSH, WinRM (over HTTPS only to an address, or with `winrm_insecure`), or a container",
        )?;
        cx.ui.say(format!("Ansible uses imgbake's connection, on port {}", access.port));
        Ok(access)
    }

    /// Where the machine is, if a key of it or the template may let Ansible in.
    async fn unaided(&self, cx: &ProvisionContext) -> anyhow::Result<Option<Access>> {
        let access = cx.communicator.access(Entrance::Unaided).await?;
        let mut extra = self.own.extra_arguments.iter().map(Late::raw);
        let access = access.filter(|access| access.key.is_some() || extra.any(arguments::lets_in));
        if access.is_none() {
            cx.ui.error(
                "Warning: Ansible cannot log in to the machine itself, as `use_proxy = false` asks for: imgbake \
                 tells no password to another program. It goes over imgbake's own connection instead. Give it the \
                 password (`extra_arguments = [\"-e\", \"ansible_password=…\"]`), or leave out `use_proxy`.",
            );
        }
        Ok(access)
    }

    fn sharing(&self, cx: &ProvisionContext) -> anyhow::Result<Sharing> {
        let own = &self.own;
        let cwd = &cx.facts.scope.environment.cwd;
        Ok(Sharing {
            port: own.local_port,
            rsa: own.ansible_proxy_key_type == Some(ProxyKey::Rsa),
            host_key: read_key(cwd, own.ssh_host_key_file.as_deref())?.map(Secret::new),
            authorized_key: read_key(cwd, own.ssh_authorized_key_file.as_deref())?,
            user: own.user.clone(),
            sftp_command: own.sftp_command.clone(),
        })
    }
}

/// Why Ansible failed, as far as its status and the machine can tell.
async fn explain(cx: &ProvisionContext, version: Option<Version>, status: ExitStatus) -> String {
    let Some(code) = status.code() else {
        return format!("Ansible was ended by a signal ({status})");
    };
    let ended = format!("Ansible exited with non-zero exit status: {code}");
    match python::trouble(version, &*cx.communicator).await {
        Some(trouble) => format!("{ended}; {trouble}"),
        None => ended,
    }
}
