//! What is wrong with the options, as far as it can be known before anything starts.

use std::path::PathBuf;

use super::options::{Build, Machine, Output, Source};
use crate::component::Check;
use crate::diagnostic::code;
use crate::docker::name::ImageName;
use crate::docker::run::Run;
use crate::docker::{Program, check_file, name};
use crate::env::Environment;

/// What the container is made of.
#[derive(Clone, Debug)]
pub(super) enum From {
    /// An image of this name.
    Image { name: String, pull: bool },
    /// One that is built first.
    Build(Build),
}

/// What becomes of the container.
#[derive(Clone, Debug)]
pub(super) enum Keep {
    Commit { author: String, message: String, changes: Vec<String> },
    Export(PathBuf),
    Nothing,
}

/// What the container is made of.
pub(super) fn source(source: Source, check: &mut Check<'_>) -> Option<From> {
    let Source { image, pull, platform: _, build } = source;
    let from = match (image.as_str(), build) {
        ("", None) => {
            check.missing("image", "name the image to start from, e.g. `debian:12`");
            return None;
        }
        (_, None) => match ImageName::parse(&image) {
            Ok(_) => From::Image { name: image, pull: pull.unwrap_or(true) },
            Err(cause) => {
                check.error("image", cause);
                return None;
            }
        },
        ("", Some(build)) => From::Build(build),
        (_, Some(_)) => {
            check.error("image", "`build` excludes it: the image is built, or it is there");
            return None;
        }
    };
    if let From::Build(build) = &from {
        if pull.is_some() {
            let text = "`pull` is about `image`: write it into the block `build`";
            check.warn(code::OPTION_VALUE, "pull", text);
        }
        if build.path.as_os_str().is_empty() {
            check.missing("build.path", "name the Dockerfile");
        } else if check.may_read("build.path", &build.path)
            && let Err(error) = std::fs::metadata(&build.path)
        {
            check.error("build.path", format!("cannot read {}: {error}", build.path.display()));
        }
        if check.may_read("build.build_dir", &build.build_dir) && !build.build_dir.is_dir() {
            let cause = format!("{} is no directory", build.build_dir.display());
            check.error("build.build_dir", cause);
        }
    }
    Some(from)
}

/// How the container runs; what `docker_path` stands for.
pub(super) fn machine(machine: &Machine, check: &mut Check<'_>) -> Option<Program> {
    if machine.windows_container {
        check.error("windows_container", "containers of Windows are not built");
    }
    if machine.container_dir.as_ref().is_some_and(|dir| !dir.starts_with('/')) {
        check.error("container_dir", "this is no absolute path such as `/packer-files`");
    }
    run_command(machine, check);
    Program::check(&machine.docker_path, check)
}

/// A name stands for the image, which may be known only when it runs.
fn run_command(machine: &Machine, check: &mut Check<'_>) {
    let words = machine.run_command.iter().map(|word| word.raw().replace(' ', ""));
    let words: Vec<_> = words.map(|word| word.replace("{{.Image}}", "image")).collect();
    let unsealed: &Environment = &check.facts.scope.environment;
    if let Err(bad) = Run::parse(&words, unsealed) {
        let option = match check.is_given("run_command") {
            true => format!("run_command.{}", bad.at),
            false => "run_command".to_owned(),
        };
        check.error(&option, bad.cause);
    }
}

/// What becomes of the container.
pub(super) fn output(output: Output, check: &mut Check<'_>) -> Option<Keep> {
    let Output { commit, export_path, discard, author, message, changes } = output;
    let export = export_path.filter(|path| !path.as_os_str().is_empty());
    let given = [("commit", commit), ("export_path", export.is_some()), ("discard", discard)];
    let given: Vec<_> = given.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    match given.as_slice() {
        [] => {
            let help = "say what becomes of the container: `commit = true` makes an image of it, \
                        `export_path` a file, `discard = true` nothing";
            check.missing("commit", help);
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            check.error(second, format!("`{first}` excludes it: one thing becomes of a container"));
            return None;
        }
    }
    if !commit {
        let only_commit = [
            ("author", !author.is_empty()),
            ("message", !message.is_empty()),
            ("changes", !changes.is_empty()),
        ];
        for (option, _) in only_commit.iter().filter(|(_, is_given)| *is_given) {
            let text = format!("`{option}` changes nothing without `commit = true`");
            check.warn(code::OPTION_VALUE, option, text);
        }
    }
    if let Some(path) = &export {
        check_file("export_path", path, check);
    }
    Some(match export {
        Some(path) => Keep::Export(path),
        None if commit => Keep::Commit { author, message, changes },
        None => Keep::Nothing,
    })
}

/// Whether `name` may stand in a call.
pub(super) fn rendered_image(image: &str) -> anyhow::Result<()> {
    name::check(image).map_err(anyhow::Error::msg)
}
