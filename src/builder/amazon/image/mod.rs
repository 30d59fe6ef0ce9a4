//! The AMI that is made of a machine: its options, and a file for each step.
//!
//! | file | what is there |
//! |---|---|
//! | `settings`, `ami`, `sharing`, `copies`, `registration`, `fast_launch`, `lint` | its options |
//! | `check_name`, `check_source`, `find_old` | what is looked at before anything is made |
//! | `find_unchanged`, `adopt_image` | whether there is one already: finished, or left by a run that died |
//! | `make`, `new_ami`, `create_image`, `register_image` | it is made |
//! | `finish` | the list of all steps after that, in order |
//! | `copy_image`, `tag_images`, `share_images`, `set_lifetime`, `enable_fast_launch` | what becomes of it in every region |
//! | `deregister_old` | what it replaces goes |
//! | `mark_tested`, `hand_over` | it has passed its tests, and is the user's |
//! | `made_image` | what the steps hand to each other |

mod adopt_image;
mod ami;
mod check_name;
mod check_source;
mod copies;
mod copy_image;
mod create_image;
mod deregister_old;
mod enable_fast_launch;
mod fast_launch;
mod find_old;
mod find_unchanged;
mod finish;
mod hand_over;
mod lint;
mod made_image;
mod make;
mod mark_tested;
mod new_ami;
mod register_image;
mod registration;
mod set_lifetime;
mod settings;
mod share_images;
mod sharing;
mod tag_images;

pub(super) use self::adopt_image::AbandonedAmi;
pub(super) use self::ami::{AmiOptions, VirtualizationType, check_name};
pub(super) use self::check_name::CheckName;
pub(super) use self::check_source::CheckSource;
pub(super) use self::copies::{CopyOptions, is_kms_key, no_key};
pub(super) use self::copy_image::CopyImage;
pub(super) use self::create_image::CreateImage;
pub(super) use self::enable_fast_launch::EnableFastLaunch;
pub(super) use self::fast_launch::FastLaunchOptions;
pub(super) use self::find_unchanged::{FindUnchanged, finished, made_from, said_by};
pub(super) use self::finish::{finish, permissions as permissions_to_finish};
pub(super) use self::hand_over::HandOver;
pub(super) use self::made_image::MadeImage;
pub(super) use self::make::{make, permissions as permissions_to_make};
pub(super) use self::mark_tested::{mark_tested, permissions_to_mark};
pub(super) use self::register_image::{RegisterImage, Registration, Root};
pub(super) use self::registration::{BootMode, RegistrationOptions, TpmSupport};
pub(super) use self::settings::{
    ImageDisks, ImageOptions, ImageRunTags, ImageSettings, Imaging, is_option,
};
pub(super) use self::sharing::SharingOptions;
