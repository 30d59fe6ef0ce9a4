//! What is sent to be run: always `sh`, because the login shell that takes it may be any. fish and
//! csh read quotes, `$?` and `!` in their own ways, and fish ends with 0 where it reads nothing.

use std::fmt::Write as _;

use super::quote;
use crate::component::Command;

/// `command` as one line for a login shell of any kind.
pub(super) fn line(command: Command<'_>) -> String {
    match command {
        Command::Ours(text) => posix(text),
        Command::Template(text) => posix(&in_login_shell(text)),
    }
}

/// Runs `text` in `sh`.
///
/// All shells agree on one thing: a word in single quotes, without a quote, a backslash, a `!` or a
/// line end in it. What has one of these goes as such a word, which `sh` decodes.
pub(super) fn posix(text: &str) -> String {
    let is_special = |c: char| matches!(c, '\'' | '\\' | '!') || c.is_ascii_control();
    if !text.contains(is_special) {
        return format!("sh -c '{text}'");
    }
    let mut encoded = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if is_special(c) {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "\\0{:03o}", u32::from(c));
        } else {
            encoded.push(c);
        }
    }
    format!(r#"sh -c 'eval "$(printf %b "$1")"' sh '{encoded}'"#)
}

/// Runs `text` in the user's login shell, which sshd names in `SHELL`, if that is a POSIX shell.
fn in_login_shell(text: &str) -> String {
    format!(
        r#"c={}; case "${{SHELL##*/}}" in bash|zsh|ksh*|mksh|yash) exec "$SHELL" -c "$c";; esac; eval "$c""#,
        quote(text)
    )
}

#[cfg(test)]
mod tests {
    use std::process::{Command as Process, Output};

    use super::*;

    /// The login shells that people have, and one that stands for `/bin/sh` of small systems.
    const LOGIN_SHELLS: [&[&str]; 5] =
        [&["sh"], &["bash"], &["fish"], &["csh"], &["busybox", "sh"]];

    fn sent(login_shell: &[&str], line: &str) -> Output {
        let (program, arguments) = login_shell.split_first().unwrap();
        let mut process = Process::new(program);
        process.args(arguments).arg("-c").arg(line).env("SHELL", program);
        process.output().unwrap_or_else(|error| panic!("{program}: {error} (see tests/run)"))
    }

    #[test]
    fn a_command_means_the_same_whatever_shell_the_user_logs_in_to() {
        for word in [
            "it's a test!",
            "hello!world",
            r"back\slash \\ \' \n",
            "two\nlines\ttab",
            "$HOME `id` $(id) \"x\" #",
            "ünï-日本 %s %d",
            "* ? [a] {b,c} ~ ^ & | ; < >",
            "-n",
            "",
        ] {
            let text = format!("status=$?; printf %s {}; exit 7", quote(word));
            for shell in LOGIN_SHELLS {
                for command in [Command::Ours(&text), Command::Template(&text)] {
                    let output = sent(shell, &line(command));
                    let printed = String::from_utf8(output.stdout).unwrap();
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert_eq!(printed, word, "{shell:?} {command:?}: {said}");
                    assert_eq!(output.status.code(), Some(7), "{shell:?} {command:?}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_templates_command_runs_in_the_users_own_posix_shell() {
        let output =
            sent(&["bash"], &line(Command::Template("[[ a == a ]] && echo $BASH_VERSION")));
        assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    }

    #[test]
    fn a_plain_command_stays_readable() {
        assert_eq!(
            posix("mkdir -p /tmp/x && cd \"$HOME\""),
            "sh -c 'mkdir -p /tmp/x && cd \"$HOME\"'"
        );
    }
}
