//! Who logs in to a registry: as the template says, or as Docker's own configuration does.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::endpoint::{config_dir, read_config};
use super::login::{Login, host_of};
use super::name::HUB;
use crate::env::Environment;
use crate::guest::harmless;
use crate::peer::Allowance;
use crate::secret::{Redactor, Secret};

/// How Docker's configuration calls Docker Hub.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What a credential helper may answer.
const ANSWER: Allowance =
    Allowance::new("the credential helper's answer", 64 * 1024, Duration::from_secs(60));

/// The user that a helper names where its secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Who logs in to one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    server: String,
    user: String,
    password: Secret,
    /// A token of the registry's own, instead of both.
    identity: Secret,
}

impl Credentials {
    /// Those of a user of the registry `server`.
    pub fn of_user(server: &str, user: &str, password: Secret) -> Self {
        let (server, user) = (server.to_owned(), user.to_owned());
        Self { server, user, password, ..Self::default() }
    }

    /// As calls of an engine bear them.
    pub(super) fn for_engine(&self) -> DockerCredentials {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        DockerCredentials {
            username: given(&self.user),
            password: given(self.password.expose()),
            serveraddress: given(&self.server),
            identitytoken: given(self.identity.expose()),
            ..DockerCredentials::default()
        }
    }

    /// Who logs in to `registry` as `login` and Docker's configuration say; `None`: nobody.
    pub async fn find(
        registry: &str,
        login: &Login,
        environment: &Environment,
        redactor: &Redactor,
    ) -> anyhow::Result<Option<Self>> {
        let server = match login.login_server.as_str() {
            "" => HUB,
            given => host_of(given),
        };
        if login.login && !login.login_username.is_empty() && is_same(server, registry) {
            let password = login.login_password.clone();
            return Ok(Some(Self::of_user(registry, &login.login_username, password)));
        }
        let found = Self::configured(registry, environment).await;
        let found = found.with_context(|| format!("cannot find out who logs in to {registry}"))?;
        if let Some(found) = &found {
            redactor.register(found.password.expose());
            redactor.register(found.identity.expose());
        }
        Ok(found)
    }

    async fn configured(registry: &str, environment: &Environment) -> anyhow::Result<Option<Self>> {
        let Some(dir) = config_dir(environment) else { return Ok(None) };
        let config = read_config::<Config>(&dir.join("config.json"))?.unwrap_or_default();
        let key = if registry == HUB { HUB_KEY } else { registry };
        let of_helper = config.cred_helpers.iter().find(|(host, _)| is_same(host, registry));
        let helper = of_helper.map(|(_, helper)| helper).or(config.creds_store.as_ref());
        if let Some(helper) = helper
            && let Some(found) = ask(helper, key).await?
        {
            return Ok(Some(Self { server: registry.to_owned(), ..found }));
        }
        let written = config.auths.into_iter().find(|(host, _)| is_same(host, registry));
        match written {
            Some((_, auth)) => auth.credentials(registry),
            None => Ok(None),
        }
    }
}

/// Whether both are one registry.
fn is_same(one: &str, other: &str) -> bool {
    let host = |server| match host_of(server) {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        host => host,
    };
    host(one) == host(other)
}

/// What Docker's configuration says of registries.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: HashMap<String, Auth>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

/// What it says of one. A registry that a helper knows may stand there empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Secret,
    username: String,
    password: Secret,
    identitytoken: Secret,
}

impl Auth {
    fn credentials(self, registry: &str) -> anyhow::Result<Option<Credentials>> {
        let Self { auth, mut username, mut password, identitytoken } = self;
        if !auth.is_empty() {
            let decoded = STANDARD.decode(auth.expose()).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.context("its `auth` is no base64 of `user:password`")?;
            let (user, word) = decoded.split_once(':').context("its `auth` has no colon")?;
            (username, password) = (user.to_owned(), Secret::new(word.trim_end_matches('\0')));
        }
        let is_empty = password.is_empty() && identitytoken.is_empty();
        Ok((!is_empty).then(|| Credentials {
            server: registry.to_owned(),
            user: username,
            password,
            identity: identitytoken,
        }))
    }
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// Asks `docker-credential-HELPER` for `key`; `None` if it knows nothing of it.
async fn ask(helper: &str, key: &str) -> anyhow::Result<Option<Credentials>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(!helper.is_empty() && helper.chars().all(is_name), "{helper:?} is no helper's name");
    let program = format!("docker-credential-{helper}");
    let answer = ANSWER.in_time(run(&program, key)).await?;
    let (ok, printed) = answer.with_context(|| program.clone())?;
    if !ok {
        // All helpers use the words of Docker's own library.
        if printed.to_lowercase().contains("credentials not found") {
            return Ok(None);
        }
        bail!("{program} says: {}", harmless(printed.trim().as_bytes()));
    }
    let answer: Answer = serde_json::from_str(&printed)
        .map_err(|_| anyhow::anyhow!("{program} answers what is no credentials"))?;
    let of_token = Credentials { identity: answer.secret.clone(), ..Credentials::default() };
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => of_token,
        user => Credentials::of_user("", user, answer.secret),
    }))
}

/// Whether the helper ended well, and what it printed.
async fn run(program: &str, key: &str) -> anyhow::Result<(bool, String)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot be started")?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read needs no key.
        let _ = stdin.write_all(key.as_bytes()).await;
    }
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER.bytes + 1).read_to_end(&mut printed).await?;
    }
    ANSWER.check(printed.len() as u64)?;
    let status = child.wait().await?;
    Ok((status.success(), String::from_utf8_lossy(&printed).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(config: serde_json::Value) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
            Self(dir)
        }

        async fn find(&self, registry: &str, login: Login) -> Option<Credentials> {
            let config = self.0.path().display().to_string();
            let vars = BTreeMap::from([("DOCKER_CONFIG".to_owned(), config)]);
            let environment = Environment::new(vars, "/".into(), Timestamp::UNIX_EPOCH);
            let redactor = Redactor::default();
            Credentials::find(registry, &login, &environment, &redactor).await.unwrap()
        }
    }

    fn user(server: &str, user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::of_user(server, user, Secret::new(password)))
    }

    #[tokio::test]
    async fn dockers_configuration_says_who_logs_in() {
        let home = Home::with(json!({"auths": {
            "registry.example.com:5000": {"auth": STANDARD.encode("me:pass:word")},
            "https://index.docker.io/v1/": {"auth": STANDARD.encode("hub:secret")},
            "token.example.com": {"identitytoken": "abc"},
            "empty.example.com": {},
        }}));
        let expected = user("registry.example.com:5000", "me", "pass:word");
        assert_eq!(home.find("registry.example.com:5000", Login::default()).await, expected);
        assert_eq!(home.find(HUB, Login::default()).await, user(HUB, "hub", "secret"));
        let token = home.find("token.example.com", Login::default()).await.unwrap();
        assert_eq!(token.identity, Secret::new("abc"));
        for nobody in ["empty.example.com", "other.example.com"] {
            assert_eq!(home.find(nobody, Login::default()).await, None);
        }
    }

    #[tokio::test]
    async fn the_template_logs_in_to_its_own_registry_only() {
        let home = Home::with(json!({}));
        let login = Login {
            login: true,
            login_username: "me".to_owned(),
            login_password: Secret::new("word"),
            login_server: "https://registry.example.com/".to_owned(),
            ..Login::default()
        };
        let expected = user("registry.example.com", "me", "word");
        assert_eq!(home.find("registry.example.com", login.clone()).await, expected);
        assert_eq!(home.find(HUB, login).await, None);
    }

    #[test]
    fn a_helper_is_called_by_a_name_only() {
        let asked = futures::executor::block_on(ask("../../bin/sh", "x"));
        assert!(asked.unwrap_err().to_string().contains("no helper's name"));
    }
}
