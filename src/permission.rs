//! What an AWS account must allow somebody: calls and what they are about, and the IAM policy that
//! says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

/// `aws`, or what AWS's other half is called that has `region`.
pub fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Some calls on some things, on some conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The calls, e.g. `ec2:RunInstances`.
    pub actions: BTreeSet<String>,
    /// The ARNs of what they are about; `*` stands for any text.
    pub resources: BTreeSet<String>,
    /// All that must hold besides, as IAM writes it: operator → key → values.
    pub conditions: BTreeMap<(String, String), BTreeSet<String>>,
    /// Whether somebody else makes these calls in the caller's name, a service or the machine: nobody
    /// sees them come from here.
    pub by_service: bool,
}

impl Permission {
    /// `actions`, whatever they are about.
    pub fn new<A: Into<String>>(actions: impl IntoIterator<Item = A>) -> Self {
        Self {
            actions: actions.into_iter().map(Into::into).collect(),
            resources: ["*".to_owned()].into(),
            conditions: BTreeMap::new(),
            by_service: false,
        }
    }

    /// Only on `resources`.
    pub fn on<R: Into<String>>(self, resources: impl IntoIterator<Item = R>) -> Self {
        Self { resources: resources.into_iter().map(Into::into).collect(), ..self }
    }

    /// Only if `operator` holds for `key` and one of `values`, e.g. `StringEquals` for
    /// `aws:RequestedRegion`.
    pub fn when<V: Into<String>>(
        mut self,
        operator: &str,
        key: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.conditions.insert((operator.to_owned(), key.to_owned()), values);
        self
    }

    /// See [`by_service`](Self::by_service).
    pub fn made_by_service(self) -> Self {
        Self { by_service: true, ..self }
    }

    fn statement(&self) -> Json {
        let list = |texts: &BTreeSet<String>| match texts.iter().collect::<Vec<_>>().as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        let mut statement = json!({
            "Effect": "Allow",
            "Action": list(&self.actions),
            "Resource": list(&self.resources),
        });
        let mut conditions = Map::new();
        for ((operator, key), values) in &self.conditions {
            let operator = conditions.entry(operator.as_str()).or_insert_with(|| json!({}));
            operator[key] = list(values);
        }
        if !conditions.is_empty() {
            statement["Condition"] = conditions.into();
        }
        statement
    }
}

/// The IAM policy that allows all of `permissions` and nothing else: a statement for each kind of
/// things and conditions.
pub fn policy(permissions: impl IntoIterator<Item = Permission>) -> Json {
    let mut statements: Vec<Permission> = Vec::new();
    for permission in permissions {
        let alike = statements.iter_mut().find(|known| {
            known.resources == permission.resources && known.conditions == permission.conditions
        });
        match alike {
            Some(known) => known.actions.extend(permission.actions),
            None => statements.push(permission),
        }
    }
    let statements: Vec<Json> = statements.iter().map(Permission::statement).collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_same_things_is_one_statement() {
        let ours = |action| {
            let permission = Permission::new([action]).on(["arn:aws:ec2:*:*:instance/*"]);
            permission.when("StringLike", "aws:ResourceTag/mine", ["*"])
        };
        let policy = policy([
            Permission::new(["ec2:DescribeImages"]),
            ours("ec2:StopInstances"),
            ours("ec2:TerminateInstances"),
        ]);
        let statements = policy["Statement"].as_array().unwrap();
        assert_eq!(statements.len(), 2);
        assert_eq!(statements[0]["Action"], "ec2:DescribeImages");
        assert_eq!(statements[0].get("Condition"), None);
        assert_eq!(statements[1]["Action"], json!(["ec2:StopInstances", "ec2:TerminateInstances"]));
        assert_eq!(statements[1]["Condition"]["StringLike"]["aws:ResourceTag/mine"], "*");
    }
}
