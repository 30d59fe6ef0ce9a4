//! The EC2 instance that something is made of: its options, and a file for each step of its life.
//!
//! | file | what is there |
//! |---|---|
//! | `settings`, `run`, `hardware`, `spot`, `profile`, `networking`, `lint` | its options |
//! | `life` | the list of all steps, in order |
//! | `find_source_ami`, `find_network` | what it starts from, and where |
//! | `make_key_pair`, `make_profile`, `open_security_group` | what it needs besides |
//! | `run_instance`, `console`, `find_password`, `open_tunnel` | it is started, and the way in |
//! | `stop_instance`, `set_attributes` | its disks are at rest, and the image can be made |
//! | `attempts`, `lost` | it is gone: why, and whether to begin anew |
//! | `keep`, `find_kept`, `resume`, `let_in` | it failed and is kept, and a later run goes on there |
//! | `trial` | one that is started to test an AMI |

mod attempts;
mod console;
mod find_kept;
mod find_network;
mod find_password;
mod find_source_ami;
mod hardware;
mod keep;
mod let_in;
mod life;
mod lint;
mod lost;
mod make_key_pair;
mod make_profile;
mod networking;
mod open_security_group;
mod open_tunnel;
mod profile;
mod resume;
mod run;
mod run_instance;
mod set_attributes;
mod settings;
mod spot;
mod stop_instance;
mod trial;

pub(super) use self::attempts::{Bake, account, bake};
pub(super) use self::find_kept::FindKept;
pub(super) use self::find_network::{FindNetwork, Network};
pub(super) use self::find_source_ami::FindSourceAmi;
pub(super) use self::keep::permissions as permissions_to_keep;
pub(super) use self::life::{
    Connected, Started, permissions, permissions_to_test, provision_and_stop, provision_only,
    resume, start,
};
pub(super) use self::lost::explaining;
pub(super) use self::networking::EnhancedNetworking;
pub(super) use self::set_attributes::SetAttributes;
pub(super) use self::settings::{
    Machine, MachineOptions, MachineSettings, VolumeTags, find_source,
};
pub(super) use self::stop_instance::Stopped;
pub(super) use self::trial::test;
