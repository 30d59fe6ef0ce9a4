//! qemu, null and file builders.
