//! The GitHub Action, run as GitHub's runner runs it.

mod cancel;
mod commands;
mod comment;
mod credentials;
mod gate;
mod github;
mod log;
mod outputs;
mod runner;
