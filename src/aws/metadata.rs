//! What the metadata service of EC2 says of the instance that we run on.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use aws_config::imds::Client;
use serde::Deserialize;

use crate::env::Environment;

/// Where it says that.
const IDENTITY: &str = "/latest/dynamic/instance-identity/document";
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which instance this is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its id.
    pub instance_id: String,
    /// Its region.
    pub region: String,
}

/// Asks which instance this is.
///
/// # Errors
/// When nobody says so: then it is none.
pub async fn identity(environment: &Environment) -> anyhow::Result<Identity> {
    let mut client = Client::builder();
    if let Some(endpoint) = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        client = client.endpoint(endpoint).map_err(|error| anyhow!("{error}"))?;
    }
    let client = client.connect_timeout(PATIENCE).read_timeout(PATIENCE).max_attempts(1).build();
    let said = client.get(IDENTITY).await?;
    serde_json::from_str(said.as_ref()).context("it says no identity document")
}
