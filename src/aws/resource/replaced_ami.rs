//! An AMI that gives way to a new one of its name: what is remembered of it, and how it is put back.

use std::time::Duration;

use anyhow::{bail, ensure};
use async_trait::async_trait;
use aws_sdk_ec2::operation::register_image::RegisterImageOutput;
use aws_sdk_ec2::operation::register_image::builders::RegisterImageFluentBuilder;
use aws_sdk_ec2::types::{BlockDeviceMapping, DeviceType, EbsBlockDevice, Image, ResourceType};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::image::{delete_snapshot, own_by_name, snapshots};
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::{Found, deregistered};
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, read};
use crate::aws::resource::snapshot;
use crate::aws::tags::{specification, tag};
use crate::event::Ui;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::retry;

/// The deregistration of an AMI. It leaves no tags: only a journal knows of it.
pub static KIND: Kind = Kind {
    key: "replaced",
    label: "deregistration",
    order: Order::Last,
    is_product: false,
    read: read::<ReplacedAmi>,
    reap: Reap::No,
};

/// An AMI that was deregistered, as it was: enough to register it again. It is put back unless the
/// build ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedAmi {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether its snapshots go, too, when the new one is finished.
    snapshots_go: bool,
    /// Whether AWS or somebody else is paid for what is in it: only EC2 can say so of an AMI.
    is_sold: bool,
    description: Option<String>,
    architecture: Option<String>,
    virtualization: Option<String>,
    root_device: Option<String>,
    boot_mode: Option<String>,
    tpm: Option<String>,
    imds: Option<String>,
    sriov: Option<String>,
    ena: Option<bool>,
    kernel: Option<String>,
    ramdisk: Option<String>,
    disks: Vec<Disk>,
    tags: Vec<(String, String)>,
    /// The bundle in S3 that its machines start from, if their root device is an instance store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

/// A disk of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Disk {
    device: Option<String>,
    virtual_name: Option<String>,
    snapshot: Option<String>,
    size: Option<i32>,
    kind: Option<String>,
    iops: Option<i32>,
    throughput: Option<i32>,
    delete_on_termination: Option<bool>,
}

/// How long another AMI may have its name still, in looks a second apart.
const LOOKS: usize = 60;
/// How long a build that is finished waits to hear what is in the Recycle Bin.
const PATIENCE_FOR_BIN: Duration = Duration::from_secs(5);

#[async_trait]
impl Resource for ReplacedAmi {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("of {} (`{}`)", self.id, self.name)
    }

    /// It is older than the build.
    fn tokens(&self) -> Vec<&str> {
        Vec::new()
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        Ok(deregistered(&search.ec2, &self.id).await?)
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let (ec2, ui) = (&target.ec2, removal.ui);
        match target.thing.is_of_done_build() {
            true => self.clean_up_after(ec2, target.region, ui, removal.is_of_dead_run).await,
            false => self.put_back(ec2, target.thing, ui, removal.cancel).await,
        }
    }

    /// It may have to be registered again, and its snapshots may go; the latter only where the
    /// template says so.
    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeImages", "ListImagesInRecycleBin"]),
            at.everywhere(&["image"], &["RestoreImageFromRecycleBin"]),
            at.everywhere(&["image", "snapshot"], &["RegisterImage"]),
            at.tag_everywhere_with(&["image"], &["RegisterImage"]),
        ]
    }
}

impl ReplacedAmi {
    /// What is to be known of `image`.
    pub fn of(image: &Image, snapshots_go: bool) -> Self {
        let some = |text: Option<&str>| text.map(str::to_owned);
        let usage = image.usage_operation();
        let is_on_store = image.root_device_type() == Some(&DeviceType::InstanceStore);
        let tags =
            image.tags().iter().filter_map(|tag| Some((some(tag.key())?, some(tag.value())?)));
        Self {
            id: image.image_id().unwrap_or_default().to_owned(),
            name: image.name().unwrap_or_default().to_owned(),
            snapshots_go,
            is_sold: !image.product_codes().is_empty()
                || usage.is_some_and(|usage| usage != "RunInstances"),
            description: some(image.description()),
            architecture: some(image.architecture().map(|word| word.as_str())),
            virtualization: some(image.virtualization_type().map(|word| word.as_str())),
            root_device: some(image.root_device_name()),
            boot_mode: some(image.boot_mode().map(|word| word.as_str())),
            tpm: some(image.tpm_support().map(|word| word.as_str())),
            imds: some(image.imds_support().map(|word| word.as_str())),
            sriov: some(image.sriov_net_support()),
            ena: image.ena_support(),
            kernel: some(image.kernel_id()),
            ramdisk: some(image.ramdisk_id()),
            disks: image.block_device_mappings().iter().map(Disk::of).collect(),
            // Nobody else may give tags that begin so.
            tags: tags.filter(|(key, _)| !key.starts_with("aws:")).collect(),
            location: some(image.image_location().filter(|_| is_on_store)),
        }
    }

    fn snapshots(&self) -> Vec<&str> {
        self.disks.iter().filter_map(|disk| disk.snapshot.as_deref()).collect()
    }

    /// Whether `image` was registered from its bundle or its snapshots in its stead.
    fn is_followed_by(&self, image: &Image) -> bool {
        let same_disks = match &self.location {
            Some(location) => image.image_location() == Some(location),
            None => !self.snapshots().is_empty() && snapshots(image) == self.snapshots(),
        };
        same_disks && image.image_id() != Some(&self.id)
    }

    /// What it is registered from again.
    fn parts(&self) -> String {
        match &self.location {
            Some(location) => format!("bundle s3://{location}"),
            None => format!("snapshots {}", self.snapshots().join(", ")),
        }
    }

    fn request(&self, ec2: &Ec2) -> RegisterImageFluentBuilder {
        let tags: Vec<_> = self.tags.iter().map(|(key, value)| tag(key, value)).collect();
        let tags = specification(ResourceType::Image, &tags);
        ec2.register_image()
            .name(&self.name)
            .set_description(self.description.clone().filter(|text| !text.is_empty()))
            .set_architecture(self.architecture.as_deref().map(Into::into))
            .set_virtualization_type(self.virtualization.clone())
            .set_image_location(self.location.clone())
            .set_root_device_name(self.root_device.clone().filter(|_| self.location.is_none()))
            .set_boot_mode(self.boot_mode.as_deref().map(Into::into))
            .set_tpm_support(self.tpm.as_deref().map(Into::into))
            .set_imds_support(self.imds.as_deref().map(Into::into))
            .set_sriov_net_support(self.sriov.clone())
            .set_ena_support(self.ena)
            .set_kernel_id(self.kernel.clone())
            .set_ramdisk_id(self.ramdisk.clone())
            .set_block_device_mappings(Some(self.disks.iter().map(Disk::request).collect()))
            .set_tag_specifications(tags.map(|tags| vec![tags]))
    }

    /// Has it back, after it was deregistered for `thing`'s sake: as it was, out of the Recycle Bin;
    /// or registered again.
    async fn put_back(
        &self,
        ec2: &Ec2,
        thing: &Thing,
        ui: &Ui,
        cancel: &CancellationToken,
    ) -> anyhow::Result<()> {
        if self.wait_for_name(ec2, cancel).await? || self.restore_from_bin(ec2, ui).await {
            return Ok(());
        }
        ensure!(
            !self.is_sold,
            "{} (`{}`) was deregistered, and as it is paid for, only AWS can register it again, from its \
             {}",
            self.id,
            self.name,
            self.parts()
        );
        let request = self.request(ec2);
        let id = |answer: RegisterImageOutput| answer.image_id;
        let look = async || {
            let named = own_by_name(ec2, &self.name).await?.into_iter();
            Ok(named.filter(|image| self.is_followed_by(image)).find_map(|image| image.image_id))
        };
        let call = ec2.make(thing, "RegisterImage", |_| request.clone().send(), id, look);
        let id = call.await?;
        ui.say(format!(
            "Registered the old AMI `{}` again from its {}: {id} instead of {}; whom it was shared with \
             has to be told again",
            self.name,
            self.parts(),
            self.id
        ));
        Ok(())
    }

    /// Waits until nobody has its name; EC2 may still show it itself. Whether it is back already.
    async fn wait_for_name(&self, ec2: &Ec2, cancel: &CancellationToken) -> anyhow::Result<bool> {
        for _ in 0..LOOKS {
            let named = own_by_name(ec2, &self.name).await?;
            if named.is_empty() || named.iter().any(|image| self.is_followed_by(image)) {
                return Ok(!named.is_empty());
            }
            retry::sleep(cancel, Duration::from_secs(1)).await?;
        }
        bail!("{} cannot be put back: another AMI is called `{}`", self.id, self.name)
    }

    /// Restores it from the Recycle Bin, if it is in it.
    async fn restore_from_bin(&self, ec2: &Ec2, ui: &Ui) -> bool {
        let request = ec2.restore_image_from_recycle_bin().image_id(&self.id);
        match ec2.call("RestoreImageFromRecycleBin", |_| request.clone().send()).await {
            Ok(_) => {
                ui.say(format!("Restored the old AMI {} (`{}`)", self.id, self.name));
                true
            }
            Err(error) => {
                tracing::info!(%error, "{} is in no Recycle Bin", self.id);
                false
            }
        }
    }

    /// Its time is over: the new one is finished. Its snapshots go, if they should.
    /// Where only a file says what they are, those go that EC2 made for this AMI.
    async fn clean_up_after(
        &self,
        ec2: &Ec2,
        region: &str,
        ui: &Ui,
        is_of_dead_run: bool,
    ) -> anyhow::Result<()> {
        for id in self.snapshots().into_iter().filter(|_| self.snapshots_go) {
            if !snapshot::may_go(ec2, ui, id, &self.id, is_of_dead_run).await? {
                continue;
            }
            ui.say(format!("Deleting the snapshot {id} of the old AMI {}", self.id));
            delete_snapshot(ec2, id).await?;
        }
        if let Some(until) = self.kept_until(ec2).await {
            let Self { id, name, .. } = self;
            ui.say(format!(
                "The old AMI {id} is in the Recycle Bin until {until}; to have it back, deregister \
                 the new `{name}` and run: aws ec2 restore-image-from-recycle-bin --region {region} \
                 --image-id {id}"
            ));
        }
        Ok(())
    }

    /// Until when the Recycle Bin has it, if it has and says so soon.
    async fn kept_until(&self, ec2: &Ec2) -> Option<String> {
        let request = ec2.list_images_in_recycle_bin().image_ids(&self.id);
        let look = ec2.call("ListImagesInRecycleBin", |_| request.clone().send());
        let found = timeout(PATIENCE_FOR_BIN, look).await.ok()?;
        let until = found.ok()?.images().first()?.recycle_bin_exit_time()?.secs();
        jiff::Timestamp::from_second(until).ok().map(|time| time.to_string())
    }
}

impl Disk {
    fn of(mapping: &BlockDeviceMapping) -> Self {
        let some = |text: Option<&str>| text.map(str::to_owned);
        let disk = mapping.ebs();
        Self {
            device: some(mapping.device_name()),
            virtual_name: some(mapping.virtual_name()),
            snapshot: some(disk.and_then(|disk| disk.snapshot_id())),
            size: disk.and_then(|disk| disk.volume_size()),
            kind: some(disk.and_then(|disk| disk.volume_type()).map(|word| word.as_str())),
            iops: disk.and_then(|disk| disk.iops()),
            throughput: disk.and_then(|disk| disk.throughput()),
            delete_on_termination: disk.and_then(|disk| disk.delete_on_termination()),
        }
    }

    /// A snapshot says itself whether it is encrypted.
    fn request(&self) -> BlockDeviceMapping {
        let disk = EbsBlockDevice::builder()
            .set_snapshot_id(self.snapshot.clone())
            .set_volume_size(self.size)
            .set_volume_type(self.kind.as_deref().map(Into::into))
            .set_iops(self.iops)
            .set_throughput(self.throughput)
            .set_delete_on_termination(self.delete_on_termination)
            .build();
        BlockDeviceMapping::builder()
            .set_device_name(self.device.clone())
            .set_virtual_name(self.virtual_name.clone())
            .set_ebs(self.virtual_name.is_none().then_some(disk))
            .build()
    }
}
