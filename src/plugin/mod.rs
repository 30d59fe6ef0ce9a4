//! Packer's plugin programs, unmodified: each of their components is one of ours.
//!
//! ```text
//! binary in a plugin directory ──▶ Installed ──▶ descriptors ──▶ registry
//!      (discovery)                 (describe)     (schema)
//! a component's options ──▶ process ──▶ Prepare ──▶ Run ◀─▶ our provisioners, Ui, communicator
//! ```
//!
//! | file | what is there |
//! |---|---|
//! | `process` | a plugin process: started, greeted, watched, ended |
//! | `runtime` | the threads that speak with plugins |
//! | `mux` | the one connection to a process, shared by many channels |
//! | `rpc`, `pack` | calls over a channel, in both directions |
//! | `spec`, `protobuf`, `gob`, `gob_cty` | the options of a component, as the plugin tells them |
//! | `installed`, `version`, `cache` | which plugins are installed, and what is remembered of them |
//! | `install` | plugins are fetched from their sites, checked, and put in place |
//! | `options`, `prepare` | a template's block → what the plugin is told, and says to it |
//! | `programs` | what is installed, and the components that a session uses |
//! | `descriptor` | components, as the registry knows them |
//! | `lock` | `imgbake.lock.hcl`: which plugins a template uses, with their sums |
//! | `remote` | one component of a plugin, and the processes that serve it |
//! | `builder`, `provisioner`, `post_processor`, `data_source` | the four kinds, each as one of ours |
//! | `artifact`, `machine`, `login`, `communicator_server`, `voice` | what is passed to and fro while they work |
//! | `work` | a component does what it is for, calls us meanwhile, and can be told to stop |
//!
//! A plugin is a peer: what it says has a size, a time limit and checked names, and its texts are as
//! hostile as a guest's.

mod artifact;
mod builder;
mod cache;
mod communicator_server;
mod data_source;
mod descriptor;
mod gob;
mod gob_cty;
pub mod install;
pub mod installed;
pub mod lock;
mod login;
mod machine;
pub mod mux;
mod options;
pub mod pack;
mod post_processor;
mod prepare;
mod process;
mod programs;
mod protobuf;
mod provisioner;
mod remote;
pub mod rpc;
mod runtime;
mod spec;
pub mod version;
mod voice;
mod work;

pub use self::process::end_all;
pub use self::programs::{Choice, Plugin, Programs, Sought};

#[cfg(test)]
mod tests;
