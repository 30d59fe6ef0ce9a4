//! Who builds images of Dockerfiles in an engine: BuildKit, or the builder of old.

use anyhow::Context as _;
use bollard::models::SystemVersion;
use bollard::query_parameters::BuilderVersion;

use crate::config::bool_of_text;
use crate::env::Environment;

/// Engines of this version of the interface and later take BuildKit by themselves; those of the other one
/// and later have it.
const TAKES_BUILDKIT: (u32, u32) = (1, 42);
const HAS_BUILDKIT: (u32, u32) = (1, 39);

/// Who builds images in an engine that says `version` of itself: as Docker's own program decides it.
///
/// # Errors
/// If `DOCKER_BUILDKIT` says neither yes nor no.
pub(super) fn builder(
    version: &SystemVersion,
    environment: &Environment,
) -> anyhow::Result<BuilderVersion> {
    let is_podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
    let knows = |least: (u32, u32)| {
        let said = version.api_version.as_deref().unwrap_or_default().split_once('.');
        let said = said.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        said.is_some_and(|said: (u32, u32)| said >= least)
    };
    let can = !is_podman && version.os.as_deref() == Some("linux") && knows(HAS_BUILDKIT);
    let wants = match environment.get("DOCKER_BUILDKIT").filter(|text| !text.is_empty()) {
        None => knows(TAKES_BUILDKIT),
        Some(given) => bool_of_text(given)
            .with_context(|| format!("DOCKER_BUILDKIT is `{given}`: it is 1 or 0"))?,
    };
    match can && wants {
        true => Ok(BuilderVersion::BuilderBuildKit),
        false => Ok(BuilderVersion::BuilderV1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard::models::SystemVersionComponents;
    use jiff::Timestamp;

    use super::*;

    fn environment(wanted: Option<&str>) -> Environment {
        let vars = wanted.map(|value| ("DOCKER_BUILDKIT".to_owned(), value.to_owned()));
        let vars: BTreeMap<_, _> = vars.into_iter().collect();
        Environment::new(vars, "/".into(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn buildkit_is_taken_where_docker_takes_it() {
        let linux = |version: &str| SystemVersion {
            api_version: Some(version.to_owned()),
            os: Some("linux".to_owned()),
            ..SystemVersion::default()
        };
        let windows = SystemVersion { os: Some("windows".to_owned()), ..linux("1.50") };
        let name = "Podman Engine".to_owned();
        let podman = SystemVersionComponents { name, ..SystemVersionComponents::default() };
        let podman = SystemVersion { components: Some(vec![podman]), ..linux("1.41") };
        for (version, given, takes_it) in [
            (linux("1.41"), None, false),
            (linux("1.42"), None, true),
            (linux("1.41"), Some("1"), true),
            (linux("1.50"), Some("0"), false),
            (linux("1.38"), Some("true"), false),
            (windows, Some("1"), false),
            (podman, Some("1"), false),
        ] {
            let environment = environment(given);
            let taken = builder(&version, &environment).unwrap();
            assert_eq!(taken == BuilderVersion::BuilderBuildKit, takes_it, "{version:?} {given:?}");
        }
        assert!(builder(&linux("1.50"), &environment(Some("maybe"))).is_err());
    }
}
