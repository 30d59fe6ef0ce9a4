//! The EC2 instance that something is made of: its options, and a file for each step of its life.

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
