//! `ansible-local`: uploads playbooks and what belongs to them, and runs Ansible on the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::component::{Check, Component, Exit, Facts, ProvisionContext, Provisioner, Upload};
use crate::provisioner::ansible::galaxy::{Requirements, extra_vars};
use crate::provisioner::remote::Remote;
use crate::provisioner::{base_name, check_path, must_be_directory, must_be_file};
use crate::retry::or_cancelled;

/// The options of `ansible-local`.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = { "galaxycommand": "galaxy_command" }))]
pub struct Options {
    /// The playbook. Exactly one of `playbook_file` and `playbook_files` is given.
    pub playbook_file: Option<String>,
    /// Several playbooks, each run by a command of its own. Those inside `playbook_dir` are run
    /// where they are there.
    pub playbook_files: Vec<String>,
    /// A directory whose contents become the staging directory.
    pub playbook_dir: Option<String>,
    /// Directories for `playbooks/` of the staging directory.
    pub playbook_paths: Vec<String>,
    /// Directories of roles, for `roles/` of the staging directory.
    pub role_paths: Vec<String>,
    /// Directories of collections, for `collections/` of the staging directory.
    pub collection_paths: Vec<String>,
    /// The directory `group_vars`.
    pub group_vars: Option<String>,
    /// The directory `host_vars`.
    pub host_vars: Option<String>,
    /// The inventory. Default: one that has `127.0.0.1` in all `inventory_groups`.
    pub inventory_file: Option<String>,
    /// The groups of the default inventory.
    pub inventory_groups: Vec<String>,
    /// What runs a playbook, for `sh` on the machine.
    #[default("ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook".to_owned())]
    pub command: String,
    /// More arguments, for `sh` on the machine: not quoted.
    pub extra_arguments: Vec<String>,
    /// A `requirements.yml` whose roles and collections are installed first.
    pub galaxy_file: Option<String>,
    /// What installs them, for `sh` on the machine.
    #[default("ansible-galaxy".to_owned())]
    pub galaxy_command: String,
    /// Installs them even where they are installed already.
    pub galaxy_force_install: bool,
    /// Where roles are installed to on the machine. Default: `galaxy_roles` of the staging
    /// directory.
    pub galaxy_roles_path: Option<String>,
    /// Where collections are installed to on the machine. Default: `galaxy_collections` of the
    /// staging directory.
    pub galaxy_collections_path: Option<String>,
    /// Where everything is uploaded to. Default: a new directory in
    /// `/tmp/packer-provisioner-ansible-local`.
    pub staging_directory: Option<String>,
    /// Removes the staging directory at the end.
    pub clean_staging_directory: bool,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct AnsibleLocal {
    own: Options,
    staging: String,
}

impl Component for AnsibleLocal {
    const TYPE: &'static str = "ansible-local";
    const ABOUT: &'static str = "Runs Ansible playbooks on the machine itself.";
    type Options = (Options,);

    fn prepare((own,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        match (&own.playbook_file, own.playbook_files.as_slice()) {
            (None, []) => check.missing("playbook_file", "name the playbook to run"),
            (Some(_), [_, ..]) => {
                check.error("playbook_files", "`playbook_file` is given too").help =
                    Some("keep one of them".into());
            }
            _ => {}
        }
        own.check_files(check);
        own.check_directories(check);
        if own.inventory_file.is_some() && !own.inventory_groups.is_empty() {
            let text = "`inventory_groups` changes nothing beside `inventory_file`";
            check.warn(crate::diagnostic::code::OPTION_VALUE, "inventory_groups", text);
        }
        let staging = match &own.staging_directory {
            Some(given) if given != "/" => given.trim_end_matches('/').to_owned(),
            Some(root) => root.clone(),
            None => format!("/tmp/packer-provisioner-ansible-local/{}", uuid::Uuid::new_v4()),
        };
        Some(Self { own, staging })
    }
}

impl Options {
    /// The files to upload, each with the option that names it.
    fn files(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let one = [
            ("playbook_file", &self.playbook_file),
            ("inventory_file", &self.inventory_file),
            ("galaxy_file", &self.galaxy_file),
        ];
        let given = one.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
        given.chain(self.playbook_files.iter().map(|path| ("playbook_files", path)))
    }

    fn check_files(&self, check: &mut Check<'_>) {
        for (option, path) in self.files() {
            check_path(check, option, path, must_be_file);
        }
    }

    /// The directories to upload, each with the option that names it.
    fn directories(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let one = [
            ("playbook_dir", &self.playbook_dir),
            ("group_vars", &self.group_vars),
            ("host_vars", &self.host_vars),
        ];
        let given = one.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
        let several = [
            ("playbook_paths", &self.playbook_paths),
            ("role_paths", &self.role_paths),
            ("collection_paths", &self.collection_paths),
        ];
        let several = several
            .into_iter()
            .flat_map(|(option, all)| all.iter().map(move |path| (option, path)));
        given.chain(several)
    }

    fn check_directories(&self, check: &mut Check<'_>) {
        for (option, path) in self.directories() {
            check_path(check, option, path, must_be_directory);
        }
    }

    fn playbooks(&self) -> impl Iterator<Item = &String> {
        self.playbook_file.iter().chain(&self.playbook_files)
    }
}

#[async_trait]
impl Provisioner for AnsibleLocal {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        // What Galaxy has tomorrow, nobody knows.
        self.own.galaxy_file.is_none().then(|| {
            let own = self.own.files().chain(self.own.directories());
            own.map(|(_, path)| path.into()).collect()
        })
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        cx.ui.say("Provisioning with Ansible...");
        let run = async {
            self.stage(cx).await?;
            self.install_requirements(cx).await?;
            for playbook in self.own.playbooks() {
                self.play(cx, playbook).await?;
            }
            anyhow::Ok(())
        };
        let result = or_cancelled(&cx.cancel, run).await.map_err(Into::into).flatten();
        if self.own.clean_staging_directory {
            let removed = self.remove_staging(cx, result.is_ok()).await;
            return result.and(removed);
        }
        result
    }
}

/// One thing that the playbooks need on the machine.
struct Staged<'a> {
    from: &'a str,
    to: String,
    is_directory: bool,
}

impl AnsibleLocal {
    /// Makes the staging directory and fills it.
    async fn stage(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let things = self.things(&cx.facts);
        let mut directories = vec![self.staging.as_str()];
        for thing in &things {
            let directory =
                if thing.is_directory { Some(thing.to.as_str()) } else { parent(&thing.to) };
            directories.extend(directory);
        }
        directories.sort_unstable();
        directories.dedup();
        cx.ui.say(format!("Creating Ansible staging directory {}...", self.staging));
        let remote = Remote::new(cx);
        let command = remote.shell().make_directories(&directories);
        remote.must_succeed("make the staging directory", &command).await?;
        for thing in &things {
            cx.ui.say(format!("Uploading {} => {}", thing.from, thing.to));
            let uploaded = if thing.is_directory {
                // With the slash: the contents, into the directory that is there.
                let from = format!("{}/", thing.from.trim_end_matches('/'));
                cx.communicator.upload_dir(&from, &thing.to, &cx.ui).await
            } else {
                let from = Upload::File(Path::new(thing.from));
                cx.communicator.upload(from, &thing.to, &cx.ui).await
            };
            uploaded.with_context(|| format!("cannot upload {} to {}", thing.from, thing.to))?;
        }
        if self.own.inventory_file.is_none() {
            let content = default_inventory(&self.own.inventory_groups);
            let from = Upload::Text { content: content.as_bytes(), mode: 0o644 };
            let to = self.inventory();
            let uploaded = cx.communicator.upload(from, &to, &cx.ui).await;
            uploaded.with_context(|| format!("cannot upload the inventory to {to}"))?;
        }
        Ok(())
    }

    /// Everything to upload, in order: what comes later overwrites what `playbook_dir` has.
    fn things(&self, facts: &Facts) -> Vec<Staged<'_>> {
        let own = &self.own;
        let directory = |from, to| Staged { from, to, is_directory: true };
        let file = |from, to| Staged { from, to, is_directory: false };
        let mut things = Vec::new();
        things.extend(own.playbook_dir.iter().map(|dir| directory(dir, self.staging.clone())));
        let single = own.playbook_file.iter().chain(&own.galaxy_file).chain(&own.inventory_file);
        things.extend(single.map(|path| file(path, self.staged(base_name(path)))));
        for playbook in &own.playbook_files {
            if !self.is_in_playbook_dir(facts, playbook) {
                things.push(file(playbook, self.remote_playbook(facts, playbook)));
            }
        }
        let variables = [(&own.group_vars, "group_vars"), (&own.host_vars, "host_vars")];
        for (given, name) in variables {
            things.extend(given.iter().map(|dir| directory(dir, self.staged(name))));
        }
        let folders = [
            (&own.role_paths, "roles"),
            (&own.collection_paths, "collections"),
            (&own.playbook_paths, "playbooks"),
        ];
        for (given, folder) in folders {
            let inside = |dir: &String| self.staged(&format!("{folder}/{}", base_name(dir)));
            things.extend(given.iter().map(|dir| directory(dir, inside(dir))));
        }
        things
    }

    fn staged(&self, name: &str) -> String {
        format!("{}/{name}", self.staging)
    }

    fn is_in_playbook_dir(&self, facts: &Facts, playbook: &str) -> bool {
        let cwd = &facts.scope.environment.cwd;
        let dir = self.own.playbook_dir.as_ref();
        dir.is_some_and(|dir| clean(&cwd.join(playbook)).starts_with(clean(&cwd.join(dir))))
    }

    /// Where `playbook` is on the machine.
    fn remote_playbook(&self, facts: &Facts, playbook: &str) -> String {
        if self.own.playbook_file.is_some() {
            return self.staged(base_name(playbook));
        }
        let cwd = &facts.scope.environment.cwd;
        let absolute = clean(&cwd.join(playbook));
        let dir = self.own.playbook_dir.as_ref().map(|dir| clean(&cwd.join(dir)));
        let inside = dir.and_then(|dir| Some(absolute.strip_prefix(dir).ok()?.to_owned()));
        let below =
            inside.unwrap_or_else(|| absolute.strip_prefix("/").unwrap_or(&absolute).into());
        self.staged(&below.display().to_string())
    }

    fn inventory(&self) -> String {
        let given = self.own.inventory_file.as_deref();
        self.staged(given.map_or("packer-provisioner-ansible-local", base_name))
    }

    /// `ansible-galaxy` for what `galaxy_file` names.
    async fn install_requirements(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let Some(file) = &self.own.galaxy_file else { return Ok(()) };
        let requirements = Requirements::read(Path::new(file))?;
        let shell = cx.communicator.shell();
        let remote = self.staged(base_name(file));
        let roles = requirements.roles.then(|| ("install", self.galaxy_roles()));
        let collections =
            requirements.collections.then(|| ("collection install", self.galaxy_collections()));
        for (action, target) in roles.into_iter().chain(collections) {
            let force = if self.own.galaxy_force_install { " -f" } else { "" };
            let command = format!(
                "{} {action} -r {} -p {}{force}",
                self.own.galaxy_command,
                shell.path(&remote),
                shell.path(&target),
            );
            let command = shell.in_directory(&self.staging, &command);
            run_ansible(cx, &command, "galaxy_command", &self.own.galaxy_command).await?;
        }
        Ok(())
    }

    fn galaxy_roles(&self) -> String {
        self.own.galaxy_roles_path.clone().unwrap_or_else(|| self.staged("galaxy_roles"))
    }

    fn galaxy_collections(&self) -> String {
        let given = self.own.galaxy_collections_path.clone();
        given.unwrap_or_else(|| self.staged("galaxy_collections"))
    }

    async fn play(&self, cx: &ProvisionContext, playbook: &str) -> anyhow::Result<()> {
        let shell = cx.communicator.shell();
        let mut command = String::new();
        if self.own.galaxy_file.is_some() {
            for (name, path) in [
                ("ANSIBLE_COLLECTIONS_PATH", self.galaxy_collections()),
                ("ANSIBLE_ROLES_PATH", self.galaxy_roles()),
            ] {
                command.push_str(&format!("{name}=${{{name}:+${name}:}}{} ", shell.path(&path)));
            }
        }
        command.push_str(&format!(
            "{} {} --extra-vars {}",
            self.own.command,
            shell.path(&self.remote_playbook(&cx.facts, playbook)),
            shell.word(&extra_vars(&cx.facts)),
        ));
        for argument in &self.own.extra_arguments {
            command.push(' ');
            command.push_str(argument);
        }
        command.push_str(&format!(" -c local -i {}", shell.path(&self.inventory())));
        let command = shell.in_directory(&self.staging, &command);
        cx.ui.say(format!("Executing Ansible: {command}"));
        run_ansible(cx, &command, "command", &self.own.command).await
    }

    async fn remove_staging(&self, cx: &ProvisionContext, succeeded: bool) -> anyhow::Result<()> {
        let remote = Remote::new(cx);
        let command = remote.shell().remove_directory(&self.staging);
        if succeeded {
            cx.ui.say("Removing the Ansible staging directory...");
            return remote.must_succeed("remove the staging directory", &command).await;
        }
        remote.clean_up_once(&command).await;
        Ok(())
    }
}

/// Runs Ansible, whose end is the provisioner's.
async fn run_ansible(
    cx: &ProvisionContext,
    command: &str,
    option: &str,
    program: &str,
) -> anyhow::Result<()> {
    match cx.communicator.run_shown(command, &cx.ui).await? {
        Exit::Status(0) => Ok(()),
        Exit::Status(127) => bail!(
            "the machine has no `{program}`: have an earlier provisioner install Ansible, or name \
             its path in `{option}`"
        ),
        Exit::Status(status) => bail!("Ansible exited with non-zero exit status: {status}"),
        Exit::Disconnected => bail!("the connection was lost while Ansible ran"),
    }
}

fn default_inventory(groups: &[String]) -> String {
    if groups.is_empty() {
        return "127.0.0.1\n".to_owned();
    }
    groups.iter().map(|group| format!("[{group}]\n127.0.0.1\n")).collect()
}

/// The directory of a path on the machine, unless it is the root.
fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

/// `path` without `.` and `..`, as its text says it.
fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Answer, Machine};

    #[tokio::test]
    async fn a_playbook_is_staged_and_run_on_the_machine_itself() {
        let (_dir, playbook) = fake::local_file("site.yml", b"---");
        let options = json!({
            "playbook_file": playbook, "staging_directory": "/stage/", "inventory_groups": ["web"],
            "extra_arguments": ["-v", "--diff"], "clean_staging_directory": true
        });
        let (ended, log) = fake::run::<AnsibleLocal>(options, Machine::answering([])).await;
        assert_eq!(ended, "ok");
        let vars = r#"'{"packer_build_name":"web","packer_builder_type":"null"}'"#;
        let ansible = "ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook";
        let inventory = "/stage/packer-provisioner-ansible-local";
        assert_eq!(
            log,
            [
                "run mkdir -p /stage".to_owned(),
                format!("upload {} /stage/site.yml", playbook.display()),
                format!("write 644 {inventory}\n[web]\n127.0.0.1\n"),
                format!(
                    "run cd /stage && {ansible} /stage/site.yml --extra-vars {vars} -v --diff \
                     -c local -i {inventory}"
                ),
                "run rm -rf /stage".to_owned(),
            ]
        );
    }

    #[tokio::test]
    async fn playbooks_of_the_playbook_directory_are_run_in_place_and_others_uploaded() {
        let (dir, inside) = fake::local_file("in.yml", b"---");
        let (_other, outside) = fake::local_file("out.yml", b"---");
        let roles = dir.path().join("nginx");
        std::fs::create_dir(&roles).unwrap();
        let options = json!({
            "playbook_files": [inside, outside], "playbook_dir": dir.path(),
            "role_paths": [roles], "staging_directory": "/stage"
        });
        let (ended, log) = fake::run::<AnsibleLocal>(options, Machine::answering([])).await;
        assert_eq!(ended, "ok");
        let staged = format!("/stage{}", outside.display());
        let parent = parent(&staged).unwrap();
        assert_eq!(log[0], format!("run mkdir -p /stage /stage/roles/nginx {parent}"));
        assert_eq!(log[1], format!("upload_dir {}/ /stage", dir.path().display()));
        assert_eq!(log[2], format!("upload {} {staged}", outside.display()));
        assert_eq!(log[3], format!("upload_dir {}/ /stage/roles/nginx", roles.display()));
        assert!(log[5].contains("ansible-playbook /stage/in.yml "), "{}", log[5]);
        assert!(log[6].contains(&format!("ansible-playbook {staged} ")), "{}", log[6]);
    }

    #[tokio::test]
    async fn requirements_are_installed_and_found() {
        let (dir, playbook) = fake::local_file("site.yml", b"---");
        let galaxy = dir.path().join("requirements.yml");
        std::fs::write(&galaxy, "roles: []\ncollections: []\n").unwrap();
        let options = json!({
            "playbook_file": playbook, "galaxy_file": galaxy, "galaxy_force_install": true,
            "staging_directory": "/stage", "galaxy_roles_path": "/my roles"
        });
        let (_, log) = fake::run::<AnsibleLocal>(options, Machine::answering([])).await;
        let requirements = "/stage/requirements.yml";
        let galaxy = "run cd /stage && ansible-galaxy";
        assert_eq!(log[4], format!("{galaxy} install -r {requirements} -p '/my roles' -f"));
        let target = "/stage/galaxy_collections";
        assert_eq!(log[5], format!("{galaxy} collection install -r {requirements} -p {target} -f"));
        let roles = "ANSIBLE_ROLES_PATH=${ANSIBLE_ROLES_PATH:+$ANSIBLE_ROLES_PATH:}'/my roles' ";
        assert!(log[6].contains(roles), "{}", log[6]);
    }

    #[tokio::test]
    async fn a_machine_without_ansible_is_explained() {
        let (_dir, playbook) = fake::local_file("site.yml", b"---");
        let machine = Machine::answering([Answer::Exit(0), Answer::Exit(127)]);
        let (ended, _) =
            fake::run::<AnsibleLocal>(json!({"playbook_file": playbook}), machine).await;
        assert!(ended.contains("earlier provisioner install Ansible"), "{ended}");
    }

    #[test]
    fn all_that_is_wrong_with_the_options_is_said_at_once() {
        let wrong = json!({
            "playbook_file": "/no/a.yml", "playbook_files": ["/no/b.yml"], "group_vars": "/no/c",
            "role_paths": ["/no/d"]
        });
        insta::assert_snapshot!(fake::prepare::<AnsibleLocal>(wrong).unwrap_err().join("\n"), @r"
        the value of `playbook_files` cannot be used: `playbook_file` is given too
        the value of `playbook_file` cannot be used: cannot read /no/a.yml: No such file or directory (os error 2)
        the value of `playbook_files` cannot be used: cannot read /no/b.yml: No such file or directory (os error 2)
        the value of `group_vars` cannot be used: cannot read /no/c: No such file or directory (os error 2)
        the value of `role_paths` cannot be used: cannot read /no/d: No such file or directory (os error 2)
        ");
    }
}
