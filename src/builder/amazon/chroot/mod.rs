//! The `amazon-chroot` builder: on an EC2 instance that is there already, a volume is attached, mounted
//! and provisioned in a chroot, and an AMI is registered from its snapshot.
//!
//! | file | what is there |
//! |---|---|
//! | `options` | the options |
//! | `host` | which instance this is |
//! | `make_volume`, `attach_volume` | the volume, and how it comes to the host |
//! | `local` | commands on this host |
//! | `mount`, `mounted`, `steps` | mounts and copies, also those that dead builds have left |
//! | `inside` | the connection to the system in the volume |
//! | `disks` | the disks of the AMI |
//! | `cleaner` | who cleans up after runs that died |

mod attach_volume;
mod cleaner;
mod disks;
mod host;
mod inside;
mod local;
mod make_volume;
mod mount;
mod mounted;
mod options;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use tokio::join;

use self::attach_volume::AttachVolume;
use self::cleaner::ChrootCleaner;
use self::host::{FindHost, Host};
use self::inside::ChrootConnection;
use self::local::Local;
use self::make_volume::MakeVolume;
pub use self::mount::MountCleaner;
use self::mounted::Mounted;
use self::options::ChrootOptions;
use self::steps::{CopyFiles, LeaveVolume, MountAll, RunCommands};
use super::ami_builder::AmiBuilder;
use super::ami_plan::{self, AmiPlan, Lookup};
use super::artifact::Amis;
use super::build::{Build, BuildOptions, RunTags, render_tags};
use super::check_account::CheckAccount;
use super::image::{
    self, CheckName, CheckSource, CopyImage, ImageOptions, Imaging, MadeImage, RegisterImage,
    Registration, RegistrationOptions, Root, VirtualizationType,
};
use super::machine::{EnhancedNetworking, FindSourceAmi, StepList};
use super::pairing::Pairing;
use super::snapshot_volumes::{SnapshotVolumes, WantedSnapshot};
use super::source_ami::{SourceAmi, SourceOptions};
use crate::aws::access::Access;
use crate::aws::allow::Regions;
use crate::aws::cleanup::Ec2Cleaner;
use crate::builder::provision::provision_connected;
use crate::component::{BuildContext, Check, Cleaner, CleanupContext, Component};
use crate::interpolate::Dot;
use crate::permission::Permission;
use crate::step::Steps;

/// Makes an AMI of a volume that is provisioned on this host.
#[derive(Debug)]
pub struct AmazonChroot {
    ami: AmiPlan,
    source: SourceOptions,
    own: Arc<ChrootOptions>,
    registration: RegistrationOptions,
    networking: EnhancedNetworking,
}

impl Component for AmazonChroot {
    const TYPE: &'static str = "amazon-chroot";
    const ABOUT: &'static str = "On an EC2 instance, attaches a volume to it, provisions it in a chroot, and makes an AMI of it.";
    const BUILD_DATA: &'static [&'static str] = &[
        "BuildRegion",
        "SourceAMI",
        "SourceAMIName",
        "SourceAMICreationDate",
        "SourceAMIOwner",
        "SourceAMIOwnerName",
        "Device",
        "MountPath",
    ];
    type Options = (
        Access,
        SourceOptions,
        ImageOptions,
        ChrootOptions,
        RegistrationOptions,
        EnhancedNetworking,
    );

    fn lint((_, source, image, ..): &Self::Options, check: &mut Check<'_>) {
        source.lint(check);
        image.lint_volumes(&[], check);
    }

    fn prepare(
        (access, source, image, own, registration, networking): Self::Options,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        access.check(check);
        own.check(&source, &image, check);
        registration.check(check);
        let build = BuildOptions { access, run_tags: RunTags::default() };
        let image = Arc::new(image.prepare(&build, networking.needs_hvm(), false, check));
        let (ami, own) = (AmiPlan { build: Arc::new(build), image }, Arc::new(own));
        Some(Self { ami, source, own, registration, networking })
    }
}

impl AmiBuilder for AmazonChroot {
    const BUILDER_ID: &'static str = "mitchellh.amazon.chroot";

    fn ami(&self) -> &AmiPlan {
        &self.ami
    }

    /// The volume is on this host.
    fn pairing(&self) -> Option<&Pairing> {
        None
    }

    /// The usual `/etc/resolv.conf` is about this host, and goes again.
    fn files(&self) -> Vec<PathBuf> {
        self.own.copy_files.iter().flatten().map(PathBuf::from).collect()
    }

    fn permissions_to_build(&self, at: &Regions) -> Vec<Permission> {
        let mut all = self.ami.permissions_to_begin(at);
        all.extend(FindHost::permissions(at));
        all.extend(FindSourceAmi::permissions(at));
        all.extend(MakeVolume::permissions(&self.own, at));
        all.extend(AttachVolume::permissions(at));
        all.extend(SnapshotVolumes::permissions(false, at));
        all.extend(RegisterImage::permissions(at));
        all.extend(self.ami.permissions_for_image(true, at));
        all
    }

    fn with_local_cleaner(&self, ec2: Ec2Cleaner, cx: &CleanupContext) -> Box<dyn Cleaner> {
        Box::new(ChrootCleaner { mounts: MountCleaner { cx: cx.clone() }, ec2 })
    }
}

#[async_trait]
impl StepList for AmazonChroot {
    type Made = Option<Amis>;

    fn options(&self) -> &Arc<BuildOptions> {
        &self.ami.build
    }

    /// The steps, in order. Those that do not need each other run at the same time.
    async fn bake(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: Build,
    ) -> anyhow::Result<Option<Amis>> {
        ensure!(cfg!(target_os = "linux"), "amazon-chroot works on Linux only");
        let imaging = &self.ami.imaging(&build);
        let source = self.find_source(steps, imaging);
        let looked = ami_plan::find_unchanged(cx, steps, imaging, Self::BUILDER_ID, source).await?;
        let known = match looked {
            Lookup::Unchanged(unchanged) => return Ok(unchanged),
            Lookup::Source(source) => source,
        };
        let (source, host) = self.look_around(steps, imaging, known).await?;
        let volume = self.fill(cx, steps, &build, (&source, &host)).await?;
        let image = self.register(cx, steps, imaging, (&source, &host), volume).await?;
        let images = steps.run(CopyImage::new(imaging, &source, image)).await?;
        let made = (&source, host.id.as_str());
        ami_plan::hand_over(cx, steps, imaging, Self::BUILDER_ID, made, images).await
    }
}

impl AmazonChroot {
    /// Looks, before anything is made, at all that could stand against it; `known` is the source AMI if
    /// that was found already.
    async fn look_around(
        &self,
        steps: &Steps<'_>,
        imaging: &Imaging,
        known: Option<SourceAmi>,
    ) -> anyhow::Result<(SourceAmi, Host)> {
        let source = async {
            match known {
                Some(source) => Ok(source),
                None => self.find_source(steps, imaging).await,
            }
        };
        let regions = imaging.settings.copies.regions_to_check();
        let (account, name, host, source) = join!(
            steps.run(CheckAccount::new(&imaging.build, regions)),
            steps.run(CheckName::new(imaging, None)),
            steps.run(FindHost::new(&imaging.build)),
            source,
        );
        account?;
        name?;
        Ok((source?, host?))
    }

    async fn find_source(&self, steps: &Steps<'_>, imaging: &Imaging) -> anyhow::Result<SourceAmi> {
        let source = match self.own.from_scratch {
            true => SourceAmi::none(imaging.build.account.region()),
            false => {
                let needs_hvm = self.networking.needs_hvm();
                steps
                    .run(FindSourceAmi::new(&imaging.build, &self.source, needs_hvm, false))
                    .await?
            }
        };
        steps.run(CheckSource::new(imaging, &source, false)).await?;
        Ok(source)
    }

    /// How the AMI is virtualized.
    fn virtualization(&self, source: &SourceAmi) -> VirtualizationType {
        let own = self.ami.image.ami.ami_virtualization_type;
        own.unwrap_or_else(|| VirtualizationType::of(source.virtualization()))
    }

    /// Makes the volume, provisions it, and takes it off the host again: its id.
    async fn fill(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: &Build,
        (source, host): (&SourceAmi, &Host),
    ) -> anyhow::Result<String> {
        let volume = steps.run(MakeVolume::new(build, &self.own, source, host)).await?;
        let device = steps.run(AttachVolume::new(build, &self.own, host, &volume)).await?;
        let device = match self.own.nvme_device_path.as_str() {
            "" => device,
            given => given.to_owned(),
        };
        let mounted = self.mount(cx, steps, source, &device).await?;
        let files = self.own.copied();
        steps.run(CopyFiles { mounted: mounted.clone(), files }).await?;
        let (root, cancel) = (mounted.path.display().to_string(), cx.cancel.clone());
        let mut data = source.build_data(&host.id);
        data.extend([("Device".to_owned(), device.into()), ("MountPath".to_owned(), root.into())]);
        let inside = ChrootConnection { mounted: mounted.clone(), cancel };
        provision_connected(steps, Arc::new(inside), data).await?;
        let (build, id) = (build.clone(), volume.clone());
        steps.run(LeaveVolume { build, mounted, volume: id }).await?;
        Ok(volume)
    }

    /// Mounts the volume, which is on `device`, and what is to be in it.
    async fn mount(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        source: &SourceAmi,
        device: &str,
    ) -> anyhow::Result<Arc<Mounted>> {
        let local = Local { facts: cx.facts.clone(), wrapper: self.own.command_wrapper.clone() };
        let scope = &cx.facts.scope;
        let of_device: Dot = [("Device".to_owned(), device.into())].into_iter().collect();
        let before = self.own.pre_mount_commands.iter().map(|one| one.render(scope, &of_device));
        let before =
            before.collect::<Result<_, _>>().context("cannot render `pre_mount_commands`")?;
        let (name, commands) = ("run the commands before mounting", before);
        steps.run(RunCommands { local: local.clone(), commands, name }).await?;

        let base = Path::new(device).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named: Dot = [("Device".to_owned(), base.into())].into_iter().collect();
        let path =
            self.own.mount_path.render(scope, &named).context("cannot render `mount_path`")?;
        let path: PathBuf = scope.environment.cwd.join(path);
        let mounted = Arc::new(Mounted::new(local.clone(), path.clone()));
        let partition = self.own.partition(device, self.virtualization(source));
        let options = &self.own.mount_options;
        steps.run(MountAll::of_volume(&mounted, &partition, options)?).await?;

        let path = path.display().to_string();
        let of_mount =
            [("Device".to_owned(), device.into()), ("MountPath".to_owned(), path.into())];
        let of_mount: Dot = of_mount.into_iter().collect();
        let after = self.own.post_mount_commands.iter().map(|one| one.render(scope, &of_mount));
        let after =
            after.collect::<Result<_, _>>().context("cannot render `post_mount_commands`")?;
        let (name, commands) = ("run the commands after mounting", after);
        steps.run(RunCommands { local, commands, name }).await?;
        steps.run(MountAll::into_volume(&mounted, &self.own.chroot_mounts)?).await?;
        Ok(mounted)
    }

    /// Makes the AMI of the volume's snapshot.
    async fn register(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        imaging: &Imaging,
        (source, host): (&SourceAmi, &Host),
        volume: String,
    ) -> anyhow::Result<MadeImage> {
        let ami = &self.ami.image.ami;
        let wanted = WantedSnapshot {
            volume,
            device: "root".to_owned(),
            description: String::new(),
            tags: render_tags(cx, source, "snapshot_tags", &ami.snapshot_tags, &ami.snapshot_tag)?,
            users: Vec::new(),
            groups: Vec::new(),
        };
        let is_intermediary = imaging.settings.copies.is_intermediary();
        let snapshots = SnapshotVolumes::new(&imaging.build, vec![wanted], is_intermediary);
        let snapshots = steps.run(snapshots).await?;
        let snapshot = snapshots.into_iter().next().context("there is no snapshot")?.id;
        let registration = self.registration(source, host, snapshot);
        let register = |naming| RegisterImage::new(imaging, source, &registration, naming);
        image::make(steps, imaging, register).await
    }

    /// What the AMI is registered as.
    fn registration(&self, source: &SourceAmi, host: &Host, snapshot: String) -> Registration {
        let (image, options) = (source.image(), self.registration.clone());
        let own = options.ami_architecture.unwrap_or_default().as_str();
        let architecture = image.architecture().map_or(own, |known| known.as_str()).to_owned();
        let virtualization = self.virtualization(source);
        let has_kernel = virtualization == VirtualizationType::Paravirtual;
        let kernel = |id: Option<&str>| id.filter(|_| has_kernel).map(str::to_owned);
        let mapped = &self.ami.image.disks.ami_block_device_mappings;
        let (root_device, disks) = match mapped.is_empty() {
            false => disks::mapped(&self.own, mapped, &snapshot),
            true => disks::like_source(&self.own, source, &snapshot),
        };
        Registration {
            instance: host.id.clone(),
            snapshots: vec![snapshot],
            disks,
            root: Root::Device(root_device),
            virtualization: Some(virtualization),
            architecture: Some(architecture),
            kernel: kernel(image.kernel_id()),
            ramdisk: kernel(image.ramdisk_id()),
            options,
            networking: self.networking.clone(),
        }
    }
}
