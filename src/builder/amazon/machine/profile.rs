//! The options of what the machine may do in the account: its instance profile.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::component::Check;
use crate::diagnostic::code;

/// The instance profile: none, one that exists, or one that is made for the build.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProfileOptions {
    /// The IAM instance profile of the machine; none if not given.
    pub iam_instance_profile: String,
    /// Whether the build begins without looking whether there is an `iam_instance_profile` of this
    /// name.
    pub skip_profile_validation: bool,
    /// What the machine may do while it is built: an instance profile and a role with this policy
    /// are made, and go with the machine. Not used beside `iam_instance_profile`.
    pub temporary_iam_instance_profile_policy_document: Option<PolicyDocument>,
}

/// An IAM policy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PolicyDocument {
    /// The version of the policy language.
    #[serde(rename = "Version")]
    pub version: String,
    /// What is allowed and what is not.
    #[serde(rename = "Statement")]
    pub statements: Vec<PolicyStatement>,
}

/// What is allowed, or not.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PolicyStatement {
    /// `Allow` or `Deny`.
    #[serde(rename = "Effect")]
    pub effect: String,
    /// Calls, e.g. `s3:GetObject`.
    #[serde(rename = "Action")]
    pub actions: Vec<String>,
    /// ARNs of what they are about; `*` stands for any text.
    #[serde(rename = "Resource")]
    pub resources: Vec<String>,
}

/// The version of the policy language where a template gives none.
const VERSION: &str = "2012-10-17";

impl PolicyDocument {
    /// As IAM wants it.
    pub fn json(&self) -> Json {
        let version = if self.version.is_empty() { VERSION } else { &self.version };
        let statements = self.statements.iter().map(
            |one| json!({"Effect": one.effect, "Action": one.actions, "Resource": one.resources}),
        );
        json!({"Version": version, "Statement": statements.collect::<Vec<_>>()})
    }

    fn check(&self, option: &str, check: &mut Check<'_>) {
        if self.statements.is_empty() {
            check.missing(&format!("{option}.Statement"), "say what the machine may do");
        }
        for statement in &self.statements {
            if !matches!(statement.effect.as_str(), "Allow" | "Deny") {
                check.error(&format!("{option}.Statement"), "its `Effect` is `Allow` or `Deny`");
            }
            for (part, is_missing) in [
                ("Action", statement.actions.is_empty()),
                ("Resource", statement.resources.is_empty()),
            ] {
                if is_missing {
                    let help = "each statement has an `Effect`, an `Action` and a `Resource`";
                    check.missing(&format!("{option}.Statement.{part}"), help);
                }
            }
        }
    }
}

impl ProfileOptions {
    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        const OPTION: &str = "temporary_iam_instance_profile_policy_document";
        match (self.temporary_policy(), &self.temporary_iam_instance_profile_policy_document) {
            (Some(policy), _) => policy.check(OPTION, check),
            (None, Some(_)) => {
                let text = format!("`{OPTION}` is not used: there is an `iam_instance_profile`");
                check.warn(code::OPTION_VALUE, OPTION, text);
            }
            (None, None) => {}
        }
    }

    /// The policy of the instance profile that is made for the build, if one is.
    pub fn temporary_policy(&self) -> Option<&PolicyDocument> {
        let policy = self.temporary_iam_instance_profile_policy_document.as_ref();
        policy.filter(|_| self.iam_instance_profile.is_empty())
    }

    /// Whether the profile is made for the build, and goes with it.
    pub fn is_temporary(&self) -> bool {
        self.temporary_policy().is_some()
    }

    /// Whether the machine has a profile.
    pub fn is_wanted(&self) -> bool {
        !self.iam_instance_profile.is_empty() || self.temporary_policy().is_some()
    }
}
