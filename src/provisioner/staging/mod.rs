//! What configuration tools share that run on the machine: files are put into a directory there,
//! one command uses them, and what must not stay is taken away.
//!
//! A tool says what goes where (`Staging::file`, …) and does its work inside `Staging::during`: there
//! `Staging::fill` puts the files in place, and `Staging::run` runs the command.

mod os;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;

use anyhow::{Context as _, bail};

pub use self::os::GuestOptions;
pub(super) use self::os::Os;
use crate::component::{Command, Exit, ProvisionContext, Upload};
use crate::guest::shell::{Posix, Shell as _};
use crate::provisioner::elevated::Elevation;
use crate::provisioner::environment;
use crate::provisioner::remote::Remote;
use crate::retry::or_cancelled;

/// A directory of the machine that is ours for a while.
pub(super) struct Staging<'a> {
    cx: &'a ProvisionContext,
    remote: Remote<'a>,
    /// The machine's kind of system.
    pub(super) os: Os,
    /// Whether what the user may not do is done with `sudo`.
    pub(super) sudo: bool,
    directory: String,
    things: Vec<Thing>,
    /// Files that the tool itself leaves there, and that nobody may find later.
    left: Vec<String>,
}

/// What goes to one place in it.
struct Thing {
    /// How messages call it.
    what: &'static str,
    from: Source,
    to: String,
    /// Whether it is taken away whatever becomes of the rest.
    is_secret: bool,
}

enum Source {
    Directory(String),
    File(String),
    Text(String),
}

impl<'a> Staging<'a> {
    /// Nothing yet, for `directory` of a machine with this kind of system.
    pub(super) fn new(cx: &'a ProvisionContext, os: Os, sudo: bool, directory: &str) -> Self {
        let trimmed = directory.trim_end_matches(['/', '\\']);
        let directory = if trimmed.is_empty() { directory } else { trimmed };
        Self {
            cx,
            remote: Remote::new(cx),
            os,
            sudo: sudo && os == Os::Unix,
            directory: directory.to_owned(),
            things: Vec::new(),
            left: Vec::new(),
        }
    }

    /// The directory.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// What stands before a command that may need other rights.
    pub(super) fn sudo_word(&self) -> &'static str {
        if self.sudo { "sudo " } else { "" }
    }

    /// Where `name` is on the machine.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// The machine, for what else is to be done there.
    pub(super) fn remote(&self) -> &Remote<'a> {
        &self.remote
    }

    /// The contents of the local directory `from` go to the directory `name`: its path there.
    pub(super) fn folder(&mut self, what: &'static str, from: &str, name: &str) -> String {
        self.add(what, Source::Directory(from.to_owned()), name, false)
    }

    /// The same for what nobody may find later.
    pub(super) fn secret_folder(&mut self, what: &'static str, from: &str, name: &str) -> String {
        self.add(what, Source::Directory(from.to_owned()), name, true)
    }

    /// The local file `from` goes to the file `name`: its path there.
    pub(super) fn file(&mut self, what: &'static str, from: &str, name: &str) -> String {
        self.add(what, Source::File(from.to_owned()), name, false)
    }

    /// The same for one that nobody may find later.
    pub(super) fn secret_file(&mut self, what: &'static str, from: &str, name: &str) -> String {
        self.add(what, Source::File(from.to_owned()), name, true)
    }

    /// `text` goes to the file `name`, which nobody may find later if it holds a secret, however it is
    /// written there: its path there.
    pub(super) fn text(&mut self, what: &'static str, text: String, name: &str) -> String {
        let is_secret = !self.cx.redactor.find(&text).is_empty();
        self.add(what, Source::Text(text), name, is_secret)
    }

    /// The tool makes a file `path` that nobody may find later.
    pub(super) fn secret_is_made(&mut self, path: &str) {
        self.left.push(path.to_owned());
    }

    fn add(&mut self, what: &'static str, from: Source, name: &str, is_secret: bool) -> String {
        let to = self.path(name);
        self.things.push(Thing { what, from, to: to.clone(), is_secret });
        to
    }

    /// Makes the directories and uploads everything.
    pub(super) async fn fill(&self) -> anyhow::Result<()> {
        let mut directories = vec![self.directory.as_str()];
        for thing in &self.things {
            directories.extend(match thing.from {
                Source::Directory(_) => Some(thing.to.as_str()),
                Source::File(_) | Source::Text(_) => thing.to.rsplit_once('/').map(|(dir, _)| dir),
            });
        }
        directories.sort_unstable();
        directories.dedup();
        self.make_directories(&directories).await?;
        for thing in &self.things {
            let (what, to) = (thing.what, &thing.to);
            self.put(thing).await.with_context(|| format!("cannot upload the {what} to {to}"))?;
        }
        Ok(())
    }

    /// Makes directories that the user may write to: where only `root` may make them, `root` does.
    pub(super) async fn make_directories(&self, directories: &[&str]) -> anyhow::Result<()> {
        self.cx.ui.say(format!("Creating directory: {}", directories.join(", ")));
        let mut command = self.remote.shell().make_directories(directories);
        if self.sudo {
            let writable = directories.iter().map(|path| format!("test -w {}", Posix.path(path)));
            let writable = writable.collect::<Vec<_>>().join(" && ");
            let paths = Posix.paths(directories);
            command = format!(
                "{{ {command} 2>/dev/null && {writable}; }} || \
                 {{ sudo {command} && sudo chown \"$(id -u)\" {paths}; }}"
            );
        }
        self.remote.must_succeed("make the staging directory", &command).await
    }

    async fn put(&self, thing: &Thing) -> anyhow::Result<()> {
        let communicator = &self.cx.communicator;
        let (to, ui) = (thing.to.as_str(), &self.cx.ui);
        match &thing.from {
            Source::Directory(from) => {
                ui.say(format!("Uploading {} from: {from}", thing.what));
                // With the slash: the contents, into the directory that is there.
                let from = format!("{}/", from.trim_end_matches('/'));
                communicator.upload_dir(&from, to, ui).await
            }
            Source::File(from) => {
                ui.say(format!("Uploading {} from: {from}", thing.what));
                communicator.upload(Upload::File(Path::new(from)), to, ui).await
            }
            Source::Text(text) => {
                let mode = if thing.is_secret { 0o600 } else { 0o644 };
                let from = Upload::Text { content: text.as_bytes(), mode };
                communicator.upload(from, to, ui).await
            }
        }
    }

    /// Moves what is at `from` to `to`, in place of what is there.
    pub(super) async fn replace(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let shell = self.remote.shell();
        let parent = to.rsplit_once('/').map_or(to, |(parent, _)| parent);
        let steps = [
            shell.make_directories(&[parent]),
            shell.remove_directory(to),
            shell.move_to(from, to),
        ];
        for step in steps {
            let step = format!("{}{step}", self.sudo_word());
            self.remote.must_succeed(&format!("move {from} to {to}"), &step).await?;
        }
        Ok(())
    }

    /// Runs `command` with these variables. It goes there in a file that only the user may read: all
    /// users of a machine see the command lines of its processes.
    pub(super) async fn run(
        &self,
        command: Command<'_>,
        variables: &BTreeMap<String, String>,
        elevation: &Elevation,
    ) -> anyhow::Result<Exit> {
        if self.os == Os::Unix && elevation.is_wanted() {
            bail!(
                "`elevated_user` is for machines with Windows: leave it out, or see `guest_os_type`"
            );
        }
        let path = self.command_file();
        let (text, line) = match self.os {
            Os::Unix => environment::posix(&path, command.text(), variables),
            Os::Windows => environment::windows(&path, command.text(), variables),
        };
        let from = Upload::Text { content: text.as_bytes(), mode: 0o600 };
        self.remote.upload("upload the command", from, &path).await?;
        let line = match command {
            Command::Ours(_) => Command::Ours(&line),
            Command::Template(_) => Command::Template(&line),
        };
        elevation.run(self.cx, &self.remote, line).await
    }

    /// Where the command is.
    fn command_file(&self) -> String {
        self.path(self.os.choose("command.sh", "command.ps1"))
    }

    /// Does `work`, and takes away what must not stay, or `all`, whatever becomes of it.
    pub(super) async fn during(
        &self,
        all: bool,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let done = or_cancelled(&self.cx.cancel, work).await.map_err(Into::into).flatten();
        let removal = self.removal(all);
        if done.is_err() {
            self.remote.clean_up_once(&removal).await;
            return done;
        }
        if all {
            self.cx.ui.say(format!("Removing directory: {}", self.directory));
        }
        self.remote.must_succeed("remove what was uploaded", &removal).await
    }

    fn removal(&self, all: bool) -> String {
        let shell = self.remote.shell();
        if all {
            return self.with_rights(shell.remove_directory(&self.directory));
        }
        let command_file = self.command_file();
        let secret = self.things.iter().filter(|thing| thing.is_secret);
        let (folders, files): (Vec<_>, Vec<_>) =
            secret.partition(|thing| matches!(thing.from, Source::Directory(_)));
        let files = files.iter().map(|thing| &thing.to).chain([&command_file]).chain(&self.left);
        let files: Vec<_> = files.map(String::as_str).collect();
        let folders = folders.iter().map(|thing| shell.remove_directory(&thing.to));
        let all: Vec<_> = folders.chain([shell.remove_files(&files)]).collect();
        shell.one_by_one(&all)
    }

    /// `removal`, by `root` where the user may not.
    fn with_rights(&self, removal: String) -> String {
        if self.sudo { format!("{removal} 2>/dev/null || sudo {removal}") } else { removal }
    }
}

/// An error unless `tool`, whose command is `program`, ran and ended with a status that is `allowed`.
pub(super) fn must_end_well(
    tool: &str,
    program: &str,
    exit: Exit,
    allowed: &[u32],
) -> anyhow::Result<()> {
    match exit {
        Exit::Status(status) if allowed.contains(&status) => Ok(()),
        // What `sh` and `cmd` say of a command that is not there.
        Exit::Status(status @ (127 | 9009)) => bail!(
            "the machine has no `{program}`: have an earlier provisioner install it (exit status \
             {status})"
        ),
        Exit::Status(status) => bail!("{tool} exited with a non-zero exit status: {status}"),
        Exit::Disconnected => bail!("the connection was lost while {tool} ran"),
    }
}
