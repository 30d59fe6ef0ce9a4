//! QEMU machines: disks, process, QMP, ports; and what a machine is fed with (images, CDs, HTTP).

pub mod accelerator;
pub mod cd;
pub mod checksum;
pub mod console;
pub mod disk;
pub mod download;
pub mod http_server;
pub mod machine;
pub mod ports;
pub mod qmp;
mod tool;
