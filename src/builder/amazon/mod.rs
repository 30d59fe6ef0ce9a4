//! The builders that work in an EC2 account: a *machine* that is started, and an *image* that is made
//! of it.
//!
//! | file | what is there |
//! |---|---|
//! | `ebs` | `amazon-ebs` |
//! | `machine/` | the instance: its options, and a file for each step |
//! | `image/` | the AMI: its options, and a file for each step |
//! | `block_device` | disks of both |
//! | `permissions` | what the account must allow |
//! | `artifact` | the AMIs that come out |

mod artifact;
mod block_device;
mod ebs;
mod ebs_options;
mod image;
mod machine;
mod permissions;
mod steps;

pub use self::ebs::AmazonEbs;
