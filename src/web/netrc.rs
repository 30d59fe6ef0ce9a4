//! `.netrc`: who logs in to which server, as `curl` and `git` know it.

use std::path::PathBuf;

use anyhow::Context as _;
use url::Url;

use crate::env::Environment;
use crate::peer;
use crate::secret::{Redactor, Secret};

/// How large such a file may be.
const LARGEST: u64 = 1 << 20;

/// Who logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Who logs in to the server of `url`, as the file says that `NETRC` names, or `~/.netrc`. A `url` that says
/// so itself needs no file.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn login(
    url: &Url,
    environment: &Environment,
    redactor: &Redactor,
) -> anyhow::Result<Option<Login>> {
    let given = environment.get("NETRC").map(PathBuf::from);
    let path = given.or_else(|| environment.home().map(|home| home.join(".netrc")));
    let (Some(path), Some(host)) = (path, url.host_str()) else { return Ok(None) };
    if !url.username().is_empty() || url.password().is_some() {
        return Ok(None);
    }
    let text = match peer::read_regular_text(&path, LARGEST) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let found = find(&text, host);
    if let Some(found) = &found {
        redactor.register(found.password.expose());
    }
    Ok(found)
}

/// Who logs in to `host`: the first entry that is for it, or for all.
fn find(text: &str, host: &str) -> Option<Login> {
    let words = words(text);
    let mut words = words.iter().map(String::as_str);
    let (mut is_ours, mut found) = (false, Login::default());
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" if is_ours => break,
            "machine" => is_ours = words.next()?.eq_ignore_ascii_case(host),
            "default" => is_ours = true,
            "login" | "password" | "account" => {
                let value = words.next()?;
                match word {
                    "login" if is_ours => found.user = value.to_owned(),
                    "password" if is_ours => found.password = Secret::new(value),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    (is_ours && found != Login::default()).then_some(found)
}

/// Its words: without comments, and without macros, which end with an empty line.
fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut is_macro = false;
    for line in text.lines().map(str::trim) {
        if is_macro || line.starts_with('#') {
            is_macro = is_macro && !line.is_empty();
            continue;
        }
        for word in line.split_whitespace() {
            if word == "macdef" {
                is_macro = true;
                break;
            }
            all.push(word.trim_matches('"').to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mirrors\nmachine a.example\n  login me\n  password \"one\"\nmacdef init\n machine b.example login x password y\n\n\
        machine b.example account z password two login you\ndefault login anonymous password three\n";

    fn found(host: &str) -> Option<(String, String)> {
        find(TEXT, host).map(|found| (found.user, found.password.expose().to_owned()))
    }

    #[test]
    fn the_first_entry_for_a_server_says_who_logs_in() {
        let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(found("a.example"), login("me", "one"));
        assert_eq!(found("B.example"), login("you", "two"), "a macro is none");
        assert_eq!(found("c.example"), login("anonymous", "three"));
        assert_eq!(find("machine a.example login me", "b.example"), None);
        assert_eq!(find("machine", "a.example"), None);
    }
}
