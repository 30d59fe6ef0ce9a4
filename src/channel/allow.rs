//! What an AWS account must allow for channels.

use crate::aws::allow::Regions;
use crate::aws::resource::Resource as _;
use crate::aws::resource::retired_ami::RetiredAmi;
use crate::channel::Channels;
use crate::permission::Permission;

/// That AMIs are published in these channels.
pub fn publish(channels: &Channels, at: &Regions) -> Vec<Permission> {
    let mut all = change(channels, at);
    all.push(at.everywhere(&["image"], &["CreateTags"]));
    all
}

/// That releases are promoted and rolled back.
pub fn change(channels: &Channels, at: &Regions) -> Vec<Permission> {
    let path = format!("{}/*", channels.path());
    let calls = ["DeleteParameter", "GetParameterHistory", "PutParameter"];
    // Systems Manager looks at the AMI in the caller's name.
    vec![at.look(&["DescribeImages"]), at.parameters(&path, &calls)]
}

/// That channels are shown.
pub fn list(channels: &Channels, at: &Regions) -> Vec<Permission> {
    let path = channels.path();
    vec![
        at.parameters(&path, &["GetParametersByPath"]),
        at.parameters(&format!("{path}/*"), &["GetParameterHistory", "GetParametersByPath"]),
    ]
}

/// That the channels below `prefix` are shown, of whichever image.
pub fn look(prefix: &str, at: &Regions) -> Vec<Permission> {
    let path = format!("{prefix}/*");
    vec![at.parameters(&path, &["GetParameterHistory", "GetParametersByPath"])]
}

/// That old AMIs are retired.
pub fn retire(channels: &Channels, at: &Regions) -> Vec<Permission> {
    let looks = [
        "DescribeImageAttribute",
        "DescribeImages",
        "DescribeInstances",
        "DescribeLaunchTemplateVersions",
        "DescribeLaunchTemplates",
        "DescribeSpotFleetRequests",
        "DescribeSpotInstanceRequests",
    ];
    let prefix = channels.prefix();
    let mut all = vec![
        at.look(&looks),
        Permission::new([
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:DescribeLaunchConfigurations",
        ]),
        at.parameters(prefix, &["GetParametersByPath"]),
        at.parameters(&format!("{prefix}/*"), &["GetParametersByPath"]),
        // A launch template can name any parameter.
        at.parameters("/*", &["GetParameterHistory"]),
        at.everywhere(&["image"], &["EnableImageDeprecation"]),
    ];
    all.extend(RetiredAmi::permissions(at));
    all
}
