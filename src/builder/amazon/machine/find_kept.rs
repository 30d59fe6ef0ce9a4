//! Is there a machine that an earlier run of this build has kept, and on which all is done as this one
//! would do it?

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::Instance;
use jiff::Timestamp;

use crate::aws::image::filter;
use crate::aws::instance;
use crate::aws::resource::instance::proven;
use crate::aws::tags;
use crate::builder::amazon::machine::keep::{DONE_TAG, KEPT_FOR_TAG};
use crate::builder::amazon::machine::settings::Machine;
use crate::builder::amazon::record_tags;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::keep;
use crate::component::BuildContext;
use crate::step::Step;

/// Looks for the machine on which most is done.
pub(crate) struct FindKept {
    machine: Machine,
    source: SourceAmi,
}

/// A machine that an earlier run has kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Its id.
    pub id: String,
    /// The token of the build that has started it.
    pub token: String,
    /// How many provisioners have done their work there.
    pub done: usize,
    /// The key pair that it was started with: by its name the key is known on the machine.
    pub key_name: Option<String>,
    begun: Timestamp,
}

impl FindKept {
    pub(crate) fn new(machine: &Machine, source: &SourceAmi) -> Self {
        Self { machine: machine.clone(), source: source.clone() }
    }

    /// All that runs of this build have kept, and that may live long enough.
    async fn all(&self, cx: &BuildContext) -> anyhow::Result<Vec<(Kept, Instance)>> {
        let filters = vec![
            filter(format!("tag:{KEPT_FOR_TAG}"), [&cx.facts.unique_name]),
            filter("instance-state-name", ["stopping", "stopped"]),
        ];
        let found = instance::all_matching(&self.machine.build.ec2(cx), filters).await;
        let found = found.context("cannot look for a machine that was kept")?;
        let soon = Timestamp::now() + keep::LEAST;
        let kept = found.into_iter().filter_map(|instance| {
            let kept = Kept::of(cx, &instance, soon)?;
            Some((kept, instance))
        });
        Ok(kept.collect())
    }

    /// Why nobody can go on with `kept`, if that is so.
    async fn why_not(&self, cx: &BuildContext, kept: &Kept, instance: &Instance) -> Option<String> {
        let record = match cx.fingerprint.record_before(kept.done).await {
            Ok(record) => record.with_source(self.source.id()),
            Err(error) => return Some(format!("{} was kept, but: {error:#}", kept.id)),
        };
        let is_of_source = instance.image_id() == Some(self.source.id());
        let changed = record_tags::read(instance.tags()).changes(&record);
        let changed = changed.or_else(|| (!is_of_source).then(|| "something".to_owned()))?;
        Some(format!("{changed} changed since {} was kept", kept.id))
    }
}

impl Kept {
    /// What `instance` is, if it was kept for the build of `cx` and may live beyond `soon`.
    fn of(cx: &BuildContext, instance: &Instance, soon: Timestamp) -> Option<Self> {
        let (tags, mark) = (instance.tags(), proven(instance)?);
        let is_of_build = tags::value(tags, KEPT_FOR_TAG) == Some(&cx.facts.unique_name);
        let lives = mark.kept_until.is_some_and(|until| until > soon);
        let done = tags::value(tags, DONE_TAG)?.parse().ok()?;
        (is_of_build && lives).then_some(Self {
            id: instance.instance_id()?.to_owned(),
            token: mark.token,
            done,
            key_name: instance.key_name().map(str::to_owned),
            begun: mark.begun,
        })
    }
}

#[async_trait]
impl Step for FindKept {
    type Output = Option<Kept>;

    fn name(&self) -> &'static str {
        "look for a machine to go on with"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<Kept>> {
        let mut all = self.all(cx).await?;
        // First the one on which most is done, and of those the newest.
        all.sort_by_key(|(kept, _)| std::cmp::Reverse((kept.done, kept.begun)));
        let mut first = None;
        for (kept, instance) in all {
            match self.why_not(cx, &kept, &instance).await {
                None => return Ok(Some(kept)),
                Some(why) => first.get_or_insert(why),
            };
        }
        if let Some(why) = first {
            cx.ui.say(format!("A clean start: {why}"));
        }
        Ok(None)
    }
}
