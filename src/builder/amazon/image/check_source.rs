//! Before anything is made: can the AMI be made from the source AMI?

use anyhow::ensure;
use async_trait::async_trait;

use crate::builder::amazon::build::render_tags;
use crate::builder::amazon::image::new_ami::description;
use crate::builder::amazon::image::settings::Imaging;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::step::Step;

/// Refuses a source AMI that this one cannot be made from.
pub(crate) struct CheckSource {
    imaging: Imaging,
    source: SourceAmi,
    is_like_source: bool,
}

impl CheckSource {
    /// `is_like_source`: the AMI takes over how `source` is virtualized.
    pub(crate) fn new(imaging: &Imaging, source: &SourceAmi, is_like_source: bool) -> Self {
        Self { imaging: imaging.clone(), source: source.clone(), is_like_source }
    }
}

#[async_trait]
impl Step for CheckSource {
    type Output = ();

    fn name(&self) -> &'static str {
        "check the source AMI"
    }

    /// What is missing for the texts of the image should not be found out when all is baked.
    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let (source, ami) = (&self.source, &self.imaging.settings.ami);
        if let Some(wanted) = ami.ami_virtualization_type.filter(|_| self.is_like_source) {
            let (id, kind, wanted) = (source.id(), source.virtualization(), wanted.as_str());
            ensure!(kind == wanted, "{id} is {kind}, but `ami_virtualization_type` is {wanted}");
        }
        render_tags(cx, source, "tags", &ami.tags, &ami.tag)?;
        render_tags(cx, source, "snapshot_tags", &ami.snapshot_tags, &ami.snapshot_tag)?;
        description(cx, &self.imaging, source).map(drop)
    }
}
