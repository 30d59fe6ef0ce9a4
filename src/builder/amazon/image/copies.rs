//! The options of the image's copies: to which regions, and how they are encrypted.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::access::Access;
use crate::component::Check;
use crate::config::UNKNOWN;
use crate::diagnostic::code;

/// Copies to other regions, and encryption.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CopyOptions {
    /// Regions that the AMI is copied to. The region of the build is none of them.
    pub ami_regions: Vec<String>,
    /// Whether regions are not looked up before the build.
    pub skip_region_validation: bool,
    /// How many minutes EC2 may take for a copy, in steps of 15 up to 2880; faster costs extra.
    pub snapshot_copy_duration_minutes: Option<i64>,
    /// Whether the AMI is encrypted: an intermediary AMI is made and copied. If not given, it is
    /// encrypted as its disks are, and as the account's default says.
    pub encrypt_boot: Option<bool>,
    /// The key to encrypt the AMI with in the region of the build: an id, an ARN or an alias
    /// (`alias/name`). The account's default key if not given.
    pub kms_key_id: String,
    /// The keys to encrypt with in each of the `ami_regions`; an empty one is the default key there.
    pub region_kms_key_ids: IndexMap<String, String>,
    /// Whether no AMI stays in the region of the build: it is made there only to be copied.
    pub skip_save_build_region: bool,
    /// Whether it is copied to get its name, be it encrypted or not. No template says so.
    #[serde(skip)]
    pub is_renamed: bool,
}

/// A copy to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyTo {
    /// The region.
    pub region: String,
    /// Whether it is encrypted; `None` leaves it as it is.
    pub encrypted: Option<bool>,
    /// The key; `None` is the default.
    pub kms_key_id: Option<String>,
}

/// How long a copy may take at most, in minutes, and the steps of that.
const LONGEST_COPY: i64 = 2880;
const STEP_OF_COPY: i64 = 15;

impl CopyOptions {
    /// Reports what is wrong, also for an image that the option `shared_by` shares with others.
    pub fn check(&self, access: &Access, shared_by: Option<&str>, check: &mut Check<'_>) {
        self.check_keys(check);
        self.check_sharing(access, shared_by, check);
        if let Some(minutes) = self.snapshot_copy_duration_minutes
            && (!(STEP_OF_COPY..=LONGEST_COPY).contains(&minutes) || minutes % STEP_OF_COPY != 0)
        {
            let cause = format!("EC2 takes 15, 30, 45 and so on up to {LONGEST_COPY}");
            check.error("snapshot_copy_duration_minutes", cause);
        }
        if self.skip_save_build_region && self.ami_regions.is_empty() {
            let text = "no AMI will be left: `skip_save_build_region` without `ami_regions`";
            check.warn(code::OPTION_VALUE, "skip_save_build_region", text);
        }
    }

    fn check_keys(&self, check: &mut Check<'_>) {
        for (option, given) in [
            ("kms_key_id", !self.kms_key_id.is_empty()),
            ("region_kms_key_ids", !self.region_kms_key_ids.is_empty()),
        ] {
            if given && self.encrypt_boot != Some(true) {
                check.error(option, "a key is for `encrypt_boot = true`");
            }
        }
        if !self.kms_key_id.is_empty() && !is_kms_key(&self.kms_key_id) {
            check.error("kms_key_id", no_key(&self.kms_key_id));
        }
        for (region, key) in &self.region_kms_key_ids {
            let option = format!("region_kms_key_ids.{region}");
            if !key.is_empty() && !is_kms_key(key) {
                check.error(&option, no_key(key));
            }
            if !self.ami_regions.contains(region) {
                check.error(&option, format!("`ami_regions` has no {region}"));
            }
        }
        if !self.region_kms_key_ids.is_empty() {
            let without = |region: &&String| !self.region_kms_key_ids.contains_key(*region);
            for region in self.ami_regions.iter().filter(without) {
                let cause = format!("{region} is in `ami_regions` but not here");
                check.error("region_kms_key_ids", cause).help =
                    Some(format!("add `\"{region}\" = \"\"` for the default key of that region"));
            }
        }
    }

    fn check_sharing(&self, access: &Access, shared_by: Option<&str>, check: &mut Check<'_>) {
        let Some(option) = shared_by.filter(|_| self.encrypt_boot == Some(true)) else {
            return;
        };
        if self.kms_key_id.is_empty() {
            check.missing(
                "kms_key_id",
                format!("`{option}` cannot use what is encrypted with the account's default key"),
            );
        }
        let own = access.region_given(&check.facts.scope.environment);
        // Where a profile knows the region, the build itself looks before it makes anything.
        let Some(own) = own.filter(|region| region != UNKNOWN) else { return };
        for region in self.without_key(&own) {
            let place = match self.region_kms_key_ids.contains_key(&region) {
                true => format!("region_kms_key_ids.{region}"),
                false => "ami_regions".to_owned(),
            };
            let cause = format!("{}: {}", region, cannot_be_shared(option));
            let help = format!("give a key in `region_kms_key_ids`: {{ \"{region}\" = \"…\" }}");
            check.error(&place, cause).help = Some(help);
        }
    }

    /// The regions beside `own` whose copies are encrypted with the default key there.
    fn without_key(&self, own: &str) -> Vec<String> {
        let copies = self.copies_from(own).into_iter();
        let bare = copies.filter(|copy| copy.region != own && copy.kms_key_id.is_none());
        bare.map(|copy| copy.region).collect()
    }

    /// Refuses copies that those could not use whom the option `shared_by` names: nobody else can use what is
    /// encrypted with an account's default key.
    pub fn refuse_useless(&self, shared_by: Option<&str>, own: &str) -> anyhow::Result<()> {
        let Some(option) = shared_by.filter(|_| self.encrypt_boot == Some(true)) else {
            return Ok(());
        };
        match self.without_key(own).as_slice() {
            [] => Ok(()),
            regions => anyhow::bail!(
                "{}: {}; give a key for each in `region_kms_key_ids`",
                regions.join(", "),
                cannot_be_shared(option)
            ),
        }
    }

    /// The regions that there must be beside that of the build; `None`: nobody looks.
    pub fn regions_to_check(&self) -> Option<&[String]> {
        (!self.skip_region_validation).then_some(&self.ami_regions)
    }

    /// Whether the AMI that is made of the machine is only there to be copied.
    pub fn is_intermediary(&self) -> bool {
        self.encrypt_boot == Some(true) || self.skip_save_build_region || self.is_renamed
    }

    /// The regions where the build, which is done in `own`, leaves an AMI; each once.
    pub fn regions(&self, own: &str) -> Vec<String> {
        let mut regions: Vec<String> = Vec::new();
        let first = (!self.skip_save_build_region).then(|| own.to_owned());
        let others = self.ami_regions.iter().filter(|region| *region != own).cloned();
        for wanted in first.into_iter().chain(others) {
            if !regions.contains(&wanted) {
                regions.push(wanted);
            }
        }
        regions
    }

    /// The copies that are made of the AMI in the region `own`.
    pub fn copies_from(&self, own: &str) -> Vec<CopyTo> {
        let mut regions = self.regions(own);
        regions.retain(|region| self.is_intermediary() || region != own);
        regions
            .into_iter()
            .map(|region| {
                let given = self.region_kms_key_ids.get(&region).filter(|key| !key.is_empty());
                let own_key = (region == own).then_some(&self.kms_key_id);
                let key = given.or(own_key.filter(|key| !key.is_empty())).cloned();
                CopyTo { region, encrypted: self.encrypt_boot, kms_key_id: key }
            })
            .collect()
    }
}

fn cannot_be_shared(option: &str) -> String {
    format!("`{option}` cannot use a copy that is encrypted with the account's default key there")
}

/// Why `text` is refused as a KMS key.
pub fn no_key(text: &str) -> String {
    format!("`{text}` is no KMS key: give its id, its ARN, or `alias/` and its alias")
}

/// Whether `text` names a KMS key: by id, alias or ARN.
pub fn is_kms_key(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("arn:") else { return is_key_or_alias(text, "") };
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    let [partition, "kms", region, account, key] = parts.as_slice() else { return false };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (*partition == "aws" || partition.starts_with("aws-"))
        && partition.chars().all(is_name)
        && region.chars().all(is_name)
        && account.len() == 12
        && account.chars().all(|c| c.is_ascii_digit())
        && is_key_or_alias(key, "key/")
}

/// Whether `text` is an id after `prefix`, or an alias.
fn is_key_or_alias(text: &str, prefix: &str) -> bool {
    if let Some(alias) = text.strip_prefix("alias/") {
        return !alias.is_empty()
            && alias.chars().all(|c| c.is_ascii_alphanumeric() || "/_-:".contains(c));
    }
    let id = text.strip_prefix(prefix).map(|id| id.strip_prefix("mrk-").unwrap_or(id));
    id.is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kms_keys_are_known_by_their_form() {
        for good in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "alias/images",
            "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-east-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
            "arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/images",
            "arn:aws-cn:kms::123456789012:alias/images",
        ] {
            assert!(is_kms_key(good), "{good}");
        }
        for wrong in [
            "images",
            "alias/",
            "key/1234abcd",
            "arn:aws:kms:us-east-1:1234:key/1234abcd",
            "arn:aws:s3:us-east-1:123456789012:key/1234abcd",
            "arn:aws:kms:us-east-1:123456789012:1234abcd",
            "ARN:aws:kms:us-east-1:123456789012:alias/x",
        ] {
            assert!(!is_kms_key(wrong), "{wrong}");
        }
    }

    #[test]
    fn each_region_gets_one_copy_with_its_own_key() {
        let regions = |options: &CopyOptions| {
            let copies = options.copies_from("us-east-1").into_iter();
            copies.map(|copy| (copy.region, copy.kms_key_id)).collect::<Vec<_>>()
        };
        let abroad = |key: Option<&str>| ("eu-west-1".to_owned(), key.map(str::to_owned));
        let ami_regions = ["us-east-1", "eu-west-1", "eu-west-1"].map(str::to_owned).to_vec();
        let plain = CopyOptions { ami_regions, ..CopyOptions::default() };
        assert_eq!(regions(&plain), [abroad(None)]);

        let keys = [("us-east-1", ""), ("eu-west-1", "alias/eu")];
        let keys = keys.map(|(region, key)| (region.to_owned(), key.to_owned()));
        let encrypted = CopyOptions {
            encrypt_boot: Some(true),
            kms_key_id: "alias/us".into(),
            region_kms_key_ids: keys.into_iter().collect(),
            ..plain.clone()
        };
        let here = ("us-east-1".to_owned(), Some("alias/us".to_owned()));
        assert_eq!(regions(&encrypted), [here, abroad(Some("alias/eu"))]);

        let elsewhere = CopyOptions { skip_save_build_region: true, ..plain };
        assert_eq!(regions(&elsewhere), [abroad(None)]);
        assert!(elsewhere.is_intermediary());
        assert_eq!(elsewhere.regions("us-east-1"), ["eu-west-1"]);
    }
}
