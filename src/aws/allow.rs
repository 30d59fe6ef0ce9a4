//! What the account must allow, in the words of EC2 and IAM: where things are, and which are ours.

use crate::aws::build_tags::RUN_TAG;
use crate::permission::{Permission, partition};

/// The regions that a build works in, as far as they are known.
#[derive(Clone, Debug)]
pub struct Regions {
    /// Where it builds.
    own: Option<String>,
    /// Where it leaves images beside that.
    others: Vec<String>,
}

impl Regions {
    /// Builds in `own` and copies to `others`.
    pub fn new(own: Option<String>, others: &[String]) -> Self {
        let mut others = others.to_vec();
        others.retain(|region| Some(region) != own.as_ref());
        Self { own, others }
    }

    /// `aws`, or what AWS's other halves are called.
    fn partition(&self) -> &'static str {
        partition(self.own())
    }

    /// The region of the build; `*` if nobody knows it yet.
    pub fn own(&self) -> &str {
        self.own.as_deref().unwrap_or("*")
    }

    /// The ARNs of things of these `kinds` where the build is done.
    fn here(&self, kinds: &[&str]) -> Vec<String> {
        let (partition, region) = (self.partition(), self.own());
        kinds.iter().map(|kind| format!("arn:{partition}:ec2:{region}:*:{kind}/*")).collect()
    }

    /// Calls that look at things, and can be about all of them only.
    pub fn look(&self, calls: &[&str]) -> Permission {
        let permission = ec2(calls);
        match &self.own {
            Some(own) => {
                let regions = [own].into_iter().chain(&self.others);
                permission.when("StringEquals", "aws:RequestedRegion", regions.cloned())
            }
            None => permission,
        }
    }

    /// Calls about things of these `kinds` where the build is done.
    pub fn on(&self, kinds: &[&str], calls: &[&str]) -> Permission {
        ec2(calls).on(self.here(kinds))
    }

    /// Calls about things of these `kinds` wherever there are images of the build.
    pub fn everywhere(&self, kinds: &[&str], calls: &[&str]) -> Permission {
        let partition = self.partition();
        let others = self.others.iter().flat_map(|region| {
            kinds.iter().map(move |kind| format!("arn:{partition}:ec2:{region}:*:{kind}/*"))
        });
        ec2(calls).on(self.here(kinds).into_iter().chain(others))
    }

    /// Calls about things of this `kind` that a run of ours has made.
    pub fn on_ours(&self, kind: &str, calls: &[&str]) -> Permission {
        let tag = format!("aws:ResourceTag/{RUN_TAG}");
        self.on(&[kind], calls).when("StringLike", &tag, ["*"])
    }

    /// Calls that make things of this `kind` with our tag.
    pub fn make(&self, kind: &str, calls: &[&str]) -> Permission {
        let tag = format!("aws:RequestTag/{RUN_TAG}");
        self.on(&[kind], calls).when("StringLike", &tag, ["*"])
    }

    /// Tags that `calls` give to what they make.
    pub fn tag_with(&self, kinds: &[&str], calls: &[&str]) -> Permission {
        by_calls(self.on(kinds, &["CreateTags"]), calls)
    }

    /// The same in all regions.
    pub fn tag_everywhere_with(&self, kinds: &[&str], calls: &[&str]) -> Permission {
        by_calls(self.everywhere(kinds, &["CreateTags"]), calls)
    }

    /// That sessions of Systems Manager are started with the machines that a run of ours has made.
    pub fn start_sessions_with_ours(&self) -> Permission {
        let tag = format!("ssm:resourceTag/{RUN_TAG}");
        ssm(&["StartSession"]).on(self.here(&["instance"])).when("StringLike", &tag, ["*"])
    }

    /// That sessions do what this document says.
    pub fn start_sessions_as(&self, document: &str) -> Permission {
        ssm(&["StartSession"]).on([self.of_ssm(&format!("document/{document}"))])
    }

    /// Calls about the sessions that whoever calls has started.
    pub fn on_own_sessions(&self, calls: &[&str]) -> Permission {
        let owner = "ssm:resourceTag/aws:ssmmessages:session-id";
        ssm(calls).on([self.of_ssm("session/*")]).when("StringLike", owner, ["${aws:userid}"])
    }

    /// Calls about parameters of Systems Manager whose names `pattern` fits, e.g. `/images/*`.
    pub fn parameters(&self, pattern: &str, calls: &[&str]) -> Permission {
        let partition = self.partition();
        let regions = [self.own()].into_iter().chain(self.others.iter().map(String::as_str));
        let arn = |region: &str| format!("arn:{partition}:ssm:{region}:*:parameter{pattern}");
        ssm(calls).on(regions.map(arn))
    }

    /// That the secret of this name or ARN is read. Secrets Manager puts six characters behind a name.
    pub fn read_secret(&self, name: &str) -> Permission {
        let arn = match name.starts_with("arn:") {
            true => name.to_owned(),
            false => format!(
                "arn:{}:secretsmanager:{}:*:secret:{name}-??????",
                self.partition(),
                self.own()
            ),
        };
        Permission::new(["secretsmanager:GetSecretValue"]).on([arn])
    }

    /// The ARN of something in Systems Manager where the build is done.
    fn of_ssm(&self, name: &str) -> String {
        format!("arn:{}:ssm:{}:*:{name}", self.partition(), self.own())
    }

    /// Calls of IAM about the temporary roles and profiles of builds.
    pub fn temporary_roles(&self, calls: &[&str]) -> Permission {
        let partition = self.partition();
        let kinds = ["instance-profile", "role"];
        let arns = kinds.map(|kind| format!("arn:{partition}:iam::*:{kind}/packer-*"));
        iam(calls).on(arns)
    }

    /// Calls of S3 about this bucket.
    pub fn bucket(&self, name: &str, calls: &[&str]) -> Permission {
        s3(calls).on([format!("arn:{}:s3:::{name}", self.partition())])
    }

    /// Calls of S3 about the objects in this bucket.
    pub fn objects(&self, bucket: &str, calls: &[&str]) -> Permission {
        self.object(bucket, "*", calls)
    }

    /// Calls of S3 about the object `key` in this bucket.
    pub fn object(&self, bucket: &str, key: &str, calls: &[&str]) -> Permission {
        s3(calls).on([format!("arn:{}:s3:::{bucket}/{key}", self.partition())])
    }

    /// That EC2 copies AMIs whose bundles are in this bucket, in the caller's name: into buckets that it
    /// makes itself.
    pub fn copy_bundles(&self, bucket: &str) -> Vec<Permission> {
        const COPIES: &str = "amis-for-*-in-*";
        let all = vec![
            s3(&["ListAllMyBuckets"]),
            self.objects(bucket, &["GetObject"]),
            self.bucket(COPIES, &["CreateBucket", "GetBucketAcl"]),
            self.objects(COPIES, &["PutObject", "PutObjectAcl"]),
        ];
        all.into_iter().map(Permission::made_by_service).collect()
    }

    /// That S3 encrypts objects with this KMS key in the caller's name, and reads them back.
    pub fn object_key(&self, key: &str) -> Permission {
        let calls = ["kms:Decrypt", "kms:GenerateDataKey"];
        let permission = Permission::new(calls).on([self.key(key)]);
        permission.when("StringLike", "kms:ViaService", ["s3.*.amazonaws.com*"]).made_by_service()
    }

    /// That this KMS key signs.
    pub fn sign_with(&self, key: &str) -> Permission {
        let permission = Permission::new(["kms:GetPublicKey", "kms:Sign"]).on([self.key(key)]);
        match key.rsplit_once("alias/") {
            // A policy cannot name a key by its alias.
            Some((_, alias)) => permission.when(
                "ForAnyValue:StringEquals",
                "kms:ResourceAliases",
                [format!("alias/{alias}")],
            ),
            None => permission,
        }
    }

    /// Calls of IAM about this instance profile.
    pub fn profile(&self, name: &str, calls: &[&str]) -> Permission {
        iam(calls).on([format!("arn:{}:iam::*:instance-profile/{name}", self.partition())])
    }

    /// That machines are given the roles that `pattern` fits.
    pub fn pass_role(&self, pattern: &str) -> Permission {
        let partition = self.partition();
        let service =
            if partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" };
        iam(&["PassRole"])
            .on([format!("arn:{partition}:iam::*:role/{pattern}")])
            .when("StringEquals", "iam:PassedToService", [service])
            .made_by_service()
    }

    /// That EC2 uses these KMS `keys` for disks in the caller's name.
    pub fn keys(&self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Permission> {
        let arns: Vec<String> = keys.into_iter().map(|key| self.key(key.as_ref())).collect();
        if arns.is_empty() {
            return Vec::new();
        }
        let through_ec2 = |calls: &[&str]| {
            let calls = calls.iter().map(|call| format!("kms:{call}"));
            Permission::new(calls)
                .on(arns.clone())
                .when("StringLike", "kms:ViaService", ["ec2.*.amazonaws.com*"])
                .made_by_service()
        };
        let use_them = ["Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncrypt*"];
        let grant = through_ec2(&["CreateGrant"]);
        vec![through_ec2(&use_them), grant.when("Bool", "kms:GrantIsForAWSResource", ["true"])]
    }

    /// The ARN of a key that is given by ARN or id; an alias does not say which one.
    fn key(&self, given: &str) -> String {
        let id = if given.starts_with("alias/") { "*" } else { given };
        match given.starts_with("arn:") && !given.contains(":alias/") {
            true => given.to_owned(),
            false if given.starts_with("arn:") => format!("arn:{}:kms:*:*:key/*", self.partition()),
            false => format!("arn:{}:kms:*:*:key/{id}", self.partition()),
        }
    }
}

/// `permission` to tag for these calls alone, which tag what they make.
fn by_calls(permission: Permission, calls: &[&str]) -> Permission {
    permission.when("StringEquals", "ec2:CreateAction", calls.iter().copied()).made_by_service()
}

fn ec2(calls: &[&str]) -> Permission {
    Permission::new(calls.iter().map(|call| format!("ec2:{call}")))
}

fn ssm(calls: &[&str]) -> Permission {
    Permission::new(calls.iter().map(|call| format!("ssm:{call}")))
}

fn s3(calls: &[&str]) -> Permission {
    Permission::new(calls.iter().map(|call| format!("s3:{call}")))
}

fn iam(calls: &[&str]) -> Permission {
    Permission::new(calls.iter().map(|call| format!("iam:{call}")))
}
