//! What the machine may do in the account: nothing, or what an instance profile says.

use std::sync::Arc;

use anyhow::ensure;
use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::name::time_ordered_id;
use crate::aws::profile;
use crate::aws::resource::Resource as _;
use crate::aws::resource::instance_profile::InstanceProfile;
use crate::builder::amazon::machine::profile::PolicyDocument;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// Looks for the given instance profile, or makes one from the template's policy. Nobody waits for
/// IAM to spread it: the call that starts the machine is made again until EC2 has heard of it.
pub(crate) struct MakeProfile {
    machine: Machine,
    source: SourceAmi,
    /// The profile and what it will be called, if one is made.
    made: Option<(String, Arc<Thing>)>,
}

impl MakeProfile {
    pub(crate) fn new(machine: &Machine, source: &SourceAmi) -> Self {
        let made = machine.settings.profile.temporary_policy().map(|_| {
            let name = format!("{}{}", profile::PREFIX, time_ordered_id());
            let made = InstanceProfile { name: name.clone(), token: machine.build.token.clone() };
            (name, Arc::new(made.thing(&machine.build.account, machine.build.account.region())))
        });
        Self { machine: machine.clone(), source: source.clone(), made }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let options = &settings.profile;
        if options.temporary_policy().is_some() {
            let mut all = vec![
                at.temporary_roles(profile::CALLS),
                at.temporary_roles(profile::TAGS).made_by_service(),
                at.pass_role("packer-*"),
            ];
            all.extend(InstanceProfile::permissions(at));
            return all;
        }
        let given = &options.iam_instance_profile;
        if given.is_empty() {
            return Vec::new();
        }
        // A profile does not say in its name which role is in it.
        let mut all = vec![at.pass_role("*")];
        if !options.skip_profile_validation {
            all.push(at.profile(given, &["GetInstanceProfile"]));
        }
        all
    }

    async fn check(&self, cx: &BuildContext, name: &str) -> anyhow::Result<()> {
        if !self.machine.settings.profile.skip_profile_validation {
            let exists = profile::exists(&self.machine.build.account.iam(&cx.cancel), name).await?;
            ensure!(
                exists,
                "the account has no instance profile `{name}` (`iam_instance_profile`)"
            );
        }
        Ok(())
    }

    async fn make(
        &self,
        cx: &BuildContext,
        (name, made): (&str, &Thing),
        policy: &PolicyDocument,
    ) -> anyhow::Result<()> {
        cx.ui.say(format!("Creating the temporary instance profile {name} and its role"));
        let account = &self.machine.build.account;
        let tags = self.machine.build.own_tags(cx, &self.source)?;
        let at = (account.region(), tags.as_slice());
        profile::make(&account.iam(&cx.cancel), made, name, &policy.json(), at).await?;
        cx.journal.made(made, name);
        Ok(())
    }
}

#[async_trait]
impl Step for MakeProfile {
    type Output = Option<String>;

    fn name(&self) -> &'static str {
        "make an instance profile"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.made.iter().map(|(_, made)| made.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<String>> {
        let options = &self.machine.settings.profile;
        if let (Some((name, made)), Some(policy)) = (&self.made, options.temporary_policy()) {
            self.make(cx, (name, made), policy).await?;
            return Ok(Some(name.clone()));
        }
        let given = &options.iam_instance_profile;
        if given.is_empty() {
            return Ok(None);
        }
        self.check(cx, given).await?;
        Ok(Some(given.clone()))
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        match &self.made {
            Some((_, made)) => self.machine.build.removal(cx).remove(made).await,
            None => Ok(()),
        }
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
