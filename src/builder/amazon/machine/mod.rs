//! The EC2 instance that an image is made on: found, started, reached, stopped.

pub(super) mod console;
pub(super) mod find_network;
pub(super) mod find_source_ami;
pub(super) mod hardware;
pub(super) mod lost;
pub(super) mod make_key_pair;
pub(super) mod make_profile;
pub(super) mod open_security_group;
pub(super) mod open_tunnel;
pub(super) mod profile;
pub(super) mod run;
pub(super) mod run_instance;
pub(super) mod set_attributes;
pub(super) mod spot;
pub(super) mod stop_instance;
