//! What an account must allow, so that builds with these options work: each step says what it calls.

use crate::aws::access::Access;
use crate::aws::allow::Regions;
use crate::builder::amazon::ebs::Settings;
use crate::builder::amazon::machine::console::Console;
use crate::builder::amazon::steps::{
    CheckAccount, CopyImage, CreateImage, DeregisterOld, EnableFastLaunch, FindNetwork, FindOld,
    FindSourceAmi, HandOver, MakeKeyPair, MakeProfile, OpenSecurityGroup, OpenTunnel, RunInstance,
    SetAttributes, SetLifetime, ShareImages, StopInstance, TagImages,
};
use crate::config::UNKNOWN;
use crate::env::Environment;
use crate::permission::Permission;

/// All of it, in the order of the steps.
pub(super) fn all(settings: &Settings, environment: &Environment) -> Vec<Permission> {
    // A region that a data source will say is not known by now.
    let own = settings.access.region_given(environment).filter(|region| region != UNKNOWN);
    let at = Regions::new(own, &settings.copies.ami_regions);
    let mut all = of_access(&settings.access);
    all.extend(CheckAccount::permissions(settings, &at));
    all.extend(FindSourceAmi::permissions(&at));
    all.extend(FindNetwork::permissions(settings, &at));
    all.extend(MakeKeyPair::permissions(settings, &at));
    all.extend(OpenSecurityGroup::permissions(settings, &at));
    all.extend(MakeProfile::permissions(settings, &at));
    all.extend(RunInstance::permissions(settings, &at));
    all.extend(Console::permissions(settings, &at));
    all.extend(OpenTunnel::permissions(settings, &at));
    all.extend(StopInstance::permissions(settings, &at));
    if !settings.ebs.skip_create_ami {
        all.extend(SetAttributes::permissions(settings, &at));
        all.extend(FindOld::permissions(settings, &at));
        all.extend(CreateImage::permissions(settings, &at));
        all.extend(DeregisterOld::permissions(settings, &at));
        all.extend(CopyImage::permissions(settings, &at));
        all.extend(ShareImages::permissions(settings, &at));
        all.extend(TagImages::permissions(settings, &at));
        all.extend(EnableFastLaunch::permissions(settings, &at));
        all.extend(SetLifetime::permissions(settings, &at));
        all.extend(HandOver::permissions(&at));
    }
    all
}

/// Those of the credentials to begin with. Anybody may ask who she is.
fn of_access(access: &Access) -> Vec<Permission> {
    let mut all = Vec::new();
    if let Some(role) = &access.assume_role {
        all.push(Permission::new(["sts:AssumeRole"]).on([&role.role_arn]));
        if !access.mfa_code.is_empty() {
            let own = "arn:*:iam::*:user/${aws:username}";
            all.push(Permission::new(["iam:ListMFADevices"]).on([own]));
        }
    }
    if access.decode_authorization_messages {
        all.push(Permission::new(["sts:DecodeAuthorizationMessage"]));
    }
    all
}
