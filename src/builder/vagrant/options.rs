//! The options of `vagrant`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of the new box.
pub(super) const BOX: &str = "package.box";

/// The options of `vagrant`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The box to start from: its name, or the path or URL of a `.box` file. This or `global_id` is
    /// required.
    pub source_path: String,
    /// The id of a machine that Vagrant has already, as `vagrant global-status` says it.
    pub global_id: String,
    /// The directory for the new box, where `vagrant` works. It must not exist yet, unless `-force` is
    /// given. Default: `output-` and the build's name.
    pub output_dir: String,
    /// What Vagrant calls a box from a `.box` file, and the new one. Default: `packer_` and the build's
    /// name.
    pub box_name: String,
    /// The version of the box.
    pub box_version: String,
    /// The checksum of a `.box` file, as `iso_checksum` of `qemu` writes it.
    pub checksum: String,
    /// The provider that runs the machine: `libvirt`, `virtualbox`, …
    pub provider: String,
    /// Whether Vagrant gives the machine a key pair of its own instead of its well-known one.
    pub insert_key: bool,
    /// A Vagrantfile with `{{ .SourceBox }}`, `{{ .BoxName }}`, `{{ .SyncedFolder }}`, `{{ .InsertKey }}`
    /// and `{{ .DefaultTemplate }}`, the usual one. It must define the machine `source`.
    pub template: String,
    /// A directory of this machine that the other one has as `/vagrant`. Default: none.
    pub synced_folder: String,
    /// Does not add the box: Vagrant has it already.
    pub skip_add: bool,
    /// `--cacert` of `vagrant box add`.
    pub add_cacert: String,
    /// `--capath` of `vagrant box add`.
    pub add_capath: String,
    /// `--cert` of `vagrant box add`.
    pub add_cert: String,
    /// `--clean` of `vagrant box add`.
    pub add_clean: bool,
    /// `--force` of `vagrant box add`.
    pub add_force: bool,
    /// `--insecure` of `vagrant box add`.
    pub add_insecure: bool,
    /// Makes no new box.
    pub skip_package: bool,
    /// Files that go into the new box.
    pub package_include: Vec<String>,
    /// The Vagrantfile of the new box.
    pub output_vagrantfile: String,
    /// What becomes of the machine in the end. Default: `destroy`, with `global_id` `halt`.
    pub teardown_method: Option<Teardown>,
}

/// What becomes of a machine in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Teardown {
    /// It is shut down.
    Halt,
    /// It sleeps.
    Suspend,
    /// It is removed.
    Destroy,
}
