//! amazon-ebs against moto and sshd.
