//! Where an engine listens.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
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
            let found = Context::read(environment, &context);
            let found = found.with_context(|| format!("cannot use Docker's context `{context}`"));
            return Ok(Self(found?.host));
        }
        let user =
            environment.get("XDG_RUNTIME_DIR").map(|dir| format!("{dir}/podman/podman.sock"));
        let sockets = [Some(USUAL.to_owned()), user, Some("/run/podman/podman.sock".to_owned())];
        let there = sockets.into_iter().flatten().find(|path| Path::new(path).exists());
        Ok(Self::of_socket(Path::new(&there.unwrap_or_else(|| USUAL.to_owned()))))
    }
}

/// Where the certificates are for the engine at `endpoint`, if it is that of the chosen context and the
/// context has any.
pub(super) fn certificates(endpoint: &Endpoint, environment: &Environment) -> Option<PathBuf> {
    let is_context = environment.get("DOCKER_HOST").is_none();
    let chosen = chosen_context(environment).ok().flatten().filter(|_| is_context)?;
    let context = Context::read(environment, &chosen).ok()?;
    context.certificates.filter(|_| context.host == endpoint.0)
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
    #[serde(default, rename = "SkipTLSVerify")]
    skip_verify: bool,
}

/// A context of Docker's own program.
struct Context {
    host: String,
    /// Where its certificates are, if it has any.
    certificates: Option<PathBuf>,
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

impl Context {
    /// The one called `name`.
    fn read(environment: &Environment, name: &str) -> anyhow::Result<Self> {
        let dir = config_dir(environment).context("nobody says where contexts are: set HOME")?;
        let id = hex::encode(Sha256::digest(name));
        let meta = read_config::<Meta>(&dir.join("contexts/meta").join(&id).join("meta.json"))?;
        let DockerEndpoint { host, skip_verify } =
            meta.context("there is no such context")?.endpoints.docker;
        ensure!(
            !skip_verify,
            "it skips the check of its engine's certificate (`skip-tls-verify`), which imgbake does not: \
             give it the authority, `docker context update --docker host=…,ca=…`"
        );
        let certificates = Some(dir.join("contexts/tls").join(&id).join("docker"));
        Ok(Self { host, certificates: certificates.filter(|dir| dir.exists()) })
    }
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
        let far = Endpoint("tcp://far:2375".to_owned());
        let certificates = |vars: &[_]| certificates(&far, &environment(vars));
        assert_eq!(certificates(&[("HOME", home)]), None);
        let tls = config.join("contexts/tls").join(&id).join("docker");
        std::fs::create_dir_all(&tls).unwrap();
        assert_eq!(certificates(&[("HOME", home)]), Some(tls));
        assert_eq!(certificates(&[("HOME", home), ("DOCKER_HOST", "tcp://far:2375")]), None);
        let unchecked =
            r#"{"Endpoints": {"docker": {"Host": "tcp://far:1", "SkipTLSVerify": true}}}"#;
        std::fs::write(meta.join("meta.json"), unchecked).unwrap();
        assert!(usual(&[("HOME", home)]).contains("which imgbake does not: give it the authority"));
    }
}
