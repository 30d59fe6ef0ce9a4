//! Programs of Packer's plugins: started, spoken with, fetched.

mod fake;
mod fetched;
mod machines;
mod measured;
mod sdk;
mod site;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::support::Program;

/// This machine as plugins call it.
fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}_{arch}", std::env::consts::OS)
}

/// The name of a plugin's file.
fn file_name(name: &str, version: &str) -> String {
    format!("packer-plugin-{name}_v{version}_x5.0_{}", platform())
}

/// A program whose plugin directory is `plugins` in its working directory.
fn with_plugins() -> Program {
    Program::new().with([("PACKER_PLUGIN_PATH", "plugins")])
}

/// Installs `content` as a plugin.
fn put(program: &Program, source: &str, version: &str, content: &[u8]) -> PathBuf {
    let name = source.rsplit('/').next().unwrap();
    let path = format!("plugins/{source}/{}", file_name(name, version));
    let file = program.write(&path, content);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    program.write(&format!("{path}_SHA256SUM"), hex::encode(Sha256::digest(content)));
    file
}

/// The same for a program that is there already.
fn link(program: &Program, source: &str, version: &str, from: &Path) -> PathBuf {
    put(program, source, version, &std::fs::read(from).unwrap())
}

/// A template that requires the plugin `name` of `source` and has `body`.
fn requiring(name: &str, source: &str, version: &str, body: &str) -> String {
    format!(
        "packer {{\n  required_plugins {{\n    {name} = {{\n      source  = \"{source}\"\n      version = \"{version}\"\n    }}\n  }}\n}}\n{body}"
    )
}
