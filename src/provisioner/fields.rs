//! The fields of texts that several provisioners have.

use crate::config::late_fields;

late_fields! {
    /// The fields of texts that know the running machine, and nothing else.
    pub MachineFields = [] and the build;
}
