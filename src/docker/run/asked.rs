//! The container that is asked for, as its flags are read.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig};

use super::words::pair;

/// A container that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// All that the engine is told.
    pub body: ContainerCreateBody,
    /// The name that the container is given.
    pub name: Option<String>,
    /// `--platform`.
    pub platform: Option<String>,
    /// Its networks, and how it is known in each, as long as flags are read.
    pub(super) networks: Vec<(String, EndpointSettings)>,
    /// What is said of no network in particular.
    pub(super) endpoint: EndpointSettings,
}

pub(super) fn host(run: &mut Run) -> &mut HostConfig {
    run.body.host_config.get_or_insert_default()
}

#[expect(clippy::unnecessary_wraps, reason = "the table's functions end with it")]
pub(super) fn set<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    *place = Some(value);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the table's functions end with it")]
pub(super) fn push(place: &mut Option<Vec<String>>, text: &str) -> Result<(), String> {
    place.get_or_insert_default().push(text.to_owned());
    Ok(())
}

/// Adds `name=value`.
pub(super) fn insert(
    place: &mut Option<HashMap<String, String>>,
    text: &str,
) -> Result<(), String> {
    let (name, value) = pair(text)?;
    place.get_or_insert_default().insert(name, value);
    Ok(())
}
