//! `puppet-masterless`, `puppet-server`: Puppet, run on the machine.
//!
//! | file | what is there |
//! |---|---|
//! | `agent` | what both share: facts, arguments, and how Puppet is run |
//! | `masterless` | manifests that are uploaded |
//! | `server` | manifests that a Puppet server has |

mod agent;
pub mod masterless;
pub mod server;

pub use self::agent::PuppetOptions;
