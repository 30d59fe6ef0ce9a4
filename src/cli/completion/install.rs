//! `-autocomplete-install`, `-autocomplete-uninstall`: the line in a shell's own files that has it
//! complete.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::{Exit, Session};
use crate::event::Ui;
use crate::peer;

/// What a shell reads when it starts is short.
const LARGEST: u64 = 16 << 20;

/// What to do with the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Write it, where it is missing.
    Install,
    /// Take it out again.
    Uninstall,
}

/// By the end of the line, it is found again.
const LINES: [(&str, &str); 3] = [
    (".bashrc", "source <(imgbake completion bash) # imgbake -autocomplete-install\n"),
    (".zshrc", "source <(imgbake completion zsh) # imgbake -autocomplete-install\n"),
    (FISH, "imgbake completion fish | source # imgbake -autocomplete-install\n"),
];

/// A file of our own; it makes sense where fish was used before.
const FISH: &str = ".config/fish/completions/imgbake.fish";

pub(in crate::cli) fn run(session: &Session, ui: &Ui, task: Task) -> Exit {
    let Some(home) = session.environment.home() else {
        ui.error("Error: HOME is not set, so the files of the shells cannot be found");
        return Exit::Failure;
    };
    let mut exit = Exit::Success;
    let mut done = false;
    for (name, line) in LINES {
        let path = home.join(name);
        if name == FISH && !home.join(".config/fish").is_dir() || name != FISH && !path.exists() {
            continue;
        }
        done = true;
        match apply(task, &path, line) {
            Ok(true) => ui.say(format!("{}: {}", path.display(), word(task))),
            Ok(false) => ui.say(format!("{}: nothing to do", path.display())),
            Err(error) => {
                ui.error(format!("Error: `{}` cannot be changed: {error}", path.display()));
                exit = Exit::Failure;
            }
        }
    }
    if !done {
        ui.error(format!(
            "Error: there is no .bashrc, .zshrc or .config/fish in `{}`; `imgbake completion SHELL` \
             prints what a shell needs",
            home.display()
        ));
        exit = Exit::Failure;
    }
    exit
}

fn word(task: Task) -> &'static str {
    match task {
        Task::Install => "completion installed; it works in new shells",
        Task::Uninstall => "completion removed",
    }
}

/// Whether the file had to be changed.
fn apply(task: Task, path: &Path, line: &str) -> io::Result<bool> {
    let text = match peer::read_regular_text(path, LARGEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    match (task, text.contains(line)) {
        (Task::Install, false) => append(path, &text, line)?,
        (Task::Uninstall, true) if text == line => fs::remove_file(path)?,
        (Task::Uninstall, true) => fs::write(path, text.replace(line, ""))?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn append(path: &Path, text: &str, line: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().map_or_else(PathBuf::new, Path::to_owned))?;
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{gap}{line}").as_bytes())
}
