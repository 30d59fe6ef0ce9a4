//! The EC2 account: credentials, clients, and how its API wants to be talked to.
//!
//! | file | what is there |
//! |---|---|
//! | `access` | the options that every Amazon component has |
//! | `account` | clients for one account and region, shared by the builds of a run |
//! | `cleanup` | after runs that died |
//! | `call` | the one place where calls are made, and made again |
//! | `pace` | how fast calls come |
//! | `keys`, `credentials` | who signs the calls |
//! | `web_identity` | a role for tokens of an identity provider |
//! | `insecure` | connections that trust any certificate |
//! | `address` | this machine's address, as instances see it |
//! | `error` | what a call's failure says, and means |
//! | `wait` | waiting for a state, without polling blindly |
//! | `image`, `instance` | AMIs with their snapshots, instances with their volumes |
//! | `old_image` | AMIs that give way to new ones |
//! | `profile` | what instances may do in the account, for a while |
//! | `reap` | what is left anywhere in an account |
//! | `made`, `find`, `proof`, `removal` | what we make, as the journal says it; found again, told from what only looks like it, and removed |
//! | `allow` | what the account must allow |
//! | `tags` | tags, as templates write them |
//! | `name` | names of temporary things |
//! | `search` | looking for an AMI as templates describe it |
//! | `secrets`, `secret_store` | Secrets Manager, for data sources and for template functions |
//! | `ssm/` | connections to instances through Systems Manager |

pub mod access;
pub mod account;
pub mod address;
pub mod allow;
pub mod call;
pub mod cleanup;
mod credentials;
pub mod error;
pub mod find;
pub mod image;
mod insecure;
pub mod instance;
mod keys;
pub mod made;
pub mod name;
pub mod old_image;
mod pace;
pub mod profile;
mod proof;
mod reap;
pub mod removal;
pub mod search;
pub mod secret_store;
pub mod secrets;
pub mod ssm;
pub mod tags;
pub mod wait;
mod web_identity;
