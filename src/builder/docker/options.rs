//! The options of `docker`, by what they are about.

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::config::{Late, late_fields};

late_fields! {
    /// The field of `run_command`.
    pub RunFields = ["Image"];
}

/// What the container is made of.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Source {
    /// The image to start from, e.g. `debian:12`. Either it or a block `build`.
    pub image: String,
    /// Whether `image` is fetched from its registry although it may be here: `true` unless said
    /// otherwise. Not for `build`, which has its own.
    pub pull: Option<bool>,
    /// The `os/architecture` to fetch, build and run, e.g. `linux/arm64`; the engine's own if not
    /// given.
    pub platform: String,
    /// A Dockerfile to build the image from.
    pub build: Option<Build>,
}

/// A Dockerfile to build the image from: by BuildKit, where the engine takes it by itself (Docker 23 and
/// later, unless `DOCKER_BUILDKIT=0`) or is told to (`DOCKER_BUILDKIT=1`), else by the builder of old.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Build {
    /// The Dockerfile. Required.
    #[default(PathBuf::new())]
    pub path: PathBuf,
    /// The directory that its instructions copy from; what its `.dockerignore` says is left out.
    #[default(".".into())]
    pub build_dir: PathBuf,
    /// Values of its `ARG`s.
    pub arguments: IndexMap<String, String>,
    /// Whether the images that it begins with are fetched anew.
    #[default(true)]
    pub pull: bool,
    /// Whether the directory is sent to the engine compressed.
    pub compress: bool,
}

/// What `docker run` is given, unless the template says otherwise.
const RUN: [&str; 6] = ["-d", "-i", "-t", "--entrypoint=/bin/sh", "--", "{{.Image}}"];

/// How the container runs.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Machine {
    /// The arguments of `docker run`, of which `{{ .Image }}` is one: flags, the image, a command that
    /// runs until the build ends. The container is made through the engine's interface, so no program
    /// is run; a flag that is not known is an error.
    #[default(RUN.map(Late::new).to_vec())]
    pub run_command: Vec<Late<RunFields>>,
    /// A directory of the container whose files do not get into the image: a volume that goes with the
    /// container. There is none if it is not given.
    pub container_dir: Option<String>,
    /// Devices of this host for the container: `/dev/fuse`, `/dev/sda:/dev/xvda:rwm`.
    pub device: Vec<String>,
    /// Capabilities that the container gets beside the usual ones, e.g. `SYS_ADMIN`.
    pub cap_add: Vec<String>,
    /// Capabilities that are taken away from it.
    pub cap_drop: Vec<String>,
    /// Directories of it that are kept in memory: `/run`, `/tmp:size=64m`.
    pub tmpfs: Vec<String>,
    /// Directories of this host that it sees: from the path here to the path there. `~/` is the home
    /// directory; `:ro` after the path there lets it only read.
    pub volumes: IndexMap<String, String>,
    /// Whether it may do all that this host may.
    pub privileged: bool,
    /// What runs it, e.g. `runsc`; the engine's own choice if not given.
    pub runtime: String,
    /// The program whose engine is used. Docker's own is not needed: its engine is spoken with.
    /// `podman` is asked to be an engine for as long as the build runs. Another program is an error.
    #[default("docker".to_owned())]
    pub docker_path: String,
    /// Who runs the commands of provisioners, as a name or a number; the container's own user if not
    /// given.
    pub exec_user: Option<String>,
    /// Whether the commands of provisioners get a terminal.
    pub pty: bool,
    /// Whether what is uploaded belongs to the container's own user; else to root.
    #[default(true)]
    pub fix_upload_owner: bool,
    /// Whether it is a container of Windows, which is not built.
    pub windows_container: bool,
}

/// What becomes of the container. One of `commit`, `export_path` and `discard` is required.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Output {
    /// Whether an image is made of the container, which `docker-tag` and others go on with.
    pub commit: bool,
    /// A file for all that is in the container, as a tar archive without its configuration.
    pub export_path: Option<PathBuf>,
    /// Whether nothing is kept.
    pub discard: bool,
    /// Who has made the image.
    pub author: String,
    /// What was changed.
    pub message: String,
    /// Lines of a Dockerfile for the image: `CMD ["nginx"]`, `ENV A=1`. `CMD` and `ENTRYPOINT` are
    /// those of the image that the container was made of, unless they are given here.
    pub changes: Vec<String>,
}
