//! Names of images: `registry/repository:tag`.

use std::fmt;

/// Where names lead that name no registry.
pub const HUB: &str = "docker.io";

/// The tag that is meant where none is given.
const LATEST: &str = "latest";

/// A name of an image, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// All before the tag: `localhost:5000/web`.
    pub repository: String,
    /// `latest` if none is given.
    pub tag: String,
    /// `sha256:…`.
    pub digest: Option<String>,
}

impl ImageName {
    /// Takes `name` apart.
    ///
    /// # Errors
    /// When no image can be called so.
    pub fn parse(name: &str) -> Result<Self, String> {
        check(name)?;
        let (name, digest) = match name.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (name, None),
        };
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[last..].split_once(':') {
            Some((short, tag)) => (&name[..last + short.len()], tag),
            None => (name, LATEST),
        };
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned(), digest })
    }

    /// What the engine is to fetch of the repository.
    pub fn version(&self) -> &str {
        self.digest.as_deref().unwrap_or(&self.tag)
    }

    /// The registry that it is in.
    pub fn registry(&self) -> &str {
        match self.repository.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => HUB,
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "{}@{digest}", self.repository),
            None => write!(f, "{}:{}", self.repository, self.tag),
        }
    }
}

/// Refuses what would not stay one name in the path of a call.
///
/// # Errors
/// Says why.
pub fn check(name: &str) -> Result<(), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if name.is_empty() {
        return Err("an image has a name".to_owned());
    }
    if let Some(odd) = name.chars().find(|&c| !is_part(c)) {
        return Err(format!("{name:?} is no name of an image: {odd:?} cannot be in one"));
    }
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || name.contains("..") || name.contains("//") || name.ends_with(['/', ':', '@'])
    {
        return Err(format!("{name:?} is no name of an image, such as `debian:12`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_registry_its_repository_and_its_tag() {
        for (name, registry, repository, version) in [
            ("ubuntu", HUB, "ubuntu", "latest"),
            ("library/ubuntu:24.04", HUB, "library/ubuntu", "24.04"),
            ("localhost:5000/a/b", "localhost:5000", "localhost:5000/a/b", "latest"),
            ("localhost/a:1", "localhost", "localhost/a", "1"),
            ("quay.io/a/b:1@sha256:ab", "quay.io", "quay.io/a/b", "sha256:ab"),
        ] {
            let parsed = ImageName::parse(name).unwrap();
            let parts = (parsed.registry(), parsed.repository.as_str(), parsed.version());
            assert_eq!(parts, (registry, repository, version), "{name}");
        }
    }

    #[test]
    fn a_name_stays_one_part_of_a_call() {
        for bad in ["", "a b", "../containers/x", "a?force=1", "a#b", "/a", "a//b", "a:", "-a"] {
            assert!(ImageName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
