//! Arguments of `ansible-playbook`: none of them tells a secret to the users of this machine.

use anyhow::bail;
use serde_json::{Map, Value as Json};

use crate::provisioner::private::Private;
use crate::secret::Redactor;

/// What a template's author writes for secrets; Packer masks them by the same words.
const SECRETIVE: [&str; 2] = ["password", "secret"];

/// `arguments`, with extra variables that hold a secret in files of the private directory.
pub(super) fn without_secrets(
    arguments: Vec<String>,
    redactor: &Redactor,
    private: &Private,
) -> anyhow::Result<Vec<String>> {
    let mut safe = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter();
    let mut files = 0;
    while let Some(argument) = arguments.next() {
        let text = match extra_variables(&argument) {
            Some("") => match arguments.next() {
                Some(text) => text,
                None => bail!("`extra_arguments` end with `{argument}`, which needs a value"),
            },
            Some(text) => text.to_owned(),
            None if redactor.holds(&argument) => bail!(
                "argument {} of `extra_arguments` holds a secret, and every user of this machine can \
                 read command lines: give it in `ansible_env_vars`, in a file, or as an extra \
                 variable (`-e`), which imgbake puts in a file",
                safe.len() + 1
            ),
            None => {
                safe.push(argument);
                continue;
            }
        };
        let lower = text.to_lowercase();
        let is_secretive = SECRETIVE.iter().any(|word| lower.contains(word));
        let holds_secret = redactor.holds(&text) || (is_secretive && !text.starts_with('@'));
        let word = if holds_secret {
            files += 1;
            let file = private.write(&format!("variables-{files}"), &as_file(&text))?;
            format!("@{}", file.display())
        } else {
            text
        };
        safe.extend(["-e".to_owned(), word]);
    }
    Ok(safe)
}

/// Whether `argument` gives a password or a key that lets Ansible in.
pub(super) fn lets_in(argument: &str) -> bool {
    const WORDS: [&str; 6] = [
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_private_key_file",
        "ansible_private_key_file",
        "--private-key",
        "--key-file",
    ];
    WORDS.iter().any(|word| argument.contains(word))
}

/// The extra variables that `argument` gives; an empty text: the next one does.
fn extra_variables(argument: &str) -> Option<&str> {
    if let Some(rest) = argument.strip_prefix("--extra-vars") {
        return if rest.is_empty() { Some(rest) } else { rest.strip_prefix('=') };
    }
    argument.strip_prefix("-e").map(|rest| rest.strip_prefix('=').unwrap_or(rest))
}

/// Extra variables as Ansible reads them from a file: what is YAML stays so, words become JSON.
fn as_file(text: &str) -> String {
    if text.starts_with(['{', '[']) {
        return text.to_owned();
    }
    let mut variables = Map::new();
    for word in words(text) {
        // Ansible ignores a word without a value.
        if let Some((name, value)) = word.split_once('=') {
            variables.insert(name.trim().to_owned(), unquoted(value.trim()).into());
        }
    }
    Json::Object(variables).to_string()
}

/// Splits at spaces, but neither in quotes nor in `{{ }}`, as Ansible does.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted_by, mut depth, mut before) = (None, 0_usize, ' ');
    for c in text.chars() {
        let escaped = before == '\\';
        match (quoted_by, c) {
            (None, '\'' | '"') if !escaped => quoted_by = Some(c),
            (Some(quote), c) if c == quote && !escaped => quoted_by = None,
            (None, '{') if before == '{' => depth += 1,
            (None, '}') if before == '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let splits = c.is_whitespace() && quoted_by.is_none() && depth == 0;
        match words.last_mut() {
            Some(word) if !splits => word.push(c),
            _ => words.push(String::new()),
        }
        before = if escaped { ' ' } else { c };
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `value` without the quotes around it, and with its escapes read.
fn unquoted(value: &str) -> String {
    let value = unescaped(value);
    let inner = ['\'', '"'].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.ends_with('\\')).then_some(inner)
    });
    inner.unwrap_or(&value).to_owned()
}

/// The escapes of one character; Ansible's rarer ones, by number, stay as they are.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        let next = rest.clone().next().filter(|_| c == '\\');
        let read = match next {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some(c @ ('\\' | '\'' | '"')) => Some(c),
            _ => None,
        };
        text.push(read.unwrap_or(c));
        if read.is_some() {
            rest.next();
        }
    }
    text
}

/// Takes `--ssh-common-args` out of `arguments`: its value, the last one if there are several.
pub(super) fn take_ssh_options(arguments: &mut Vec<String>) -> Option<String> {
    const NAME: &str = "--ssh-common-args";
    let mut taken = None;
    while let Some(at) = arguments.iter().position(|argument| {
        argument.strip_prefix(NAME).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    }) {
        let argument = arguments.remove(at);
        taken = match argument.split_once('=') {
            Some((_, value)) => Some(value.to_owned()),
            None if at < arguments.len() => Some(arguments.remove(at)),
            None => taken,
        };
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpolate::Scope;

    fn safe(arguments: &[&str]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let private = Private::new(&Scope::for_tests().environment, "ansible")?;
        let redactor = Redactor::default();
        redactor.register("s3cr3t-w0rd!");
        let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        let safe = without_secrets(arguments, &redactor, &private)?;
        let files = safe.iter().filter_map(|word| word.strip_prefix("@/"));
        let files = files.filter_map(|path| std::fs::read_to_string(format!("/{path}")).ok());
        let files = files.collect();
        Ok((safe, files))
    }

    #[test]
    fn an_extra_variable_that_is_secret_goes_by_a_file() {
        for arguments in [
            &["-v", "-e", "token=s3cr3t-w0rd! user='a b'"][..],
            &["-v", "-etoken=s3cr3t-w0rd! user='a b'"],
            &["-v", "--extra-vars=token=s3cr3t-w0rd! user='a b'"],
        ] {
            let (words, files) = safe(arguments).unwrap();
            assert_eq!(words[..2], ["-v", "-e"]);
            assert!(words[2].starts_with("@/") && words.len() == 3, "{words:?}");
            assert_eq!(files, [r#"{"token":"s3cr3t-w0rd!","user":"a b"}"#]);
        }
        let (_, files) = safe(&["-e", r#"{"db_password": "x"}"#]).unwrap();
        assert_eq!(files, [r#"{"db_password": "x"}"#]);
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        let plain = ["--tags", "a,b", "-e", "a=1 b=2", "-e", "@passwords.yml", "-vv"];
        assert_eq!(safe(&plain).unwrap().0, plain);
    }

    #[test]
    fn any_other_argument_with_a_secret_is_refused() {
        let error = safe(&["-v", "--user=s3cr3t-w0rd!"]).unwrap_err().to_string();
        assert!(error.contains("argument 2 of `extra_arguments`"), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }

    #[test]
    fn words_are_split_as_ansible_does() {
        let text = r#"a="x y" b={{ c | d('e f') }} d='it\'s' e=new\nline"#;
        assert_eq!(
            as_file(text),
            r#"{"a":"x y","b":"{{ c | d('e f') }}","d":"it's","e":"new\nline"}"#
        );
    }

    #[test]
    fn options_of_ssh_are_taken_out() {
        let mut arguments: Vec<String> =
            ["-v", "--ssh-common-args", "-o A=b", "--ssh-common-args=-o C=d", "x"]
                .map(str::to_owned)
                .to_vec();
        assert_eq!(take_ssh_options(&mut arguments).as_deref(), Some("-o C=d"));
        assert_eq!(arguments, ["-v", "x"]);
    }
}
