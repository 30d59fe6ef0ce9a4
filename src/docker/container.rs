//! Containers: made, started, found, removed.

use std::time::Duration;

use anyhow::Context as _;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptions, RenameContainerOptions,
};

use super::engine::{Engine, EngineError, if_there};

/// How often the end of a removal that somebody else has begun is waited for, a second apart.
const LOOKS: usize = 300;

/// A container that is about to be made.
#[derive(Clone, Debug)]
pub struct NewContainer<'a> {
    /// The name by which it is found again.
    pub name: &'a str,
    /// `os/architecture` of the image; the engine's own if empty.
    pub platform: &'a str,
    /// All else.
    pub body: ContainerCreateBody,
}

impl Engine {
    /// Makes a container; its id.
    pub async fn create(&self, new: NewContainer<'_>) -> Result<String, EngineError> {
        let (name, platform) = (Some(new.name.to_owned()), new.platform.to_owned());
        let options = CreateContainerOptions { name, platform };
        Ok(self.patient().create_container(Some(options), new.body).await?.id)
    }

    /// Starts the container `id`.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        Ok(self.client.start_container(id, None).await?)
    }

    /// Gives the container `id` another name.
    pub async fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptions { name: name.to_owned() };
        Ok(self.client.rename_container(id, options).await?)
    }

    /// The container that has this name or id, if there is one.
    pub async fn find_container(
        &self,
        name: &str,
    ) -> Result<Option<ContainerInspectResponse>, EngineError> {
        if_there(self.client.inspect_container(name, None).await)
    }

    /// The address of the container `id` in the first of its networks that gives it one.
    pub async fn address(&self, id: &str) -> anyhow::Result<String> {
        let found = self.find_container(id).await?.context("the container is gone")?;
        let networks = found.network_settings.and_then(|settings| settings.networks);
        let addresses =
            networks.into_iter().flatten().filter_map(|(_, network)| network.ip_address);
        let mut addresses = addresses.filter(|address| !address.is_empty());
        addresses.next().context(
            "the container has no address in any network, so only `communicator = \"docker\"` \
             reaches it",
        )
    }

    /// Ends the container `id`, which the engine removes by itself then; whether it was running. To
    /// remove many files takes the engine long, and nobody needs to wait for that.
    pub async fn end_container(&self, id: &str) -> Result<bool, EngineError> {
        match self.client.kill_container(id, None).await.map_err(EngineError::from) {
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(true),
        }
    }

    /// Ends the container `id` at once, and removes it with its nameless volumes. One that is not
    /// there is no error.
    pub async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        for _ in 0..LOOKS {
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            let removed = self.patient().remove_container(id, Some(options)).await;
            match removed.map_err(EngineError::from) {
                Err(error) if error.is_not_found() => return Ok(()),
                // Somebody else is removing it.
                Err(error) if error.is_conflict() => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                removed => return removed,
            }
        }
        Err(EngineError::Late)
    }
}
