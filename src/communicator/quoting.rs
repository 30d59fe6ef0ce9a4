//! Paths of a machine, as words of its POSIX shell.

use crate::guest::shell::in_quotes as quote;

/// Lists what exists of its arguments: `d` or `f`, then the path, each followed by NUL.
pub(super) const EXISTING: &str = r#"for p in "$@"; do if [ -d "$p" ]; then printf 'd%s\0' "$p"
elif [ -e "$p" ]; then printf 'f%s\0' "$p"; fi; done"#;

/// `path` as a word of `sh`: all of it quoted but for a home directory at its start.
pub(super) fn word(path: &str) -> String {
    spell(path, quote)
}

/// Like [`word`], but what makes `path` a pattern keeps its meaning.
pub(super) fn pattern(path: &str) -> String {
    spell(path, |text| {
        // What negates or spans in brackets, too.
        let is_special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '!' | '^' | '-');
        text.split_inclusive(is_special)
            .map(|piece| match piece.chars().next_back() {
                Some(special) if is_special(special) => {
                    format!("{}{special}", quote(&piece[..piece.len() - 1]))
                }
                _ => quote(piece),
            })
            .collect()
    })
}

/// Whether the machine's shell is to find out which files `path` stands for.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

fn spell(path: &str, quote: impl Fn(&str) -> String) -> String {
    let path = match path.strip_prefix("$HOME").or_else(|| path.strip_prefix("${HOME}")) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    };
    let (head, rest) = path.split_once('/').unwrap_or((&path, ""));
    let names_home = |c: char| c.is_ascii_alphanumeric() || matches!(c, '~' | '_' | '-' | '.');
    if head.starts_with('~') && head.chars().all(names_home) {
        return if path == head { path } else { format!("{head}/{}", quote(rest)) };
    }
    if path.starts_with('-') { quote(&format!("./{path}")) } else { quote(&path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_home_directory_and_a_pattern_mean_something_to_the_shell() {
        assert_eq!(word("/tmp/it's $x"), r#"'/tmp/it'"'"'s $x'"#);
        assert_eq!(word("~/a b"), "~/'a b'");
        assert_eq!(word("$HOME/x"), "~/'x'");
        assert_eq!(word("~root"), "~root");
        assert_eq!(word("~$(x)/y"), "'~$(x)/y'");
        assert_eq!(word("-rf"), "'./-rf'");
        assert_eq!(pattern("/var/log/a b*.[ch]"), "'/var/log/a b'*'.'['ch']");
        assert_eq!(pattern("~/$x[!a-c]"), r"~/'$x'[''!'a'-'c']");
    }
}
