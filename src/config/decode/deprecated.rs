//! Options that have another name today, or none. `imgbake fix` writes them as they are now; the
//! tests of `template/fix` hold its fixers against this list.

use crate::config::node::Entry;
use crate::diagnostic::{Diagnostic, code};
use crate::source::Span;

/// An option of another time.
struct Old {
    /// The components that had it: each that has the word in its name.
    of: &'static str,
    name: &'static str,
    /// `None`: nothing needs it any more.
    today: Option<&'static str>,
}

const fn renamed(of: &'static str, name: &'static str, today: &'static str) -> Old {
    Old { of, name, today: Some(today) }
}

const fn gone(of: &'static str, name: &'static str) -> Old {
    Old { of, name, today: None }
}

const ALL: &[Old] = &[
    renamed("", "iso_md5", "iso_checksum"),
    renamed("", "iso_checksum_type", "iso_checksum"),
    renamed("", "iso_checksum_url", "iso_checksum"),
    renamed("", "ssh_key_path", "ssh_private_key_file"),
    renamed("", "ssh_disable_agent", "ssh_disable_agent_forwarding"),
    renamed("", "ssh_wait_timeout", "ssh_timeout"),
    renamed("amazon", "shutdown_behaviour", "shutdown_behavior"),
    renamed("amazon", "enhanced_networking", "ena_support"),
    renamed("amazon", "ssh_private_ip", "ssh_interface"),
    renamed(
        "amazon",
        "temporary_security_group_source_cidr",
        "temporary_security_group_source_cidrs",
    ),
    gone("amazon", "spot_price_auto_product"),
    gone("docker", "login_email"),
    renamed("manifest", "filename", "output"),
    renamed("ansible", "galaxycommand", "galaxy_command"),
    renamed("vagrant", "aws", "override"),
    renamed("vagrant", "digitalocean", "override"),
    renamed("vagrant", "virtualbox", "override"),
    renamed("vagrant", "vmware", "override"),
];

/// What to say of the option `name` of `component`, if it is one of another time.
pub(super) fn refused(component: &str, name: &str, span: Span) -> Option<Diagnostic> {
    let old = ALL.iter().find(|old| old.name == name && component.contains(old.of))?;
    let (cause, help) = match old.today {
        Some(today) => {
            (format!("it is called `{today}` today"), format!("write `{today}`, or run"))
        }
        None => ("nothing needs it any more".to_owned(), "remove it, or run".to_owned()),
    };
    let found = Diagnostic::error(code::UNKNOWN_OPTION, format!("`{name}` is deprecated")).at(span);
    let help = format!("{help} `imgbake fix` on a JSON template: it prints the whole as it is now");
    Some(found.because(cause).help(help))
}

/// A finding for each old name that still works. Shown only beside errors: whoever has to edit the
/// template can mend these, too.
pub(super) fn still_working<'a>(
    component: &str,
    entries: impl Iterator<Item = (&'a String, &'a Entry)>,
) -> impl Iterator<Item = Diagnostic> {
    entries.filter_map(move |(name, entry)| refused(component, name, entry.key))
}

/// The components, name and today's name of each.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str, Option<&'static str>)> {
    ALL.iter().map(|old| (old.of, old.name, old.today))
}
