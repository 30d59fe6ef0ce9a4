//! Parameters of Systems Manager that name an AMI.

use std::time::Duration;

use anyhow::bail;
use aws_sdk_ssm::types::{ParameterHistory, ParameterType};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::aws::call::{Ssm, all_pages};
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::event::Ui;
use crate::retry;

/// A version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: i64,
    /// The AMI.
    pub value: String,
    /// When it was written.
    pub at: Option<Timestamp>,
    /// Who wrote it: an ARN.
    pub by: String,
    /// What was said of it.
    pub description: String,
}

/// The type of the values: Systems Manager takes only an AMI that is there.
const AMI: &str = "aws:ec2:image";
/// How long it may take to see that the AMI is there, in looks a second apart.
const LOOKS: usize = 60;

/// All versions that Systems Manager remembers of the parameter `name`, the oldest first; none if
/// there is no such parameter.
pub async fn history(ssm: &Ssm, name: &str) -> Result<Vec<Version>, ApiError> {
    let pages = all_pages(|token| async {
        let request = ssm.get_parameter_history().name(name).max_results(50);
        let request = request.set_next_token(token);
        let page = ssm.call("GetParameterHistory", |_| request.clone().send()).await?;
        Ok((page.parameters.unwrap_or_default(), page.next_token))
    });
    match pages.await {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(found) => {
            let mut found: Vec<Version> = found.into_iter().map(Version::from).collect();
            found.sort_by_key(|version| version.number);
            Ok(found)
        }
    }
}

/// The names and values of all parameters below `path`.
pub async fn below(ssm: &Ssm, path: &str) -> Result<Vec<(String, String)>, ApiError> {
    let pages = all_pages(|token| async {
        let request = ssm.get_parameters_by_path().path(path).recursive(true).max_results(10);
        let request = request.set_next_token(token);
        let page = ssm.call("GetParametersByPath", |_| request.clone().send()).await?;
        Ok((page.parameters.unwrap_or_default(), page.next_token))
    });
    let found = pages.await?.into_iter();
    Ok(found.filter_map(|one| Some((one.name?, one.value?))).collect())
}

/// Has the parameter `name` say `ami` from now on.
pub async fn set(
    ssm: &Ssm,
    name: &str,
    ami: &str,
    description: &str,
    ui: &Ui,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let request = ssm.put_parameter().name(name).value(ami).r#type(ParameterType::String);
    let request = request.data_type(AMI).description(description).overwrite(true);
    ssm.call("PutParameter", |_| request.clone().send()).await?;
    // It is taken first, and looked at then.
    let shown = async {
        for _ in 0..LOOKS {
            let last = history(ssm, name).await?.pop();
            let is_it = |last: Version| last.value == ami && last.description == description;
            if last.is_some_and(is_it) {
                return Ok(());
            }
            retry::sleep(cancel, Duration::from_secs(1)).await?;
        }
        bail!(
            "Systems Manager has taken {ami} for `{name}`, but does not say it: is the AMI there?"
        )
    };
    retry::told(shown, || ui.say(format!("Waiting until Systems Manager says {ami} for `{name}`")))
        .await
}

/// Removes the parameter `name`; it is no error if it is gone already.
pub async fn remove(ssm: &Ssm, name: &str) -> Result<(), ApiError> {
    ssm.remove("DeleteParameter", |ssm| ssm.delete_parameter().name(name).send()).await
}

impl From<ParameterHistory> for Version {
    fn from(found: ParameterHistory) -> Self {
        Self {
            number: found.version,
            at: proof::time(found.last_modified_date()),
            value: found.value.unwrap_or_default(),
            by: found.last_modified_user.unwrap_or_default(),
            description: found.description.unwrap_or_default(),
        }
    }
}
