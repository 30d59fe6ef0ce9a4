//! The `vagrant` builder: a machine of Vagrant's, started from a box and packed into a new one.
//!
//! | file | what is there |
//! |---|---|
//! | `options` | what a template may say |
//! | `program` | the program `vagrant`, and what it answers |
//! | `steps` | the Vagrantfile, the box, the machine, the new box |
//! | `cleaner` | who ends the machines of dead runs |

mod cleaner;
mod options;
mod program;
mod steps;

use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use async_trait::async_trait;

use self::options::{BOX, Options, Teardown};
use self::program::Program;
use self::steps::{AddBox, PackageBox, Up, WriteVagrantfile};
use crate::builder::output::OutputDirectory;
use crate::builder::provision::provision;
use crate::communicator::{self, Chosen, FoundLogin, HostKey, Taken, Target};
use crate::component::{
    Artifact, BuildContext, Builder, Check, Cleaner, CleanupContext, Component, Purpose,
};
use crate::config::GoDuration;
use crate::env::Environment;
use crate::interpolate::BuildData;
use crate::permission::Permission;
use crate::step::Steps;
use crate::vm::checksum::Checksum;
use crate::vm::download::{self, Download, Source};
use crate::vm::{boot, floppy, http_server};

pub use self::cleaner::VagrantCleaner;

/// What artifacts of this builder are known by.
pub const BUILDER_ID: &str = "vagrant";

/// What the Vagrantfile calls the machine that is built.
const MACHINE: &str = "source";

/// How long the machine gets to let us in.
const PATIENCE: GoDuration = GoDuration::from_secs(600);

/// Where the machine comes from.
#[derive(Clone, Debug)]
enum From {
    /// A box that Vagrant knows, or gets by its name.
    Name(String),
    /// The box in a file.
    File(Download),
    /// It is there.
    Id(String),
}

/// A machine of Vagrant's.
#[derive(Debug)]
pub struct Vagrant {
    own: Options,
    from: From,
    directory: PathBuf,
    box_name: String,
    teardown: Teardown,
    connector: Chosen,
    /// Whether the template gives the SSH server's port.
    has_port: bool,
}

impl Component for Vagrant {
    const TYPE: &'static str = "vagrant";
    const ABOUT: &'static str =
        "Starts a machine from a Vagrant box, provisions it, and packs it into a new box.";
    type Options = (
        Options,
        communicator::Options,
        http_server::Options,
        download::Options,
        floppy::Options,
        boot::Options,
    );

    fn prepare((mut own, communicator, ..): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let from = check_source(&own, check);
        check_files(&mut own, check);
        warn_of_idle(&own, check);
        let has_port = check.is_given("ssh_port");
        let taken = Taken::only(&["ssh"]).finding_logins();
        let connector = communicator.choose(&taken, check);
        let facts = check.facts;
        let build = facts.source_name();
        let or_named = |given: &str, prefix: &str| match given {
            "" => format!("{prefix}{build}"),
            given => given.to_owned(),
        };
        let directory = facts.scope.environment.cwd.join(or_named(&own.output_dir, "output-"));
        let box_name = or_named(&own.box_name, "packer_");
        let (from, connector) = (from?, connector?);
        let usual = match from {
            From::Id(_) => Teardown::Halt,
            _ => Teardown::Destroy,
        };
        let teardown = own.teardown_method.unwrap_or(usual);
        Some(Self { own, from, directory, box_name, teardown, connector, has_port })
    }
}

/// Where the machine comes from; `None` after reporting why it cannot.
fn check_source(own: &Options, check: &mut Check<'_>) -> Option<From> {
    let checksum = match own.checksum.as_str() {
        "" => Ok(Checksum::None),
        given => Checksum::parse(given),
    };
    let checksum = checksum.map_err(|cause| _ = check.error("checksum", cause)).ok()?;
    if let Checksum::SumsFile(sums) = &checksum {
        download::may_read(sums, "checksum", check);
    }
    match (own.source_path.as_str(), own.global_id.as_str()) {
        ("", "") => {
            check.missing("source_path", "name a box, or a machine that is there by `global_id`");
            None
        }
        ("", id) => Some(From::Id(id.to_owned())),
        (_, id) if !id.is_empty() => {
            check.error("global_id", "`source_path` is given too: give one of the two");
            None
        }
        (path, _) if path.ends_with(".box") => {
            if download::may_read(path, "source_path", check)
                && let Some(file) = download::local(path)
                && !file.is_file()
            {
                check.error("source_path", format!("there is no box {}", file.display()));
            }
            let download = Download::of(path, checksum, "box");
            download.map_err(|cause| _ = check.error("source_path", cause)).ok().map(From::File)
        }
        (name, _) => {
            if checksum != Checksum::None {
                check.error("checksum", "it is for a `.box` file, and this is the name of a box");
            }
            Some(From::Name(name.to_owned()))
        }
    }
}

/// Warns of what is given for something that this build does not do.
fn warn_of_idle(own: &Options, check: &mut Check<'_>) {
    const ADDING: &[&str] = &[
        "box_version",
        "add_cacert",
        "add_capath",
        "add_cert",
        "add_clean",
        "add_force",
        "add_insecure",
    ];
    // Packer's takes them, too, and uses none.
    const OF_INSTALLERS: &[&str] = &[
        "boot_command",
        "boot_key_interval",
        "boot_keygroup_interval",
        "boot_steps",
        "boot_wait",
        "floppy_content",
        "floppy_dirs",
        "floppy_files",
        "floppy_label",
        "http_bind_address",
        "http_content",
        "http_directory",
        "http_interface",
        "http_network_protocol",
        "http_port_max",
        "http_port_min",
        "iso_checksum",
        "iso_skip_cache",
        "iso_target_extension",
        "iso_target_path",
        "iso_url",
        "iso_urls",
    ];
    check.idle(OF_INSTALLERS, "for a machine that Vagrant starts from a box");
    let has_id = !own.global_id.is_empty();
    if has_id {
        let of_box = ["skip_add", "checksum", "synced_folder", "insert_key", "template"];
        check.idle(&of_box, "with `global_id`: Vagrant has the machine already");
    }
    if has_id || own.skip_add {
        check.idle(ADDING, "where no box is added");
    }
    if own.skip_package {
        check.idle(&["package_include", "output_vagrantfile"], "with `skip_package`");
    }
}

/// Checks the files that options name, and makes their paths absolute: `vagrant` runs elsewhere.
fn check_files(own: &mut Options, check: &mut Check<'_>) {
    let environment = check.facts.scope.environment.clone();
    let whole = |path: &str| {
        let path = environment.expand_home(Path::new(path));
        environment.cwd.join(path)
    };
    if !own.synced_folder.is_empty() {
        let path = whole(&own.synced_folder);
        if check.may_read("synced_folder", &path) && !path.exists() {
            let cause = format!("{} does not exist on this machine", path.display());
            check.error("synced_folder", cause);
        }
        own.synced_folder = path.display().to_string();
    }
    for (option, path) in
        [("template", &mut own.template), ("output_vagrantfile", &mut own.output_vagrantfile)]
    {
        if path.is_empty() {
            continue;
        }
        let all = whole(path);
        check.must_be_file(option, &all);
        *path = all.display().to_string();
    }
    for (option, path) in [
        ("add_cacert", &own.add_cacert),
        ("add_capath", &own.add_capath),
        ("add_cert", &own.add_cert),
    ] {
        if !path.is_empty() {
            check.may_read(option, whole(path));
        }
    }
    for file in &mut own.package_include {
        let all = whole(file);
        check.may_read("package_include", &all);
        *file = all.display().to_string();
    }
}

#[async_trait]
impl Builder for Vagrant {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let steps = Steps::new(cx);
        let data = steps.finish(self.run(cx, &steps)).await?;
        let file = (!self.own.skip_package).then(|| self.directory.join(BOX));
        let provider = self.own.provider.clone();
        Ok(Some(Arc::new(Packed { provider, file, data })))
    }

    fn makes(&self) -> Option<&'static str> {
        Some(BUILDER_ID)
    }

    fn permissions(&self, purpose: Purpose, environment: &Environment) -> Vec<Permission> {
        match (&self.from, purpose) {
            (From::File(download), Purpose::Build) => download.permissions(environment),
            _ => Vec::new(),
        }
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(VagrantCleaner { cx: cx.clone() }))
    }
}

impl Vagrant {
    async fn run(&self, cx: &BuildContext, steps: &Steps<'_>) -> anyhow::Result<BuildData> {
        let directory = absolute(&self.directory)?;
        let program = Program::new(&cx.facts.scope.environment, &directory);
        program.check_version(&cx.cancel).await?;
        let source = self.source(cx).await?;
        steps.run(OutputDirectory::new(&directory)).await?;
        if let Some(source) = &source {
            self.prepare_box(cx, steps, &program, source).await?;
        } else {
            cx.ui.say("Using a global-id; skipping Vagrant init in this directory...");
        }
        let machine = match &self.from {
            From::Id(id) => id.clone(),
            _ => MACHINE.to_owned(),
        };
        let (provider, teardown) = (self.own.provider.clone(), self.teardown);
        steps.run(Up::new(&program, &machine, provider, teardown)).await?;
        let data = self.provision(cx, steps, &program, &machine).await?;
        if self.own.skip_package {
            cx.ui.say("skip_package flag set; not going to call Vagrant package on this box.");
        } else {
            let (include, vagrantfile) =
                (self.own.package_include.clone(), self.own.output_vagrantfile.clone());
            steps.run(PackageBox { program, machine, include, vagrantfile }).await?;
        }
        Ok(data)
    }

    /// The box to start from as `vagrant` is told it; `None` where the machine is there already.
    async fn source(&self, cx: &BuildContext) -> anyhow::Result<Option<String>> {
        Ok(match &self.from {
            From::Id(_) => None,
            From::Name(name) => Some(name.clone()),
            From::File(download) => match download.fetch(cx).await? {
                Source::File(path) => Some(absolute(path)?.display().to_string()),
                Source::Server(url) => Some(url.into()),
            },
        })
    }

    async fn prepare_box(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        program: &Program,
        source: &str,
    ) -> anyhow::Result<()> {
        let vagrantfile = WriteVagrantfile {
            directory: program.directory().to_owned(),
            source: source.to_owned(),
            box_name: self.box_name.clone(),
            synced_folder: self.own.synced_folder.clone(),
            insert_key: self.own.insert_key,
            template: self.own.template.clone(),
        };
        steps.run(vagrantfile).await?;
        if self.own.skip_add {
            cx.ui.say("skip_add was set so we assume the box is already in Vagrant...");
            return Ok(());
        }
        let named = matches!(self.from, From::File(_)).then(|| self.box_name.clone());
        let arguments = add_arguments(&self.own, named, source);
        steps.run(AddBox { program: program.clone(), arguments }).await
    }

    async fn provision(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        program: &Program,
        machine: &str,
    ) -> anyhow::Result<BuildData> {
        let found = program.ssh_config(machine, &cx.cancel).await?;
        let login = FoundLogin { user: found.user, key_file: found.key_file, patience: PATIENCE };
        let connector = self.connector.with_login(login);
        let port = (!self.has_port).then_some(found.port);
        let (host, key, way, host_key) = (found.host, None, None, HostKey::FirstUse);
        let target = Target { host, port, key, host_key, way, boots: true };
        let mut data = BuildData::from([("ID".to_owned(), machine.into())]);
        provision(steps, &connector, target.clone(), data.clone()).await?;
        data.extend(connector.build_data(&target).await);
        Ok(data)
    }
}

/// What `vagrant box add` is told.
fn add_arguments(own: &Options, named: Option<String>, source: &str) -> Vec<String> {
    let mut arguments: Vec<String> = named.into_iter().chain([source.to_owned()]).collect();
    for (flag, value) in [
        ("--box-version", &own.box_version),
        ("--cacert", &own.add_cacert),
        ("--capath", &own.add_capath),
        ("--cert", &own.add_cert),
    ] {
        if !value.is_empty() {
            arguments.extend([flag.to_owned(), value.clone()]);
        }
    }
    let flags =
        [("--clean", own.add_clean), ("--force", own.add_force), ("--insecure", own.add_insecure)];
    arguments
        .extend(flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| (*flag).to_owned()));
    if !own.provider.is_empty() {
        arguments.extend(["--provider".to_owned(), own.provider.clone()]);
    }
    arguments
}

/// The new box.
struct Packed {
    provider: String,
    file: Option<PathBuf>,
    data: BuildData,
}

#[async_trait]
impl Artifact for Packed {
    fn builder_id(&self) -> &str {
        BUILDER_ID
    }

    fn id(&self) -> String {
        self.provider.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.file.clone().into_iter().collect()
    }

    fn describe(&self) -> String {
        match &self.file {
            Some(_) => format!("Vagrant box '{BOX}' for '{}' provider", self.provider),
            None => "No box was packed of the machine".to_owned(),
        }
    }

    fn build_data(&self) -> BuildData {
        self.data.clone()
    }

    /// The box stays: other machines of Vagrant's may have been made from it.
    async fn destroy(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_added_with_the_flags_of_the_template() {
        let own = Options {
            box_version: "1.0".into(),
            add_cacert: "ca".into(),
            add_capath: "dir".into(),
            add_cert: "cert".into(),
            add_clean: true,
            add_force: true,
            add_insecure: true,
            provider: "libvirt".into(),
            ..Options::default()
        };
        let added = add_arguments(&own, Some("packer_x".into()), "/x.box").join(" ");
        assert_eq!(
            added,
            "packer_x /x.box --box-version 1.0 --cacert ca --capath dir --cert cert --clean --force \
             --insecure --provider libvirt"
        );
        assert_eq!(add_arguments(&Options::default(), None, "debian/12"), ["debian/12"]);
    }
}
