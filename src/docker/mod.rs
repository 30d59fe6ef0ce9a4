//! Container engines, through the interface that Docker's engine has and Podman's understands.
//!
//! | file | what is there |
//! |---|---|
//! | `endpoint` | where an engine listens |
//! | `engine` | the connection to it, and the errors of its calls |
//! | `over_ssh` | an engine on another machine: `DOCKER_HOST=ssh://…` |
//! | `podman` | an engine that lives as long as we need it: `docker_path = "podman"` |
//! | `container`, `exec` | containers, and commands in them |
//! | `archive` | files of containers |
//! | `image` | images: pulled, made, named, removed |
//! | `label` | what images say of what they were made from |
//! | `build` | images of Dockerfiles |
//! | `buildkit` | who builds them |
//! | `directory`, `build_log` | what is sent for that, and what the engine tells of it |
//! | `stream` | what an engine sends, kept in a file |
//! | `run` | what the arguments of `docker run` mean |
//! | `name` | names of images |
//! | `login` | the options by which a template logs in to a registry |
//! | `credentials` | who logs in, by the template or Docker's own configuration |
//! | `registry` | logging in to registries |
//! | `artifact` | an image, as builds and post-processors leave it |
//! | `made` | what builds make, as the journal says it |
//! | `cleanup` | after runs that died |

mod archive;
pub mod artifact;
mod build;
mod build_log;
mod buildkit;
pub mod cleanup;
mod container;
mod credentials;
mod directory;
mod endpoint;
mod engine;
mod exec;
mod image;
pub mod label;
pub mod login;
pub mod made;
pub mod name;
mod over_ssh;
mod podman;
pub mod registry;
pub mod run;
mod stream;

pub use archive::PathKind;
pub use build::{Recipe, registries_of};
pub use container::NewContainer;
pub use credentials::Credentials;
pub use engine::{Engine, EngineError, Program};
pub use exec::Exec;
pub use image::{Commit, Import};
pub use stream::{check_file, write_file};
