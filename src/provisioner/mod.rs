//! Provisioners: each changes a running machine.
