//! What is too short or too common to be masked: it would blot out half of every output, and tell
//! the reader what it is by doing so.

use std::fmt;

/// A secret of fewer characters is not masked.
const SHORTEST: usize = 4;

/// Words that stand in the log of any build. As a secret they protect nothing.
const COMMON: &[&str] = &[
    "access",
    "account",
    "admin",
    "administrator",
    "ansible",
    "apache",
    "build",
    "builder",
    "centos",
    "changeme",
    "config",
    "data",
    "debian",
    "debug",
    "default",
    "deploy",
    "dev",
    "development",
    "disabled",
    "docker",
    "empty",
    "enabled",
    "error",
    "example",
    "failed",
    "false",
    "fedora",
    "file",
    "foobar",
    "guest",
    "home",
    "host",
    "http",
    "https",
    "image",
    "info",
    "install",
    "linux",
    "local",
    "localhost",
    "login",
    "main",
    "master",
    "name",
    "nginx",
    "nobody",
    "none",
    "null",
    "packer",
    "passwd",
    "password",
    "path",
    "port",
    "private",
    "prod",
    "production",
    "public",
    "release",
    "root",
    "script",
    "secret",
    "sensitive",
    "server",
    "shell",
    "source",
    "staging",
    "string",
    "sudo",
    "system",
    "temp",
    "template",
    "test",
    "testing",
    "token",
    "true",
    "ubuntu",
    "undefined",
    "unknown",
    "update",
    "user",
    "username",
    "vagrant",
    "value",
    "version",
    "warning",
    "windows",
];

/// Why a secret is not masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// It is empty.
    Empty,
    /// It has too few characters.
    Short,
    /// It is a word that any output may have.
    Common,
}

impl Weakness {
    /// That of `secret`, if it has one.
    pub fn of(secret: &str) -> Option<Self> {
        let text = secret.trim();
        match text.chars().count() {
            0 => Some(Self::Empty),
            count if count < SHORTEST => Some(Self::Short),
            _ if COMMON.binary_search(&text.to_ascii_lowercase().as_str()).is_ok() => {
                Some(Self::Common)
            }
            _ => None,
        }
    }

    /// That of one line of a longer secret: signs alone, such as brackets, are in any output.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let has_enough = line.chars().filter(|next| next.is_alphanumeric()).count() >= SHORTEST;
        if has_enough { Self::of(line) } else { Some(Self::Short) }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Short => write!(f, "it has fewer than {SHORTEST} characters"),
            Self::Common => f.write_str("it is a word that any output may have"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_output_may_have_is_weak() {
        assert!(COMMON.is_sorted(), "it is searched in order");
        for (secret, weakness) in [
            (" ", Some(Weakness::Empty)),
            ("abc", Some(Weakness::Short)),
            ("éé", Some(Weakness::Short)),
            ("Vagrant\n", Some(Weakness::Common)),
            ("!!!!", None),
            ("hunter22", None),
        ] {
            assert_eq!(Weakness::of(secret), weakness, "{secret:?}");
        }
        assert_eq!(Weakness::of_line("  }}}}  "), Some(Weakness::Short));
    }
}
