//! Provisioners and post-processors against a real sshd.
