//! The EC2 account: credentials, clients, and how its API wants to be talked to.
//!
//! | file | what is there |
//! |---|---|
//! | `access` | the options that every Amazon component has |
//! | `account` | one account, seen from one region, shared by the builds of a run |
//! | `clients` | the clients of its APIs |
//! | `cleanup` | after runs that died |
//! | `call` | the one place where calls are made, and made again |
//! | `pace` | how fast calls come |
//! | `keys`, `credentials`, `expired` | who signs the calls, and until when |
//! | `web_identity` | a role for tokens of an identity provider |
//! | `insecure` | connections that trust any certificate |
//! | `address` | this machine's address, as instances see it |
//! | `ecr` | logging in to container registries |
//! | `kms` | keys that sign |
//! | `json` | services without a client of their own |
//! | `error` | what a call's failure says, and means |
//! | `wait` | waiting for a state, without polling blindly |
//! | `image`, `instance` | AMIs with their snapshots, instances with their volumes |
//! | `attachment` | volumes come to instances and go |
//! | `image_usage` | who uses an AMI, and who any of many |
//! | `parameter` | parameters of Systems Manager that name an AMI |
//! | `metadata` | the instance that we run on |
//! | `profile` | what instances may do in the account, for a while |
//! | `reap` | what is left anywhere in an account |
//! | `resource/` | what builds make, one file per kind: as the journal says it, found, removed |
//! | `proof` | whether something is ours |
//! | `removal` | what a journal's line is about is found and removed |
//! | `place` | where something is |
//! | `build_tags` | the tags of what a build makes |
//! | `allow` | what the account must allow |
//! | `tags` | tags, as templates write them |
//! | `name` | names of temporary things |
//! | `search` | looking for an AMI as templates describe it |
//! | `secrets`, `secret_store` | Secrets Manager, for data sources and for template functions |
//! | `upload` | files on their way to S3 |
//! | `ssm/` | connections to instances through Systems Manager |

pub mod access;
pub mod account;
pub mod address;
pub mod allow;
pub mod attachment;
pub mod build_tags;
pub mod call;
pub mod cleanup;
pub mod clients;
mod credentials;
#[cfg(feature = "docker")]
pub mod ecr;
pub mod error;
mod expired;
pub mod image;
pub mod image_usage;
mod insecure;
pub mod instance;
mod json;
mod keys;
pub mod kms;
pub mod metadata;
pub mod name;
mod pace;
pub mod parameter;
pub mod place;
pub mod profile;
pub mod proof;
mod reap;
pub mod removal;
pub mod resource;
pub mod search;
pub mod secret_store;
pub mod secrets;
pub mod ssm;
pub mod tags;
pub mod upload;
pub mod wait;
mod web_identity;
