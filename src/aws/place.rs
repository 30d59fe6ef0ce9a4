//! Where in AWS something is.

use serde::{Deserialize, Serialize};

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The account's number; `None` if nobody asked STS.
    pub account: Option<String>,
    /// The region.
    pub region: String,
    /// The URL of the API, if it is not AWS's own.
    pub endpoint: Option<String>,
}
