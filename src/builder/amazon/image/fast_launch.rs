//! The options of fast launch: EC2 starts instances of a Windows AMI ahead of time, so that later
//! ones come up sooner.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::builder::amazon::image::copies::CopyOptions;
use crate::component::Check;

/// Windows instances that are started ahead of time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FastLaunchOptions {
    /// Whether instances of the AMI are started ahead of time, which costs a snapshot for each. Any
    /// other option here means that they are.
    pub enable_fast_launch: Option<bool>,
    /// The launch template that they are started from; in the region of the build.
    pub template_id: String,
    /// The name of that launch template.
    pub template_name: String,
    /// The version of that launch template; the latest if not given.
    pub template_version: Option<i64>,
    /// How many may be started at a time: 6 or more.
    pub max_parallel_launches: Option<i32>,
    /// How many snapshots are kept ready.
    pub target_resource_count: Option<i32>,
    /// What is different in other regions, a block for each.
    pub region_launch_templates: Vec<RegionTemplate>,
}

/// Fast launch in one region.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RegionTemplate {
    /// The region: that of the build, or one of `ami_regions`.
    pub region: String,
    /// `false`: not in this region.
    pub enable_fast_launch: Option<bool>,
    /// The launch template there.
    pub template_id: String,
    /// The name of that launch template.
    pub template_name: String,
    /// The version of that launch template; the latest if not given.
    pub template_version: Option<i64>,
}

/// A launch template: its id or its name, and which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateOf<'a> {
    /// Its id, if that is how it is given.
    pub id: Option<&'a str>,
    /// Its name, if that is how it is given.
    pub name: Option<&'a str>,
    /// The version; `None` is the latest.
    pub version: Option<i64>,
}

impl<'a> TemplateOf<'a> {
    fn new(id: &'a str, name: &'a str, version: Option<i64>) -> Option<Self> {
        let given = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        let (id, name) = (given(id), given(name));
        (id.is_some() || name.is_some()).then_some(Self { id, name, version })
    }
}

impl FastLaunchOptions {
    /// Whether it is asked for.
    pub fn is_wanted(&self) -> bool {
        let else_given = self.template().is_some()
            || self.max_parallel_launches.is_some()
            || self.target_resource_count.is_some()
            || !self.region_launch_templates.is_empty();
        self.enable_fast_launch.unwrap_or(else_given)
    }

    /// Whether instances are started from a launch template anywhere.
    pub fn has_template(&self) -> bool {
        let regions = &self.region_launch_templates;
        let there =
            |one: &RegionTemplate| !one.template_id.is_empty() || !one.template_name.is_empty();
        self.template().is_some() || regions.iter().any(there)
    }

    fn template(&self) -> Option<TemplateOf<'_>> {
        TemplateOf::new(&self.template_id, &self.template_name, self.template_version)
    }

    /// What instances in `region` are started from; `None` where none are started ahead of time.
    /// `own` is the region of the build.
    pub fn in_region(&self, region: &str, own: &str) -> Option<Option<TemplateOf<'_>>> {
        let here = self.region_launch_templates.iter().find(|one| one.region == region);
        let is_on =
            self.is_wanted() && here.is_none_or(|one| one.enable_fast_launch != Some(false));
        is_on.then(|| match here {
            Some(one) => {
                TemplateOf::new(&one.template_id, &one.template_name, one.template_version)
            }
            None => self.template().filter(|_| region == own),
        })
    }

    /// Reports what is wrong, also with the regions of the build (`own`, if it is known by now) and
    /// of its `copies`.
    pub fn check(&self, own: &str, copies: &CopyOptions, check: &mut Check<'_>) {
        check_template(
            "fast_launch",
            &self.template_id,
            &self.template_name,
            self.template_version,
            check,
        );
        for (option, value, least) in [
            ("max_parallel_launches", self.max_parallel_launches, 6),
            ("target_resource_count", self.target_resource_count, 1),
        ] {
            if value.is_some_and(|value| value < least) {
                check.error(&format!("fast_launch.{option}"), format!("{least} or more"));
            }
        }
        self.check_regions(own, copies, check);
    }

    fn check_regions(&self, own: &str, copies: &CopyOptions, check: &mut Check<'_>) {
        const OPTION: &str = "fast_launch.region_launch_templates";
        let mut known: Vec<&str> = Vec::new();
        for one in &self.region_launch_templates {
            let region = one.region.as_str();
            if region.is_empty() {
                check.missing(&format!("{OPTION}.region"), "say which region it is about");
                continue;
            }
            if known.contains(&region) {
                check.error(OPTION, format!("{region} is given twice"));
            }
            known.push(region);
            let is_ours =
                own.is_empty() || region == own || copies.ami_regions.contains(&one.region);
            if !is_ours {
                check.error(OPTION, format!("no AMI will be in {region} (see `ami_regions`)"));
            }
            check_template(
                OPTION,
                &one.template_id,
                &one.template_name,
                one.template_version,
                check,
            );
        }
    }
}

fn check_template(option: &str, id: &str, name: &str, version: Option<i64>, check: &mut Check<'_>) {
    if !id.is_empty() && !name.is_empty() {
        check.error(&format!("{option}.template_name"), "give either `template_id` or this");
    }
    if let Some(version) = version {
        let option = format!("{option}.template_version");
        if version < 1 {
            check.error(&option, "versions of launch templates begin with 1");
        }
        if id.is_empty() && name.is_empty() {
            check.error(&option, "say of which template: `template_id` or `template_name`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_its_own_template_or_none() {
        let region = |region: &str, enable, id: &str| RegionTemplate {
            region: region.into(),
            enable_fast_launch: enable,
            template_id: id.into(),
            ..RegionTemplate::default()
        };
        let options = FastLaunchOptions {
            template_name: "here".into(),
            region_launch_templates: vec![
                region("eu-west-1", None, "lt-1"),
                region("eu-west-2", Some(false), ""),
            ],
            ..FastLaunchOptions::default()
        };
        let at = |region| options.in_region(region, "us-east-1");
        assert_eq!(at("us-east-1").unwrap().unwrap().name, Some("here"));
        assert_eq!(at("eu-west-1").unwrap().unwrap().id, Some("lt-1"));
        assert_eq!(at("eu-west-2"), None);
        assert_eq!(at("eu-west-3"), Some(None), "enabled, without a template");
        assert_eq!(FastLaunchOptions::default().in_region("us-east-1", "us-east-1"), None);
    }
}
