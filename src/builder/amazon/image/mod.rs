//! The AMI that is made of a machine: created, copied, shared, tagged, handed over.

pub(super) mod adopt_image;
pub(super) mod ami;
pub(super) mod check_account;
pub(super) mod copies;
pub(super) mod copy_image;
pub(super) mod create_image;
pub(super) mod deregister_old;
pub(super) mod enable_fast_launch;
pub(super) mod fast_launch;
pub(super) mod find_old;
pub(super) mod hand_over;
pub(super) mod set_lifetime;
pub(super) mod share_images;
pub(super) mod tag_images;
