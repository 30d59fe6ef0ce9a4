//! One binary: linking the EC2 client is slow. A module per capability.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test reads what it has written")]
#![allow(
    clippy::print_stdout,
    reason = "what a test measured is for whoever asks with --nocapture"
)]
#![cfg_attr(
    not(feature = "aws"),
    allow(dead_code, unused_imports, reason = "what only the tests of AWS need")
)]

mod support;

mod action;
#[cfg(feature = "aws")]
mod amazon_data_sources;
#[cfg(feature = "aws")]
mod amazon_ebs;
mod ansible;
mod architecture;
mod attestations;
mod boot_test;
mod bounds;
mod boxes;
mod build;
#[cfg(feature = "aws")]
mod channels;
mod completion;
mod configuration;
mod console;
mod data_sources;
mod debian_installer;
mod diagnostics;
#[cfg(feature = "docker")]
mod docker;
mod downloads;
mod dynamic_blocks;
mod explain;
mod expressions;
mod faults;
mod fix;
mod fmt;
mod formats;
mod fuzz;
mod hcl2_upgrade;
mod hcp_registry;
mod history;
#[cfg(feature = "aws")]
mod iam_policy;
mod init;
mod inspect;
mod installers;
mod interruptions;
mod kept_machines;
mod language;
mod lint;
mod machines;
mod old_journals;
mod output;
mod patterns;
mod plugins;
mod provisioners;
mod quickstart;
mod registry;
mod report;
mod sbom;
mod sboms;
mod ssh;
#[cfg(feature = "aws")]
mod ssm;
mod templates;
mod tutorial;
mod typing;
mod unchanged;
mod vagrant;
mod wine;
mod winrm;

#[test]
fn the_real_servers_start() {
    let sshd = support::Sshd::start();
    let moto = support::Moto::start();
    assert_ne!(sshd.port, moto.port);
}
