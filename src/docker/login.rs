//! The options by which a template logs in to a registry.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::{Check, WITHOUT_AWS};
use crate::diagnostic::code;
use crate::permission::{Permission, partition};
use crate::secret::Secret;

/// How to log in to a registry. What is not given here, Docker's own configuration says
/// (`~/.docker/config.json`, its credential helpers).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = { "login_email": null }))]
pub struct Login {
    /// Whether to log in to `login_server` with `login_username` and `login_password`. Nothing of it
    /// is written down: only the calls of this build bear it.
    pub login: bool,
    /// Who logs in.
    pub login_username: String,
    /// The password or the token.
    pub login_password: Secret,
    /// The registry, e.g. `registry.example.com:5000`; Docker Hub if not given.
    pub login_server: String,
    /// Whether to log in to Amazon's registry `login_server`
    /// (`123456789012.dkr.ecr.us-east-1.amazonaws.com`, or `public.ecr.aws/…`) with a token that AWS gives
    /// out for the credentials of the options `aws_…`, or those that AWS's own tools find.
    pub ecr_login: bool,
    /// The access key for `ecr_login`.
    pub aws_access_key: Secret,
    /// The secret key that belongs to `aws_access_key`.
    pub aws_secret_key: Secret,
    /// The session token that belongs to temporary keys.
    pub aws_token: Secret,
    /// A profile of the shared AWS config and credentials files, for `ecr_login`.
    pub aws_profile: String,
    /// Whether `login_server` has Amazon's public images, though it is not called `public.ecr.aws`: a
    /// mirror, for example. Nobody must log in to pull them.
    pub aws_force_use_public_ecr: bool,
}

/// Amazon's public registry.
const PUBLIC: &str = "public.ecr.aws";

/// The one region that gives out tokens for it.
pub const PUBLIC_REGION: &str = "us-east-1";

/// The region of the registry at `server`, if it is one of an AWS account.
pub fn ecr_region(server: &str) -> Option<&str> {
    let (account, rest) = host_of(server).split_once(".dkr.ecr")?;
    let rest = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?;
    let (region, domain) = rest.split_once('.')?;
    let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
    (is_account && domain.starts_with("amazonaws.com")).then_some(region)
}

/// The host and port of a registry, as images name it: without a scheme and a path.
pub fn host_of(server: &str) -> &str {
    let without_scheme = server.split_once("://").map_or(server, |(_, rest)| rest);
    without_scheme.split('/').next().unwrap_or_default()
}

impl Login {
    /// What the AWS account must allow, so that images of its registry are pulled; and pushed, if somebody
    /// does.
    pub fn permissions(&self, pushes: bool) -> Vec<Permission> {
        const PULL: [&str; 3] =
            ["BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"];
        const PUSH: [&str; 4] =
            ["CompleteLayerUpload", "InitiateLayerUpload", "PutImage", "UploadLayerPart"];
        if self.ecr_login && self.is_public() {
            let token = ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"];
            let calls = ["BatchCheckLayerAvailability"].iter().chain(&PUSH);
            let calls = Permission::new(calls.map(|call| format!("ecr-public:{call}")))
                .on(["arn:aws:ecr-public::*:repository/*"]);
            let pushed = pushes.then(|| calls.made_by_service());
            return [Permission::new(token)].into_iter().chain(pushed).collect();
        }
        let Some(region) = ecr_region(&self.login_server).filter(|_| self.ecr_login) else {
            return Vec::new();
        };
        let partition = partition(region);
        let account = host_of(&self.login_server).split('.').next().unwrap_or_default();
        let repositories = format!("arn:{partition}:ecr:{region}:{account}:repository/*");
        let calls = PULL.iter().chain(PUSH.iter().filter(|_| pushes));
        let calls = Permission::new(calls.map(|call| format!("ecr:{call}"))).on([repositories]);
        // The engine makes them.
        vec![Permission::new(["ecr:GetAuthorizationToken"]), calls.made_by_service()]
    }

    /// Whether the registry is Amazon's public one.
    pub fn is_public(&self) -> bool {
        self.aws_force_use_public_ecr || host_of(&self.login_server) == PUBLIC
    }

    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        let mut without = |switch: &str, options: &[(&str, bool)]| {
            for (option, _) in options.iter().filter(|(_, is_given)| *is_given) {
                let text = format!("`{option}` changes nothing without `{switch} = true`");
                check.warn(code::OPTION_VALUE, option, text);
            }
        };
        if !self.login {
            without(
                "login",
                &[
                    ("login_username", !self.login_username.is_empty()),
                    ("login_password", !self.login_password.is_empty()),
                    ("login_server", !self.login_server.is_empty() && !self.ecr_login),
                ],
            );
        }
        if !self.ecr_login {
            without(
                "ecr_login",
                &[
                    ("aws_access_key", !self.aws_access_key.is_empty()),
                    ("aws_secret_key", !self.aws_secret_key.is_empty()),
                    ("aws_token", !self.aws_token.is_empty()),
                    ("aws_profile", !self.aws_profile.is_empty()),
                    ("aws_force_use_public_ecr", self.aws_force_use_public_ecr),
                ],
            );
        }
        if self.ecr_login {
            self.check_ecr(check);
        }
        if self.login && self.login_username.is_empty() != self.login_password.is_empty() {
            let (given, missing) = match self.login_password.is_empty() {
                true => ("login_username", "login_password"),
                false => ("login_password", "login_username"),
            };
            check.missing(missing, format!("give it beside `{given}`, or leave both away"));
        }
    }

    fn check_ecr(&self, check: &mut Check<'_>) {
        if self.login {
            check.error("ecr_login", "`login` excludes it: there is one way to log in");
        }
        if self.login_server.is_empty() {
            check.missing("login_server", "`ecr_login` needs the registry to log in to");
        } else if !self.is_public() && ecr_region(&self.login_server).is_none() {
            let cause = "this is no registry of Amazon's, such as \
                         `123456789012.dkr.ecr.us-east-1.amazonaws.com` or `public.ecr.aws`";
            check.error("login_server", cause);
        }
        if self.aws_access_key.is_empty() != self.aws_secret_key.is_empty() {
            let missing = match self.aws_secret_key.is_empty() {
                true => "aws_secret_key",
                false => "aws_access_key",
            };
            check.missing(missing, "an access key and its secret key belong together");
        }
        if cfg!(not(feature = "aws")) {
            check.error("ecr_login", WITHOUT_AWS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_its_host_however_it_is_written() {
        for written in
            ["a.example.com:5000", "https://a.example.com:5000/v1/", "a.example.com:5000/"]
        {
            assert_eq!(host_of(written), "a.example.com:5000", "{written}");
        }
    }

    #[test]
    fn a_registry_of_an_account_says_where_it_is() {
        for (server, expected) in [
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", Some("us-east-1")),
            ("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/", Some("eu-west-1")),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", Some("us-east-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("12.dkr.ecr.us-east-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.us-east-1.example.com", None),
            ("registry.example.com", None),
        ] {
            assert_eq!(ecr_region(server), expected, "{server}");
        }
    }

    #[test]
    fn amazons_public_registry_needs_permissions_of_its_own() {
        let login = |server: &str, force: bool| Login {
            ecr_login: true,
            login_server: server.to_owned(),
            aws_force_use_public_ecr: force,
            ..Login::default()
        };
        for login in [login("public.ecr.aws/me", false), login("mirror.example.com", true)] {
            let pulled = login.permissions(false);
            let [token] = pulled.as_slice() else { panic!("{pulled:?}") };
            assert!(token.actions.contains("sts:GetServiceBearerToken"), "{token:?}");
            let pushed = login.permissions(true);
            assert!(pushed[1].actions.contains("ecr-public:PutImage"), "{pushed:?}");
            assert!(pushed[1].resources.contains("arn:aws:ecr-public::*:repository/*"));
        }
        assert_eq!(login("mirror.example.com", false).permissions(true), []);
    }
}
