//! QEMU machines: disks, process, QMP, ports.
