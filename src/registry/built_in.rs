//! The components that are built in. Provisioners and connectors, each of one room only, their room lists.

use super::Kind;
use crate::boot_test;
use crate::builder;
use crate::communicator::{self, Connector};
use crate::component::{Builder, Component, DataSource, Descriptor, PostProcessor, Provisioner};
use crate::data_source;
use crate::post_processor;
use crate::provisioner;

pub(super) fn builders() -> Kind<dyn Builder> {
    Kind::new("builder", BUILDERS_OF_PLUGINS).with([
        #[cfg(feature = "aws")]
        builder::<builder::amazon::AmazonChroot>(),
        #[cfg(feature = "aws")]
        builder::<builder::amazon::AmazonEbs>(),
        #[cfg(feature = "aws")]
        builder::<builder::amazon::AmazonEbsSurrogate>(),
        #[cfg(feature = "aws")]
        builder::<builder::amazon::AmazonEbsVolume>(),
        #[cfg(feature = "aws")]
        builder::<builder::amazon::AmazonInstance>(),
        #[cfg(feature = "docker")]
        builder::<builder::docker::Docker>(),
        builder::<builder::file::File>(),
        builder::<builder::null::Null>(),
        builder::<builder::qemu::Qemu>(),
        builder::<builder::vagrant::Vagrant>(),
    ])
}

pub(super) fn provisioners() -> Kind<dyn Provisioner> {
    Kind::new("provisioner", PROVISIONERS_OF_PLUGINS).with(provisioner::built_in())
}

pub(super) fn connectors() -> Kind<dyn Connector> {
    Kind::new("communicator", communicator::NOT_BUILT).with(communicator::built_in())
}

pub(super) fn post_processors() -> Kind<dyn PostProcessor> {
    Kind::new("post-processor", POST_PROCESSORS_OF_PLUGINS).with([
        #[cfg(feature = "aws")]
        post_processor::<builder::amazon::AmazonImport>(),
        post_processor::<post_processor::artifice::Artifice>(),
        post_processor::<boot_test::BootTest>(),
        post_processor::<post_processor::checksum::Checksum>(),
        post_processor::<post_processor::compress::Compress>(),
        #[cfg(feature = "docker")]
        post_processor::<post_processor::docker::import::Import>(),
        #[cfg(feature = "docker")]
        post_processor::<post_processor::docker::push::Push>(),
        #[cfg(feature = "docker")]
        post_processor::<post_processor::docker::save::Save>(),
        #[cfg(feature = "docker")]
        post_processor::<post_processor::docker::tag::Tag>(),
        post_processor::<post_processor::manifest::ManifestFile>(),
        post_processor::<post_processor::provenance::Provenance>(),
        post_processor::<post_processor::shell_local::ShellLocal>(),
        post_processor::<post_processor::vagrant::Vagrant>(),
        post_processor::<post_processor::vagrant_cloud::VagrantCloud>(),
        post_processor::<post_processor::vagrant_registry::VagrantRegistry>(),
    ])
}

pub(super) fn data_sources() -> Kind<dyn DataSource> {
    Kind::new("data source", DATA_SOURCES_NOT_BUILT).with([
        #[cfg(feature = "aws")]
        data_source::<data_source::amazon_ami::AmazonAmi>(),
        #[cfg(feature = "aws")]
        data_source::<data_source::amazon_parameterstore::AmazonParameterstore>(),
        #[cfg(feature = "aws")]
        data_source::<data_source::amazon_secretsmanager::AmazonSecretsmanager>(),
        data_source::<data_source::http::Http>(),
        data_source::<data_source::null::Null>(),
    ])
}

fn builder<C: Component + Builder + 'static>() -> Descriptor<dyn Builder> {
    Descriptor::of::<C>(|component| Box::new(component))
}

fn post_processor<C: Component + PostProcessor + 'static>() -> Descriptor<dyn PostProcessor> {
    Descriptor::of::<C>(|component| Box::new(component))
}

fn data_source<C: Component + DataSource + 'static>() -> Descriptor<dyn DataSource> {
    Descriptor::of::<C>(|component| Box::new(component))
}

// Components of Packer's plugins that templates are likely to name: for suggestions, and for those who
// upgrade a template.

const BUILDERS_OF_PLUGINS: &[&str] = &[
    "azure-arm",
    "azure-chroot",
    "azure-dtl",
    "googlecompute",
    "hyperv-iso",
    "hyperv-vmcx",
    "lxc",
    "lxd",
    "openstack",
    "parallels-iso",
    "parallels-pvm",
    "proxmox-clone",
    "proxmox-iso",
    "virtualbox-iso",
    "virtualbox-ovf",
    "virtualbox-vm",
    "vmware-iso",
    "vmware-vmx",
    "vsphere-clone",
    "vsphere-iso",
];

const PROVISIONERS_OF_PLUGINS: &[&str] = &["converge", "windows-update"];

const POST_PROCESSORS_OF_PLUGINS: &[&str] =
    &["googlecompute-export", "googlecompute-import", "vsphere", "vsphere-template"];

/// They are Packer's own.
const DATA_SOURCES_NOT_BUILT: &[&str] =
    &["hcp-packer-artifact", "hcp-packer-image", "hcp-packer-iteration", "hcp-packer-version"];
