//! Where an engine listens.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::env::Environment;
use crate::peer;

/// How much a file of Docker's configuration may say.
pub(super) const LARGEST_FILE: u64 = 1024 * 1024;

/// Where Docker's engine listens if nobody says otherwise.
const USUAL: &str = "/var/run/docker.sock";

/// Where an engine listens, as `DOCKER_HOST` writes it: `unix:///var/run/docker.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Endpoint(pub(super) String);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Endpoint {
    /// The one of the socket `path`.
    pub(super) fn of_socket(path: &Path) -> Self {
        Self(format!("unix://{}", path.display()))
    }

    /// The one that Docker's own program would use: that of `DOCKER_HOST`, of the context that is
    /// chosen, or the usual one. Where there is none, Podman's.
    pub(super) fn usual(environment: &Environment) -> anyhow::Result<Self> {
        if let Some(host) = environment.get("DOCKER_HOST") {
            return Ok(Self(host.to_owned()));
        }
        if let Some(context) = chosen_context(environment)? {
            return of_context(environment, &context)
                .with_context(|| format!("cannot use Docker's context `{context}`"));
        }
        let user =
            environment.get("XDG_RUNTIME_DIR").map(|dir| format!("{dir}/podman/podman.sock"));
        let sockets = [Some(USUAL.to_owned()), user, Some("/run/podman/podman.sock".to_owned())];
        let there = sockets.into_iter().flatten().find(|path| Path::new(path).exists());
        Ok(Self::of_socket(Path::new(&there.unwrap_or_else(|| USUAL.to_owned()))))
    }
}

/// The directory of Docker's own configuration.
pub(super) fn config_dir(environment: &Environment) -> Option<PathBuf> {
    let given = environment.get("DOCKER_CONFIG").map(|dir| environment.cwd.join(dir));
    given.or_else(|| Some(environment.home()?.join(".docker")))
}

/// What the file `path` says; `None` if it is not there.
pub(super) fn read_config<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<Option<T>> {
    match peer::read_regular(path, LARGEST_FILE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let read = read.with_context(|| format!("cannot read {}", path.display()))?;
            let read = serde_json::from_slice(&read);
            read.map(Some).with_context(|| format!("cannot understand {}", path.display()))
        }
    }
}

/// What the configuration says of contexts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    current_context: String,
}

/// A context's own file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    endpoints: Endpoints,
}

#[derive(Debug, Deserialize)]
struct Endpoints {
    docker: DockerEndpoint,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEndpoint {
    host: String,
}

fn chosen_context(environment: &Environment) -> anyhow::Result<Option<String>> {
    let config = || -> anyhow::Result<Option<String>> {
        let Some(dir) = config_dir(environment) else { return Ok(None) };
        let config = read_config::<Config>(&dir.join("config.json"))?.unwrap_or_default();
        Ok(Some(config.current_context))
    };
    let chosen = match environment.get("DOCKER_CONTEXT") {
        Some(given) => Some(given.to_owned()),
        None => config()?,
    };
    Ok(chosen.filter(|name| !name.is_empty() && name != "default"))
}

fn of_context(environment: &Environment, name: &str) -> anyhow::Result<Endpoint> {
    let dir = config_dir(environment).context("nobody says where contexts are: set HOME")?;
    let id = hex::encode(Sha256::digest(name));
    let meta = read_config::<Meta>(&dir.join("contexts/meta").join(&id).join("meta.json"))?;
    let meta = meta.context("there is no such context")?;
    if dir.join("contexts/tls").join(&id).exists() {
        bail!(
            "it has certificates of its own, which are not read: set DOCKER_HOST, \
             DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH instead"
        );
    }
    Ok(Endpoint(meta.endpoints.docker.host))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    fn environment(vars: &[(&str, &str)]) -> Environment {
        let vars = vars.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Environment::new(vars.collect::<BTreeMap<_, _>>(), "/".into(), Timestamp::UNIX_EPOCH)
    }

    fn usual(vars: &[(&str, &str)]) -> String {
        match Endpoint::usual(&environment(vars)) {
            Ok(endpoint) => endpoint.0,
            Err(error) => format!("refused: {error:#}"),
        }
    }

    #[test]
    fn the_engine_is_where_dockers_own_program_would_look_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        let config = dir.path().join(".docker");
        let id = hex::encode(Sha256::digest("far"));
        let meta = config.join("contexts/meta").join(&id);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(
            meta.join("meta.json"),
            r#"{"Name": "far", "Endpoints": {"docker": {"Host": "tcp://far:2375"}}}"#,
        )
        .unwrap();
        std::fs::write(config.join("config.json"), r#"{"currentContext": "far"}"#).unwrap();
        assert_eq!(usual(&[("HOME", home)]), "tcp://far:2375");
        assert_eq!(usual(&[("HOME", home), ("DOCKER_HOST", "unix:///x")]), "unix:///x");
        assert!(usual(&[("HOME", home), ("DOCKER_CONTEXT", "default")]).starts_with("unix://"));
        let refused = "refused: cannot use Docker's context `gone`: there is no such context";
        assert_eq!(usual(&[("HOME", home), ("DOCKER_CONTEXT", "gone")]), refused);
        std::fs::create_dir_all(config.join("contexts/tls").join(&id)).unwrap();
        assert!(usual(&[("HOME", home)]).contains("set DOCKER_HOST"));
    }
}
