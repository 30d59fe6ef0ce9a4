//! The EC2 instance that something is made of: its options, and a file for each step of its life.
//!
//! | file | what is there |
//! |---|---|
//! | `settings`, `run`, `hardware`, `spot`, `profile`, `networking`, `lint` | its options |
//! | `lifecycle` | the list of all steps, in order |
//! | `find_source_ami`, `find_network` | what it starts from, and where |
//! | `make_key_pair`, `make_profile`, `open_security_group` | what it needs besides |
//! | `run_instance`, `console`, `find_password`, `open_tunnel` | it is started, and the way in |
//! | `stop_instance`, `set_attributes` | its disks are at rest, and the image can be made |
//! | `spot_restarts`, `why_ended` | it is gone: why, and whether to begin anew |
//! | `keep`, `find_kept`, `resume`, `inject_key` | it failed and is kept, and a later run goes on there |
//! | `image_test` | one that is started to test an AMI |

mod console;
mod find_kept;
mod find_network;
mod find_password;
mod find_source_ami;
mod hardware;
mod image_test;
mod inject_key;
mod keep;
mod lifecycle;
mod lint;
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
mod spot_restarts;
mod stop_instance;
mod why_ended;

pub(super) use self::find_kept::FindKept;
pub(super) use self::find_network::{FindNetwork, Network};
pub(super) use self::find_source_ami::FindSourceAmi;
pub(super) use self::image_test::test;
pub(super) use self::keep::permissions as permissions_to_keep;
pub(super) use self::lifecycle::{
    Connected, Started, permissions, permissions_to_test, provision_and_stop, provision_only,
    resume, start,
};
pub(super) use self::networking::EnhancedNetworking;
pub(super) use self::set_attributes::SetAttributes;
pub(super) use self::settings::{
    Machine, MachineOptions, MachineSettings, VolumeTags, find_source,
};
pub(super) use self::spot_restarts::{StepList, account, bake};
pub(super) use self::stop_instance::Stopped;
pub(super) use self::why_ended::with_cause;
