//! What can be wrong with the options of `ansible`, found before any machine starts.

use super::options::Options;
use crate::component::Check;
use crate::diagnostic::code;
use crate::provisioner::program::check_variables;
use crate::provisioner::{check_path, must_be_directory, must_be_file};

impl Options {
    /// Reports all of it.
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if self.playbook_file.is_none() {
            check.missing("playbook_file", "name the playbook to run");
        }
        self.check_paths(check);
        check_variables("ansible_env_vars", &self.ansible_env_vars, check);
        self.check_names(check);
        self.warn_of_idle_options(check);
    }

    fn check_paths(&self, check: &mut Check<'_>) {
        let files = [
            ("playbook_file", &self.playbook_file),
            ("inventory_file", &self.inventory_file),
            ("galaxy_file", &self.galaxy_file),
            ("ssh_host_key_file", &self.ssh_host_key_file),
            ("ssh_authorized_key_file", &self.ssh_authorized_key_file),
        ];
        for (option, path) in files {
            if let Some(path) = path {
                check_path(check, option, path, must_be_file);
            }
        }
        if let Some(path) = &self.inventory_directory {
            check_path(check, "inventory_directory", path, must_be_directory);
        }
    }

    /// A name that ends its line in the inventory would say something else there.
    fn check_names(&self, check: &mut Check<'_>) {
        let groups = self.groups.iter().map(|name| ("groups", name));
        let empty = self.empty_groups.iter().map(|name| ("empty_groups", name));
        for (option, name) in groups.chain(empty) {
            if name.is_empty() || name.contains(|c: char| c.is_control() || c == ']') {
                check.error(option, format!("`{}` is no name of a group", name.escape_debug()));
            }
        }
        let alias = self.alias();
        if alias.is_empty() || alias.contains(|c: char| c.is_whitespace() || "#[]".contains(c)) {
            let cause = format!("`{}` is no name of a host", alias.escape_debug());
            check.error("host_alias", cause);
        }
    }

    fn warn_of_idle_options(&self, check: &mut Check<'_>) {
        let of_inventory = [
            ("groups", !self.groups.is_empty()),
            ("empty_groups", !self.empty_groups.is_empty()),
            ("host_alias", self.host_alias.is_some()),
            ("inventory_directory", self.inventory_directory.is_some()),
            ("inventory_file_template", self.inventory_file_template.is_some()),
            ("keep_inventory_file", self.keep_inventory_file),
        ];
        let of_proxy = [
            ("local_port", self.local_port != 0),
            ("ssh_host_key_file", self.ssh_host_key_file.is_some()),
            ("ssh_authorized_key_file", self.ssh_authorized_key_file.is_some()),
            ("ansible_proxy_key_type", self.ansible_proxy_key_type.is_some()),
            ("sftp_command", self.sftp_command.is_some()),
        ];
        let of_inventory = of_inventory.into_iter().filter(|_| self.inventory_file.is_some());
        let of_proxy = of_proxy.into_iter().filter(|_| self.use_proxy == Some(false));
        let idle = of_inventory.map(|(option, given)| (option, given, "inventory_file"));
        let idle = idle.chain(of_proxy.map(|(option, given)| (option, given, "use_proxy = false")));
        for (option, _, beside) in idle.filter(|(_, given, _)| *given) {
            let text = format!("`{option}` changes nothing beside `{beside}`");
            check.warn(code::OPTION_VALUE, option, text);
        }
    }
}
