//! The inventory that is made for the machine, and how `ssh` is told to get there.

use std::path::PathBuf;

use anyhow::Context as _;

use super::options::Options;
use crate::component::{Access, ContainerAccess, WindowsAccess};
use crate::guest::shell::quote;
use crate::interpolate::{Dot, Scope};
use crate::provisioner::private::Private;

/// What `ssh` knows the machine by, whatever its address is.
const HOST_KEY_ALIAS: &str = "imgbake";

/// How `ssh` logs in: files of the private directory.
pub(super) struct Login {
    pub(super) key: Option<PathBuf>,
    certificate: Option<PathBuf>,
    known_hosts: PathBuf,
    /// Whether it is known which keys the machine has.
    knows_keys: bool,
}

impl Login {
    /// Writes the files.
    pub(super) fn new(access: &Access, private: &Private) -> anyhow::Result<Self> {
        let key = access.key.as_ref().map(|key| private.write("key", key.expose())).transpose()?;
        let certificate = access.certificate.as_ref();
        let certificate =
            certificate.map(|text| private.write("key-cert.pub", text)).transpose()?;
        let known = private.write("known_hosts", &known_hosts(access))?;
        let knows_keys = !access.host_keys.is_empty();
        Ok(Self { key, certificate, known_hosts: known, knows_keys })
    }

    /// Options of `ssh`, as one text that Ansible splits into words. Where they are `for_all` hosts,
    /// others than ours are known by what they show first; so is ours where nobody knows its keys.
    pub(super) fn ssh_options(&self, own: &Options, for_all: bool) -> String {
        let known_hosts = format!("-o UserKnownHostsFile={}", self.known_hosts.display());
        let mut all = vec![known_hosts];
        if for_all || !self.knows_keys {
            all.push("-o StrictHostKeyChecking=accept-new".to_owned());
        } else {
            all.push("-o GlobalKnownHostsFile=/dev/null".to_owned());
            all.push(format!("-o HostKeyAlias={HOST_KEY_ALIAS}"));
            all.push("-o StrictHostKeyChecking=yes".to_owned());
        }
        if self.key.is_some() && own.ansible_ssh_extra_args.is_empty() {
            all.push("-o IdentitiesOnly=yes".to_owned());
        }
        let certificate = self.certificate.iter();
        all.extend(certificate.map(|path| format!("-o CertificateFile={}", path.display())));
        all.join(" ")
    }
}

/// The machine's keys, by the name that we give it and by its address.
fn known_hosts(access: &Access) -> String {
    let host = match access.port {
        22 => access.host.clone(),
        port => format!("[{}]:{port}", access.host),
    };
    let line = |key: &String| format!("{HOST_KEY_ALIAS},{host} {key}\n");
    access.host_keys.iter().map(line).collect()
}

/// A generated inventory.
pub(super) struct Inventory {
    pub(super) text: String,
    /// Whether it says how `ssh` logs in; else the command line has to.
    pub(super) has_login: bool,
}

/// Where a machine is.
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    /// Zero if it has none.
    pub(super) port: u16,
    /// Empty if nobody is named.
    pub(super) user: &'a str,
}

/// Writes the inventory that the options ask for; `login` are the variables that say how to log in,
/// each with a space before it.
pub(super) fn generate(
    own: &Options,
    place: &Place<'_>,
    login: &str,
    scope: &Scope,
) -> anyhow::Result<Inventory> {
    let alias = own.alias();
    let mut line = match &own.inventory_file_template {
        Some(template) => {
            let dot = Dot::from([
                ("HostAlias".to_owned(), alias.into()),
                ("Host".to_owned(), place.host.into()),
                ("User".to_owned(), place.user.into()),
                ("Port".to_owned(), place.port.into()),
            ]);
            let rendered = template.render(scope, &dot);
            rendered.context("cannot render `inventory_file_template`")?
        }
        None => {
            let mut line = format!("{alias} ansible_host={}", quote(place.host));
            if !place.user.is_empty() {
                line.push_str(&format!(" ansible_user={}", quote(place.user)));
            }
            if place.port != 0 {
                line.push_str(&format!(" ansible_port={}", place.port));
            }
            line
        }
    };
    if !line.ends_with('\n') {
        line.push('\n');
    }
    let has_login = line.lines().any(|line| line.split_whitespace().next() == Some(alias));
    // Said first and once: what a template says of the same host comes later, and wins.
    let mut text = String::new();
    if has_login {
        text = format!("{alias}{login}\n");
    }
    text.push_str(&line);
    text.extend(own.groups.iter().map(|group| format!("[{group}]\n{line}")));
    text.extend(own.empty_groups.iter().map(|group| format!("[{group}]\n")));
    Ok(Inventory { text, has_login })
}

/// What says how `ssh` logs in.
pub(super) fn ssh_variables(login: &Login, ssh_options: &str) -> String {
    let mut text =
        format!(" ansible_host_key_checking=true ansible_ssh_common_args={}", quote(ssh_options));
    if let Some(key) = &login.key {
        text.push_str(&format!(" ansible_ssh_private_key_file={}", key.display()));
    }
    text
}

/// What says how WinRM logs in, but for the password.
pub(super) fn windows_variables(
    own: &Options,
    access: &WindowsAccess,
) -> [(&'static str, &'static str); 5] {
    let is_https = access.is_https && !own.ansible_winrm_use_http;
    [
        ("ansible_connection", "winrm"),
        ("ansible_shell_type", "powershell"),
        ("ansible_winrm_transport", if access.is_ntlm { "ntlm" } else { "basic" }),
        ("ansible_winrm_scheme", if is_https { "https" } else { "http" }),
        (
            "ansible_winrm_server_cert_validation",
            if access.is_verified { "validate" } else { "ignore" },
        ),
    ]
}

/// What says how commands get into a container.
pub(super) fn container_variables(access: &ContainerAccess) -> Vec<(&'static str, String)> {
    match &access.podman {
        None => vec![("ansible_connection", "docker".to_owned())],
        Some(program) => vec![
            ("ansible_connection", "podman".to_owned()),
            ("ansible_podman_executable", program.display().to_string()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Late;

    fn login() -> Login {
        let known_hosts = "/p/known_hosts".into();
        Login { key: Some("/p/key".into()), certificate: None, known_hosts, knows_keys: true }
    }

    fn access() -> Access {
        Access {
            host: "192.0.2.1".into(),
            port: 2222,
            user: "me too".into(),
            key: None,
            certificate: None,
            host_keys: vec!["ssh-ed25519 AAAA".into()],
            leads: None,
        }
    }

    fn generated(own: &Options) -> Inventory {
        let access = access();
        let place = Place { host: &access.host, port: access.port, user: &access.user };
        let variables = ssh_variables(&login(), "-o A=b");
        generate(own, &place, &variables, &Scope::for_tests()).unwrap()
    }

    #[test]
    fn the_machine_is_in_its_groups_and_says_how_to_log_in() {
        let own = Options {
            groups: vec!["web".into()],
            empty_groups: vec!["db".into()],
            ..Options::default()
        };
        let line = "default ansible_host=192.0.2.1 ansible_user='me too' ansible_port=2222\n";
        let login = "default ansible_host_key_checking=true ansible_ssh_common_args='-o A=b' \
                     ansible_ssh_private_key_file=/p/key\n";
        assert_eq!(generated(&own).text, format!("{login}{line}[web]\n{line}[db]\n"));
    }

    #[test]
    fn a_template_of_another_host_leaves_the_login_to_the_command_line() {
        let template = |text: &str| Options {
            inventory_file_template: Some(Late::new(text)),
            ..Options::default()
        };
        let own = generated(&template("{{ .HostAlias }} x={{ .Port }} y={{ .User }}"));
        assert!(own.has_login && own.text.ends_with("\ndefault x=2222 y=me too\n"), "{}", own.text);
        let other = generated(&template("other ansible_host={{ .Host }}"));
        assert!(!other.has_login);
        assert_eq!(other.text, "other ansible_host=192.0.2.1\n");
    }

    #[test]
    fn the_machines_key_is_the_only_one_that_is_taken() {
        assert_eq!(known_hosts(&access()), "imgbake,[192.0.2.1]:2222 ssh-ed25519 AAAA\n");
        let options = login().ssh_options(&Options::default(), false);
        assert!(options.contains("-o StrictHostKeyChecking=yes"), "{options}");
        assert!(options.contains("-o IdentitiesOnly=yes"), "{options}");
        let unknown =
            Login { knows_keys: false, ..login() }.ssh_options(&Options::default(), false);
        assert!(unknown.contains("-o StrictHostKeyChecking=accept-new"), "{unknown}");
    }
}
