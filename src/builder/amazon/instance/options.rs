//! How a machine bundles its root volume, and where that goes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::image::TpmSupport;
use crate::builder::amazon::instance::certificate::Certificate;
use crate::component::Check;
use crate::config::{Late, late_fields};
use crate::diagnostic::code;

late_fields! {
    /// The fields of `bundle_vol_command`.
    pub VolumeFields =
        ["AccountId", "Architecture", "CertPath", "Destination", "KeyPath", "Prefix", "PrivatePath"];
}

late_fields! {
    /// The fields of `bundle_upload_command`.
    pub UploadFields = [
        "AccessKey", "BucketName", "BundleDirectory", "ManifestPath", "Region", "SecretKey", "Token"
    ];
}

/// How the machine becomes a bundle in S3. It needs Amazon's AMI tools (`ec2-bundle-vol`).
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InstanceOptions {
    /// The number of the AWS account, which the bundle is signed for. Hyphens may be in it. Required.
    pub account_id: String,
    /// The bucket that the bundle goes to. Required.
    pub s3_bucket: String,
    /// A certificate (X.509) of the account, in a file of this machine. Required.
    pub x509_cert_path: Option<PathBuf>,
    /// Its private key, in a file of this machine. Required. It is on the machine until the volume is
    /// bundled.
    pub x509_key_path: Option<PathBuf>,
    /// The directory of the machine that both are uploaded to, as `cert.pem` and `key.pem`. They are not
    /// bundled.
    #[default("/tmp".to_owned())]
    pub x509_upload_path: String,
    /// The directory of the machine for the bundle. It must be there.
    #[default("/tmp".to_owned())]
    pub bundle_destination: String,
    /// What the names of the bundle's files begin with. If not given, `image-` and an id that begins with
    /// the time of the build: two builds of a run have different ones. (Packer's default is the time
    /// alone.) One that is given must not be in the bucket yet, unless `force_deregister`.
    pub bundle_prefix: String,
    /// The command that bundles the volume; `{{.AccountId}}`, `{{.Architecture}}`, `{{.CertPath}}`,
    /// `{{.Destination}}`, `{{.KeyPath}}`, `{{.Prefix}}` and `{{.PrivatePath}}` are filled in. If not
    /// given, `ec2-bundle-vol` as root. What it says instead must keep the key out of the bundle.
    pub bundle_vol_command: Option<Late<VolumeFields>>,
    /// The command that uploads the bundle; `{{.AccessKey}}`, `{{.BucketName}}`, `{{.BundleDirectory}}`,
    /// `{{.ManifestPath}}`, `{{.Region}}`, `{{.SecretKey}}` and `{{.Token}}` are filled in. If not given,
    /// `ec2-upload-bundle` as root, with the keys of the build, unless the machine has a profile of its
    /// own (`iam_instance_profile`).
    pub bundle_upload_command: Option<Late<UploadFields>>,
    /// Disks of the machine that differ from those of the source AMI.
    pub launch_block_device_mappings: Vec<BlockDevice>,
    /// `v2.0`: machines of the AMI have a NitroTPM.
    pub tpm_support: Option<TpmSupport>,
}

impl InstanceOptions {
    /// Reports what is wrong; the files that sign the bundle, if they are given.
    pub(super) fn check(&self, check: &mut Check<'_>) -> Option<Certificate> {
        if self.account_id.is_empty() {
            check.missing("account_id", "say which account the bundle is signed for");
        } else if self.account().len() != 12 || !self.account().bytes().all(|c| c.is_ascii_digit())
        {
            check.error("account_id", "the number of an account has 12 digits");
        }
        if self.s3_bucket.is_empty() {
            check.missing("s3_bucket", "say which bucket the bundle goes to");
        }
        let cert = given_file("x509_cert_path", self.x509_cert_path.as_ref(), check);
        let key = given_file("x509_key_path", self.x509_key_path.as_ref(), check);
        if self.bundle_prefix.contains('/') {
            check.error("bundle_prefix", "it begins the names of files, which have no `/`");
        }
        let devices = self.launch_block_device_mappings.iter();
        devices.for_each(|device| device.check("launch_block_device_mappings", check));
        if check.is_given("disable_stop_instance") {
            let text =
                "`disable_stop_instance` has no effect: the machine is bundled while it runs";
            check.warn(code::OPTION_VALUE, "disable_stop_instance", text);
        }
        let directory = self.x509_upload_path.clone();
        Some(Certificate { cert: cert?, key: key?, directory })
    }

    /// The number of the account, digits only.
    pub fn account(&self) -> String {
        self.account_id.replace('-', "")
    }

    /// The command that bundles the volume.
    pub fn volume_command(&self) -> Late<VolumeFields> {
        // Packer leaves out `{{.PrivatePath}}/*`. The shell makes several words of that, of which only the
        // first is heard: the key would be in the image.
        let usual = "sudo -i -n ec2-bundle-vol -k {{.KeyPath}} -u {{.AccountId}} -c {{.CertPath}} \
                     -r {{.Architecture}} -e {{.CertPath}},{{.KeyPath}} -d {{.Destination}} \
                     -p {{.Prefix}} --batch --no-filter";
        self.bundle_vol_command.clone().unwrap_or_else(|| Late::new(usual))
    }

    /// The command that uploads the bundle, with the keys of the build if it `needs_keys`, and with their
    /// token if they have one.
    pub fn upload_command(&self, needs_keys: bool, has_token: bool) -> Late<UploadFields> {
        let keys = match (needs_keys, has_token) {
            (false, _) => "",
            (true, false) => "-a {{.AccessKey}} -s {{.SecretKey}} ",
            (true, true) => "-a {{.AccessKey}} -s {{.SecretKey}} -t {{.Token}} ",
        };
        let usual = format!(
            "sudo -i -n ec2-upload-bundle -b {{{{.BucketName}}}} -m {{{{.ManifestPath}}}} {keys}\
             -d {{{{.BundleDirectory}}}} --batch --region {{{{.Region}}}} --retry"
        );
        self.bundle_upload_command.clone().unwrap_or_else(|| Late::new(usual))
    }
}

/// The file `path`, the value of `option`; reports if there is none.
fn given_file(option: &str, path: Option<&PathBuf>, check: &mut Check<'_>) -> Option<PathBuf> {
    let Some(path) = path else {
        check.missing(option, "name the file of this machine");
        return None;
    };
    check.must_be_file(option, path);
    Some(path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_gets_keys_only_where_it_has_none_of_its_own() {
        let own = InstanceOptions::default();
        let command = |needs_keys, has_token| own.upload_command(needs_keys, has_token);
        assert_eq!(
            command(false, true).raw(),
            "sudo -i -n ec2-upload-bundle -b {{.BucketName}} -m {{.ManifestPath}} \
             -d {{.BundleDirectory}} --batch --region {{.Region}} --retry"
        );
        assert!(command(true, false).raw().contains(" -a {{.AccessKey}} -s {{.SecretKey}} -d "));
        assert!(command(true, true).raw().contains(" -t {{.Token}} -d "));
    }
}
