//! The SSH communicator against OpenSSH's sshd.
