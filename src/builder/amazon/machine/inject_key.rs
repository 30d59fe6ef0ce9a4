//! User data that lets a new key into a machine that starts again.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::communicator::TemporaryKey;
use crate::guest::shell::quote;

/// What EC2 takes.
const LARGEST: usize = 16 * 1024;

/// Where the parts of user data end.
const BOUNDARY: &str = "==imgbake-d2ad4d2e-7d0e-4c55-8d5e-0c3f5f6f0f5a==";

/// User data by which `cloud-init` lets the holder of `key` log in as `user` at each start, and shows
/// the machine's host keys on its console, as it did at the first start. The template's `own` user data,
/// in base64, stays beside it.
pub(super) fn inject_key(
    user: &str,
    key: &TemporaryKey,
    own: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let hook = hook(user, &key.public_openssh());
    let all = match own {
        None => hook,
        Some(own) => {
            let own = BASE64.decode(own).context("its user data is no base64")?;
            with_own(&hook, &own)
        }
    };
    ensure!(all.len() <= LARGEST, "its user data leaves no room for a new key");
    Ok(all.into_bytes())
}

/// What `cloud-init` runs early at each start. The user's files are the user's to write: root would
/// follow whatever link stands there.
fn hook(user: &str, key: &str) -> String {
    let file = "~/.ssh/authorized_keys";
    let key = quote(key);
    let own = format!(
        "umask 077; mkdir -p ~/.ssh; grep -qxF {key} {file} 2>/dev/null || {{ [ -z \"$(tail -c 1 \
         {file} 2>/dev/null)\" ] || echo >> {file}; printf '%s\\n' {key} >> {file}; }}"
    );
    format!(
        "#cloud-boothook\n\
         #!/bin/sh\n\
         su {} -s /bin/sh -c {}\n\
         {{ echo '-----BEGIN SSH HOST KEY KEYS-----'\n\
         cat /etc/ssh/ssh_host_*_key.pub\n\
         echo '-----END SSH HOST KEY KEYS-----'; }} > /dev/console\n",
        quote(user),
        quote(&own),
    )
}

/// `hook` and the template's `own` user data, which may be of any kind.
fn with_own(hook: &str, own: &[u8]) -> String {
    let part = |kind: &str, data: &[u8]| {
        let data = BASE64.encode(data);
        let lines: Vec<_> = data.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
        format!(
            "--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            lines.join("\r\n")
        )
    };
    format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n{}{}--{BOUNDARY}--\r\n",
        part("text/cloud-boothook", hook.as_bytes()),
        part("application/octet-stream", own),
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::communicator::KeyType;

    #[test]
    fn the_hook_adds_the_key_once_to_whatever_file_is_there() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        let key = "ssh-ed25519 AAAA it's a key";
        let hook = hook("the user", key);
        // `su` and the console are the machine's: here the words that it gets are run.
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let su = "#!/bin/sh\n[ \"$1 $2 $3\" = 'the user -s /bin/sh' ] && exec /bin/sh -c \"$5\"\n";
        std::fs::write(bin.join("su"), su).unwrap();
        let make = Command::new("chmod").arg("755").arg(bin.join("su")).status().unwrap();
        assert!(make.success());
        let script = hook.replace("/dev/console", "/dev/null");
        let run = || {
            let path = format!("{}:/usr/bin:/bin", bin.display());
            let mut sh = Command::new("sh");
            sh.args(["-c", &script]).env("HOME", home.path()).env("PATH", path);
            assert!(sh.output().is_ok());
        };
        run();
        run();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{key}\n"));
        std::fs::write(&file, "ssh-rsa BBBB other").unwrap();
        run();
        let both = format!("ssh-rsa BBBB other\n{key}\n");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), both);
    }

    #[test]
    fn the_templates_own_user_data_stays_unless_it_is_too_large() {
        let key = TemporaryKey::generate(KeyType::Ed25519, None, "packer_1").unwrap();
        let alone = String::from_utf8(inject_key("ubuntu", &key, None).unwrap()).unwrap();
        assert!(alone.starts_with("#cloud-boothook\n") && alone.contains(&key.public_openssh()));
        let own = BASE64.encode("#cloud-config\npackages: [nginx]\n");
        let both = inject_key("ubuntu", &key, Some(&own)).unwrap();
        let both = String::from_utf8(both).unwrap();
        assert!(both.starts_with("MIME-Version") && both.contains(&own), "{both}");
        let large = BASE64.encode(vec![b'#'; 12 * 1024]);
        let error = inject_key("ubuntu", &key, Some(&large)).unwrap_err().to_string();
        assert_eq!(error, "its user data leaves no room for a new key");
    }
}
