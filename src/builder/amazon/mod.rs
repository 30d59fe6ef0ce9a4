//! The builders that work in an EC2 account: each pairs a *machine*, which is started and provisioned,
//! with an *image*, which is made of it.
//!
//! | file | what is there |
//! |---|---|
//! | `ebs` | `amazon-ebs`: an instance, and EC2 makes an AMI of it |
//! | `ebsvolume` | `amazon-ebsvolume`: an instance fills volumes, which stay |
//! | `machine/` | the instance: its options, and a file for each step of its life |
//! | `image/` | the AMI: its options, and a file for each step until it is handed over |
//! | `volumes/` | the volumes: their options, and a file for each step until they are handed over |
//! | `build`, `source_ami`, `block_device`, `check_account`, `share_snapshot` | what they have in common |
//! | `artifact` | the AMIs that come out |

mod artifact;
mod block_device;
mod build;
mod check_account;
mod ebs;
mod ebsvolume;
mod image;
mod machine;
mod share_snapshot;
mod source_ami;
mod volumes;

pub use self::ebs::AmazonEbs;
pub use self::ebsvolume::AmazonEbsVolume;
