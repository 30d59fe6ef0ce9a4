//! What a template may ask of an image, but its author rarely wants.

use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::image::settings::ImageOptions;
use crate::component::Check;
use crate::diagnostic::code;

/// A device that the options map, and its place among them.
type Mapped<'a> = (String, &'a BlockDevice);

impl ImageOptions {
    /// Warns of volumes that are not encrypted, unless the image is encrypted as a whole, or cannot be
    /// (a public one). Its machine has the devices `launched`.
    pub(crate) fn lint_volumes(&self, launched: &[BlockDevice], check: &mut Check<'_>) {
        let is_public = self.sharing.is_public();
        if is_public || self.copies.encrypt_boot == Some(true) {
            return;
        }
        let mut devices = mapped("launch_block_device_mappings", launched);
        let own = &self.disks.ami_block_device_mappings;
        devices.extend(mapped("ami_block_device_mappings", own));
        if !devices.iter().any(|(_, device)| device.encrypted == Some(true)) {
            return report("", "no volume is `encrypted`", check);
        }
        for (option, _) in devices.iter().filter(|(_, device)| is_open(device)) {
            report(option, "not `encrypted`", check);
        }
    }
}

fn mapped<'a>(option: &str, devices: &'a [BlockDevice]) -> Vec<Mapped<'a>> {
    let place = |(at, device)| (format!("{option}.{at}"), device);
    devices.iter().enumerate().map(place).collect()
}

/// Whether it is a volume of its own that is not encrypted.
fn is_open(device: &BlockDevice) -> bool {
    let is_no_volume =
        device.no_device || !device.virtual_name.is_empty() || !device.snapshot_id.is_empty();
    device.encrypted != Some(true) && !is_no_volume
}

fn report(option: &str, cause: &str, check: &mut Check<'_>) {
    let summary = "the volumes of the image are not encrypted";
    let found = check.warn(code::UNENCRYPTED_VOLUME, option, summary);
    found.cause = Some(cause.to_owned());
    found.notes.push("unless the account encrypts all new volumes by default".to_owned());
    found.help = Some(
        "map each device, the root device among them, in `launch_block_device_mappings` with \
         `encrypted = true`"
            .to_owned(),
    );
}
