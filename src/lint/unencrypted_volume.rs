//! An image whose volumes are not encrypted.

use super::{Rule, Subject, blocks, finding, given, is_true, texts};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, code};
use crate::plan::PlannedBuild;

pub(super) const RULE: Rule = Rule::new(code::UNENCRYPTED_VOLUME, check).pedantic();

const MAPPINGS: [&str; 2] = ["launch_block_device_mappings", "ami_block_device_mappings"];

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let builds = subject.plan.builds.iter();
    let builds = builds.filter(|build| build.facts.builder_type == "amazon-ebs");
    builds.filter(|build| !is_exempt(build)).flat_map(of_build).collect()
}

/// Whether the whole image is encrypted anyway, cannot be (a public one), or is not made.
fn is_exempt(build: &PlannedBuild) -> bool {
    let options = &build.options;
    let is_public = options
        .get("ami_groups")
        .is_some_and(|entry| texts(&entry.value, build).iter().any(|(group, _)| group == "all"));
    is_public
        || is_true(options, "encrypt_boot", build)
        || is_true(options, "skip_create_ami", build)
}

fn of_build(build: &PlannedBuild) -> Vec<Diagnostic> {
    let devices: Vec<&Node> =
        MAPPINGS.iter().flat_map(|option| blocks(&build.options, option)).collect();
    if devices.iter().any(|device| is_true(device, "encrypted", build)) {
        let open = devices.into_iter().filter(|device| is_open(device, build));
        return open.map(|device| report(device.span, "not `encrypted`")).collect();
    }
    vec![report(build.span, "no volume is `encrypted`")]
}

/// Whether it is a volume of its own that is not encrypted.
fn is_open(device: &Node, build: &PlannedBuild) -> bool {
    let has = |option| given(device, option).is_some();
    let is_no_volume =
        is_true(device, "no_device", build) || has("virtual_name") || has("snapshot_id");
    !is_true(device, "encrypted", build) && !is_no_volume
}

fn report(span: crate::source::Span, cause: &str) -> Diagnostic {
    finding(RULE.code, span, "the volumes of the image are not encrypted")
        .because(cause)
        .note("unless the account encrypts all new volumes by default")
        .help(
            "map each device, the root device among them, in `launch_block_device_mappings` with \
             `encrypted = true`",
        )
}
