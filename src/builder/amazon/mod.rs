//! The builders that work in an EC2 account: each pairs a *machine*, which is started and provisioned,
//! with an *image*, which is made of it.
//!
//! | file | what is there |
//! |---|---|
//! | `ebs` | `amazon-ebs`: an instance, and EC2 makes an AMI of it |
//! | `ebssurrogate` | `amazon-ebssurrogate`: an instance fills volumes, and an AMI is registered from their snapshots |
//! | `ebsvolume` | `amazon-ebsvolume`: an instance fills volumes, which stay |
//! | `instance/` | `amazon-instance`: an instance bundles its root volume into S3, and an AMI is registered from that |
//! | `import/` | `amazon-import`, a post-processor: a disk image becomes an AMI |
//! | `machine/` | the instance: its options, and a file for each step of its life |
//! | `chroot/` | `amazon-chroot`: a volume on this host, an EC2 instance, is provisioned in a chroot, and an AMI is registered from its snapshot |
//! | `image/` | the AMI: its options, and a file for each step until it is handed over |
//! | `pairing` | an instance and the AMI that is made of it |
//! | `ami_plan`, `ami_builder` | the AMI, whatever it is made of, and what all its builders have in common |
//! | `surrogate/` | the volumes that become an AMI: their options, and a file for each step that only they need |
//! | `volumes/` | the volumes: their options, and a file for each step until they are handed over |
//! | `build`, `source_ami`, `record_tags`, `block_device`, `check_account`, `snapshot_volumes`, `share_snapshot` | what they have in common |
//! | `artifact` | the AMIs that come out |
//! | `past` | those that came out before |

mod ami_builder;
mod ami_plan;
mod artifact;
mod block_device;
mod build;
mod check_account;
mod chroot;
mod ebs;
mod ebssurrogate;
mod ebsvolume;
mod image;
mod import;
mod instance;
mod machine;
mod pairing;
mod past;
mod record_tags;
mod share_snapshot;
mod snapshot_volumes;
mod source_ami;
mod surrogate;
mod volumes;

pub use self::chroot::{AmazonChroot, MountCleaner};
pub use self::ebs::AmazonEbs;
pub use self::ebssurrogate::AmazonEbsSurrogate;
pub use self::ebsvolume::AmazonEbsVolume;
pub use self::import::AmazonImport;
pub use self::instance::AmazonInstance;
