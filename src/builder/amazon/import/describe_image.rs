//! The imported AMI gets its description; a copy has it from the beginning.

use async_trait::async_trait;
use aws_sdk_ec2::types::AttributeValue;

use crate::aws::allow::Regions;
use crate::builder::amazon::build::Build;
use crate::builder::amazon::image::MadeImage;
use crate::builder::amazon::import::options::ImportOptions;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Describes the AMI, if the template does and it is no copy.
pub(super) struct DescribeImage {
    build: Build,
    description: String,
    images: Vec<MadeImage>,
}

/// What is still to be said of an AMI.
fn description(options: &ImportOptions) -> Option<&String> {
    let said = Some(&options.ami_description).filter(|text| !text.is_empty());
    said.filter(|_| options.ami_name.is_empty())
}

impl DescribeImage {
    pub(super) fn new(build: &Build, options: &ImportOptions, images: &[MadeImage]) -> Self {
        let description = description(options).cloned().unwrap_or_default();
        Self { build: build.clone(), description, images: images.to_vec() }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(options: &ImportOptions, at: &Regions) -> Vec<Permission> {
        let modify = |_| at.on(&["image"], &["ModifyImageAttribute"]);
        description(options).map(modify).into_iter().collect()
    }
}

#[async_trait]
impl Step for DescribeImage {
    type Output = ();

    fn name(&self) -> &'static str {
        "describe the AMI"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        if self.description.is_empty() {
            return Ok(());
        }
        for image in &self.images {
            let ec2 = self.build.ec2(cx).expecting([&image.id]);
            let description = AttributeValue::builder().value(&self.description).build();
            let request = ec2.modify_image_attribute().image_id(&image.id).description(description);
            ec2.call("ModifyImageAttribute", |_| request.clone().send()).await?;
        }
        Ok(())
    }
}
