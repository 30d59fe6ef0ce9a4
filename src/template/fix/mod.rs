//! `imgbake fix`: what older versions of Packer took, written as it is taken today. One
//! file per fixer, named as users know it.

mod document;
mod edit;
#[cfg(test)]
mod tests;
mod text;

mod amazon_enhanced_networking;
mod amazon_private_ip;
mod amazon_shutdown_behavior;
mod amazon_temp_sec_cidrs;
mod azure_exclude_from_latest;
mod clean_image_name;
mod comm_config;
mod createtime;
mod docker_email;
mod docker_tag_tags;
mod galaxy_command;
mod hyperv_cpu_and_ram;
mod hyperv_deprecations;
mod hyperv_vmxc_typo;
mod iso_checksum_type_and_url;
mod iso_md5;
mod manifest_filename;
mod parallels_deprecations;
mod parallels_headless;
mod powershell_escapes;
mod pp_vagrant_override;
mod proxmox_type;
mod qemu_disk_size;
mod qemu_host_port;
mod scaleway_access_key;
mod spot_price_auto_product;
mod ssh_wait_timeout;
mod sshdisableagent;
mod sshkeypath;
mod virtualbox_gaattach;
mod virtualbox_rename;
mod vmware_compaction;
mod vmware_rename;
mod vsphere_iso_net_disk;

pub use document::Document;

use edit::Object;

/// One repair.
#[derive(Debug)]
pub struct Fixer {
    /// What users call it.
    pub name: &'static str,
    /// What it changes, in a sentence.
    pub does: &'static str,
    change: Change,
}

/// The parts of a template that a fixer sees, and what it does with each of them.
#[derive(Debug)]
enum Change {
    /// Each builder of these types.
    Builders(Types, fn(&mut Object)),
    /// The same, where a builder can be such that nobody knows what was meant: then the reason
    /// comes back.
    BuildersOrNot(Types, fn(&mut Object) -> Result<(), String>),
    /// Each provisioner of these types.
    Provisioners(Types, fn(&mut Object)),
    /// Each post-processor of these types, alone or in a chain.
    PostProcessors(Types, fn(&mut Object)),
    /// The template as a whole.
    Document(fn(&mut Document)),
}

/// Which types of components.
#[derive(Clone, Copy, Debug)]
enum Types {
    Any,
    /// These.
    Of(&'static [&'static str]),
    /// Those whose names begin so.
    Prefix(&'static str),
}

impl Types {
    /// Whether `component` is of one of them; one without a type is of none.
    fn take(self, component: &Object) -> bool {
        let kind = edit::text(component, "type");
        match self {
            Self::Any => true,
            Self::Of(kinds) => kind.is_some_and(|kind| kinds.contains(&kind)),
            Self::Prefix(prefix) => kind.is_some_and(|kind| kind.starts_with(prefix)),
        }
    }
}

/// All fixers in the order in which they run: some rely on what an earlier one has done.
pub const FIXERS: &[Fixer] = &[
    iso_md5::FIXER,
    createtime::FIXER,
    virtualbox_gaattach::FIXER,
    pp_vagrant_override::FIXER,
    virtualbox_rename::FIXER,
    vmware_rename::FIXER,
    parallels_headless::FIXER,
    parallels_deprecations::FIXER,
    sshkeypath::FIXER,
    sshdisableagent::FIXER,
    scaleway_access_key::FIXER,
    manifest_filename::FIXER,
    amazon_shutdown_behavior::FIXER,
    amazon_enhanced_networking::FIXER,
    amazon_private_ip::FIXER,
    amazon_temp_sec_cidrs::FIXER,
    docker_email::FIXER,
    docker_tag_tags::FIXER,
    powershell_escapes::FIXER,
    vmware_compaction::FIXER,
    hyperv_deprecations::FIXER,
    hyperv_vmxc_typo::FIXER,
    hyperv_cpu_and_ram::FIXER,
    clean_image_name::FIXER,
    spot_price_auto_product::FIXER,
    qemu_disk_size::FIXER,
    galaxy_command::FIXER,
    comm_config::FIXER,
    ssh_wait_timeout::FIXER,
    vsphere_iso_net_disk::FIXER,
    iso_checksum_type_and_url::FIXER,
    qemu_host_port::FIXER,
    azure_exclude_from_latest::FIXER,
    proxmox_type::FIXER,
];

/// Runs all fixers.
///
/// # Errors
///
/// The fixer that does not know what was meant, and why.
pub fn fix(document: &mut Document) -> Result<(), String> {
    for fixer in FIXERS {
        fixer.run(document).map_err(|why| format!("{}: {why}", fixer.name))?;
    }
    Ok(())
}

impl Fixer {
    fn run(&self, document: &mut Document) -> Result<(), String> {
        match self.change {
            Change::Builders(types, change) => change_each(document.builders(), types, change),
            Change::BuildersOrNot(types, change) => {
                return document.builders().filter(|one| types.take(one)).try_for_each(change);
            }
            Change::Provisioners(types, change) => {
                change_each(document.provisioners(), types, change);
            }
            Change::PostProcessors(types, change) => {
                change_each(document.post_processors(), types, change);
            }
            Change::Document(change) => change(document),
        }
        Ok(())
    }
}

fn change_each<'a>(
    components: impl Iterator<Item = &'a mut Object>,
    types: Types,
    change: fn(&mut Object),
) {
    components.filter(|component| types.take(component)).for_each(change);
}
