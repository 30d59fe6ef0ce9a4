//! Who uses AMIs. Whoever replaces one AMI asks who runs it now; whoever retires many asks more: what has
//! ever started a machine from one, or may start one.
//!
//! | | asked by | instances | launch templates | others |
//! |---|---|---|---|---|
//! | [`users_of_one`] | a build with `force_deregister` | running ones | latest and default version | – |
//! | [`users_of_many`] | `imgbake retire` | all but terminated ones | every version | Auto Scaling, spot |

mod of_many;
mod of_one;

pub use of_many::{Uses, users_of_many};
pub use of_one::users_of_one;
