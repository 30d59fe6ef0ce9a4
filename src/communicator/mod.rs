//! The connection to a machine.
