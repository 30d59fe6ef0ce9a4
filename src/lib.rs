//! imgbake bakes machine images from Packer templates.
//!
//! This file is the map. A template goes one way through the rooms, and each arrow is one pass. It
//! makes a value that later passes only read (a `Plan` still gets its fingerprints):
//!
//! ```text
//! template text ──▶ Template ──▶ values ──▶ Plan ──▶ Outcome ──▶ report
//!    (template/)                 (eval/)    (plan/)   (run/)     (report/)
//! ```
//!
//! The rooms stand in wings, one below the other. A room imports only rooms below it in this table;
//! `tests/integration/architecture.rs` holds the `use crate::` lines against it. Inside a room, files import
//! each other in no circle but those that the same test names, each with its reason.
//!
//! | room | what happens there |
//! |---|---|
//! | **front** | **who asks, and who is told** |
//! | `init` | the first process of a container: signals and orphans |
//! | `action` | the GitHub Action: inputs → the same commands → outputs |
//! | `cli` | the commands: arguments in, exit code out |
//! | `report` | events → people and machines: terminal, machine-readable, the page of a run; diagnostics drawn |
//! | `explain` | what a code, a component, an option or a function is |
//! | `lint` | what a template may do, but its author rarely wants |
//! | **engine** | **what happens, in which order** |
//! | `run` | Plan → Outcome: parallel builds, provisioning, post-processing, signals |
//! | `plan` | values → Plan: sources meet builds, components are checked, `-only`/`-except` |
//! | `channel` | where users find an image: AMIs published, promoted, rolled back, retired; behind the feature `aws` |
//! | `registry` | has every component of a session; which plugins are built in |
//! | **components** | **what users name in templates** |
//! | `builder` | `amazon-chroot`, `amazon-ebs`, `amazon-ebssurrogate`, `amazon-ebsvolume`, `amazon-instance`, `qemu`, `docker`, `vagrant`, `null`, `file`: a machine started, provisioned, imaged; the post-processor `amazon-import` is here, too: it shares the AWS code of the builders |
//! | `boot_test` | `boot-test`: what must hold of a machine that is started from the image |
//! | `provisioner` | `shell`, `file`, `powershell`, `ansible`, `puppet-masterless`, `chef-solo`, … |
//! | `post_processor` | `manifest`, `checksum`, `compress`, `artifice`, `shell-local`, `docker-tag`, `docker-push`, `vagrant`, `vagrant-cloud`, `provenance`, … |
//! | `data_source` | `amazon-ami`, `amazon-secretsmanager`, `amazon-parameterstore`, `http`, `null`: values looked up for a template |
//! | `plugin` | Packer's plugin programs: found, started, spoken with; each component of them is one of ours |
//! | `communicator` | how to connect to a machine, a connector each: `ssh`, `winrm`, `none`; `docker` is its builder's |
//! | **platforms** | **clients of the outside, and the template options that are about them; they know no builder** |
//! | `attestation` | statements of how an artifact was made: signed, and verified |
//! | `docker` | container engines and registries, through Docker's interface; behind the feature `docker` |
//! | `vm` | machines on this host: QEMU's disks, process, QMP, ports; images and CDs for them, downloaded and checked; what is typed at a machine, and what its screen shows; programs that run as long as a machine does |
//! | `aws` | an AWS account: credentials, clients, waiters; `aws/resource` has each kind of thing that a build makes; behind the feature `aws` |
//! | `github` | GitHub, as a step of a workflow meets it: the run, its artifacts, comments, releases |
//! | **contract** | **what a component is, what it gets and what it leaves** |
//! | `script` | what all shells share: variables, statuses; scripts on this machine, and what programs there complain of |
//! | `step` | do + undo |
//! | `sbom` | what is inside a machine: its packages, what has changed; documents of it, ours and others' |
//! | `component` | the traits: Builder, Provisioner, PostProcessor, DataSource, Communicator, Artifact, Cleaner; and the context that each is given |
//! | `fingerprint` | what a build is made from, part by part and as one number |
//! | `permission` | what an AWS account must allow, as an IAM policy |
//! | `journal` | what exists because of us, on disk before the call that makes it |
//! | `guest` | what machines print and send, made harmless; the language of their shell |
//! | **language** | **text → values; it imports no platform and no component** |
//! | `eval` | expressions → values: types, functions, locals in order |
//! | `template` | text → tree, for both languages; `fix`, `fmt`, `hcl2_upgrade` rewrite texts |
//! | `config` | evaluated bodies → typed options, declared once |
//! | `interpolate` | the `{{ … }}` language |
//! | **ground** | **what all others stand on** |
//! | `web` | HTTP requests to servers of others: their limits, and what went wrong in plain words |
//! | `event` | what a run says |
//! | `stop` | how a run is told to stop: why, and how long it may clean up then |
//! | `retry` | trying again; waits that end on cancel |
//! | `scratch` | directories that only we may look into, which go with their run, or with the next one |
//! | `whole_file` | files that appear when they are whole; a killed process leaves nothing of them |
//! | `env` | the environment and the clock enter here |
//! | `identity` | which AWS role a run takes on, and what proves that it may |
//! | `secret` | a type that cannot be printed, and the redactor |
//! | `reach` | which files a template may have read |
//! | `peer` | names, sizes and times of what others send; only regular files are opened |
//! | `diagnostic` | what is wrong with an input |
//! | `fault` | whose fault an error is, and whether trying again can help |
//! | `source` | texts and places in them |
//! | `budget` | how much a template may ask of the machine that reads it |
//!
//! Words:
//!
//! | word | what it is |
//! |---|---|
//! | component | what a template names: a builder, a provisioner, a post-processor, a data source, a connector |
//! | type | which component: `amazon-ebs`; the field `kind` of blocks, and of what is planned |
//! | role | what a component that a block names acts as: builder, provisioner, post-processor, data source; a `Kind` of the registry is all that act as one, connectors too |
//! | connector | one way to talk to machines, with its options (`SshOptions`); templates say `communicator` |
//! | communicator | the connection that a connector has opened (`trait Communicator`) |
//! | way | a connection that a builder provides, where no address leads to its machine |
//! | host | the computer that imgbake runs on: "this host", "this machine"; a machine or a guest is the other one |
//! | artifact | what a builder or a post-processor leaves: an AMI, a disk, a file |
//! | thing | a line of the journal: something that exists because of us |
//! | resource | a thing in AWS, as its line describes it |
//! | product | a thing that a build is for: it stays if the build ends well |
//! | facts | what is known of a build before it runs; `build.*` is what its machine says then |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read what they have written"))]

pub mod action;
pub mod attestation;
#[cfg(feature = "aws")]
pub mod aws;
pub mod boot_test;
pub mod budget;
pub mod builder;
#[cfg(feature = "aws")]
pub mod channel;
pub mod cli;
pub mod communicator;
pub mod component;
pub mod config;
pub mod data_source;
pub mod diagnostic;
#[cfg(feature = "docker")]
pub mod docker;
pub mod env;
pub mod eval;
pub mod event;
pub mod explain;
pub mod fault;
pub mod fingerprint;
pub mod github;
pub mod guest;
pub mod identity;
pub mod init;
pub mod interpolate;
pub mod journal;
pub mod lint;
pub mod peer;
pub mod permission;
pub mod plan;
pub mod plugin;
pub mod post_processor;
pub mod provisioner;
pub mod reach;
pub mod registry;
pub mod report;
pub mod retry;
pub mod run;
pub mod sbom;
pub mod scratch;
pub mod script;
pub mod secret;
pub mod source;
pub mod step;
pub mod stop;
pub mod template;
pub mod vm;
pub mod web;
pub mod whole_file;
