//! The `amazon-ami` data source: an AMI that exists.

use anyhow::bail;
use async_trait::async_trait;
use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;

use crate::aws;
use crate::aws::access::Access;
use crate::aws::search::{self, AmiFilter, Found};
use crate::component::{Check, Component, DataSource, OutputType, Outputs};
use crate::data_source::amazon::Caller;
use crate::env::Environment;
use crate::fault::Fault;
use crate::permission::Permission;

/// Looks an AMI up, as `source_ami_filter` of a builder does.
#[derive(Debug)]
pub struct AmazonAmi {
    caller: Caller,
    wanted: AmiFilter,
}

impl Component for AmazonAmi {
    const TYPE: &'static str = "amazon-ami";
    const ABOUT: &'static str = "Looks up an AMI that exists: the one that fits, or the newest.";
    const OUTPUTS: &'static [(&'static str, OutputType)] = &[
        ("creation_date", OutputType::String),
        ("id", OutputType::String),
        ("name", OutputType::String),
        ("owner", OutputType::String),
        ("owner_name", OutputType::String),
        ("tags", OutputType::Strings),
    ];
    type Options = (Access, AmiFilter);

    fn lint((_, wanted): &Self::Options, check: &mut Check<'_>) {
        wanted.lint_most_recent("", check);
    }

    fn prepare((access, wanted): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        access.check(check);
        if wanted.owners.is_empty() {
            let help = "say whose AMIs to trust, e.g. [\"099720109477\"] for Ubuntu's";
            check.missing("owners", help);
            if wanted.filters.is_empty() {
                check.missing("filters", "say which AMI is meant, e.g. by its `name`");
            }
        }
        Some(Self { caller: Caller::new(access, check), wanted })
    }
}

#[async_trait]
impl DataSource for AmazonAmi {
    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        vec![self.caller.regions(environment).look(&["DescribeImages"])]
    }

    async fn look_up(&self) -> anyhow::Result<Outputs> {
        let account = self.caller.account().await?;
        let ec2 = account.ec2(&CancellationToken::new());
        let image = match search::find(&ec2, None, Some(&self.wanted)).await? {
            Found::One(image) => image,
            Found::None => bail!("no AMI in {} matches the filters", account.region()),
            Found::Several(several) => {
                bail!("{several} AMIs match the filters: make them narrower, or set `most_recent`")
            }
        };
        let tags = image.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
        let tags: Map<_, _> = tags.map(|(key, value)| (key.to_owned(), value.into())).collect();
        let text = |text: Option<&str>| text.unwrap_or_default().into();
        Ok(Outputs::from([
            ("id", text(image.image_id())),
            ("name", text(image.name())),
            ("creation_date", text(image.creation_date())),
            ("owner", text(image.owner_id())),
            ("owner_name", text(image.image_owner_alias())),
            ("tags", Json::Object(tags).into()),
        ]))
    }
}
