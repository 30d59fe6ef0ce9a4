//! A machine that is started from the finished image, so that the image is tested before anybody else
//! sees it. It writes to overlays: the image stays as it is.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::json;

use super::image_test_rows::UnderTest;
use super::launch::after;
use super::options::{Accelerator, Disks, Firmware, Format};
use super::parts::Parts;
use super::{Qemu, firmware};
use crate::builder::provision;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::interpolate::BuildData;
use crate::scratch::{self, Scratch};
use crate::step::{Ending, Slot, Step, Steps};
use crate::vm::disk::QemuImg;
use crate::whole_file::beside;

impl Qemu {
    /// Has the finished `disks` tested, the main one first; their form is `format`.
    pub(super) async fn test_disks(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        accelerator: Accelerator,
        (disks, format): (&[PathBuf], &'static str),
    ) -> anyhow::Result<()> {
        let steps = steps.within();
        let work = async {
            cx.ui
                .say("Testing the image: a machine is started from it, which writes to an overlay");
            let directory = steps.run(ScratchDirectory::default()).await?;
            let tested = self.of_image(&directory, disks);
            let of: Vec<_> = disks.iter().cloned().zip(tested.disk_paths()).collect();
            let overlays = of.iter().map(|(_, overlay)| overlay.clone()).collect();
            steps.run(MakeOverlays { of, format }).await?;
            self.try_machine(cx, &steps, accelerator, &tested, overlays).await?;
            cx.ui.say("The image has passed");
            Ok(())
        };
        steps.finish(work).await
    }

    async fn try_machine(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        accelerator: Accelerator,
        tested: &Self,
        disks: Vec<PathBuf>,
    ) -> anyhow::Result<()> {
        let surroundings = tested.surroundings(cx, steps, None).await?;
        let parts = Parts {
            disks,
            tpm: tested.start_tpm(steps).await?,
            floppy: tested.make_floppy(&surroundings, cx, steps).await?,
            cds: tested.own_cd(&surroundings, cx, steps).await?,
            uefi: tested.prepare_efi(steps).await?,
        };
        let launched = tested.launch(cx, steps, accelerator, &parts, &surroundings).await?;
        // Pictures stay beside those of the build.
        let beside = beside(&self.directory, ".test");
        let watch = self.show(cx, steps, &launched.machine, &beside).await?.watch;
        let target = tested.target(steps, &launched, &surroundings).await?;
        let data = BuildData::from([("ID".to_owned(), json!(self.name))]);
        let gone = launched.machine.gone();
        let connected = || watch.connected();
        let tested = provision::test(steps, &tested.connector, target, data, gone, connected).await;
        tested.map_err(|error| after(error, launched.machine.has_ended()))
    }

    /// A machine like this one with its files in `directory`, which starts from an image that is there:
    /// without an installer, and without anything that is typed.
    fn of_image(&self, directory: &Path, disks: &[PathBuf]) -> Self {
        let variables = disks.first().map(|main| main.with_file_name(firmware::VARIABLES));
        let variables = variables.filter(|path| path.exists());
        let mut tested = Self {
            disks: Disks { disk_image: true, format: Format::Qcow2, ..self.disks.clone() },
            firmware: Firmware {
                efi_firmware_vars: variables.or(self.firmware.efi_firmware_vars.clone()),
                ..self.firmware.clone()
            },
            boot: None,
            directory: directory.to_owned(),
            ..self.clone()
        };
        tested.under_test = Some(UnderTest {
            output: self.directory.clone(),
            directory: directory.to_owned(),
            disks: tested.disk_paths(),
            was_installed: self.installs(),
        });
        tested
    }
}

/// A directory for the files of a machine that is thrown away. One of a killed run goes with the next
/// one, or `imgbake cleanup` removes it.
#[derive(Default)]
struct ScratchDirectory(Slot<Scratch>);

#[async_trait]
impl Step for ScratchDirectory {
    type Output = PathBuf;

    fn name(&self) -> &'static str {
        "make a directory for the test"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<PathBuf> {
        let parent = scratch::parent(&cx.facts.scope.environment);
        let parent = parent.context(
            "there is no place for the overlay of a machine: set HOME or XDG_STATE_HOME",
        )?;
        scratch::remove_dead(&parent);
        let made = Scratch::new(&parent, "test");
        let made = made.with_context(|| format!("cannot make {}", parent.display()))?;
        let path = made.path().to_owned();
        self.0.keep(made);
        Ok(path)
    }

    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        drop(self.0.take());
        Ok(())
    }
}

/// Makes a disk over each of the image's, for all that the machine writes.
struct MakeOverlays {
    /// The disks, each with its overlay.
    of: Vec<(PathBuf, PathBuf)>,
    format: &'static str,
}

#[async_trait]
impl Step for MakeOverlays {
    type Output = ();

    fn name(&self) -> &'static str {
        "make overlays"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let qemu_img = QemuImg::new(&cx.cancel);
        for (disk, overlay) in &self.of {
            qemu_img.overlay(overlay, (disk, self.format), &[]).await?;
        }
        Ok(())
    }
}
