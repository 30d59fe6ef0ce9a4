//! `-keep-failed`, for every builder: when a machine is kept, until when, and what is said of it.

use std::time::Duration;

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

use crate::component::{BuildContext, KeepFailed};
use crate::step::Ending;

/// How long a kept machine must live still, so that nobody removes it while it is claimed.
pub(crate) const LEAST: SignedDuration = SignedDuration::from_secs(60);

/// How many provisioners have done their work on the machine of a build that ends so, if the next one
/// has failed and somebody wants to go on there.
pub(crate) fn wanted(cx: &BuildContext, ending: Ending) -> Option<(usize, KeepFailed)> {
    let done = cx.provisioning.done_before_failure()?;
    let failed = ending == Ending::Failed && cx.stop.cause().is_none();
    Some((done, cx.keep_failed.filter(|_| failed)?))
}

/// When `time` from now is over, in whole seconds.
pub(crate) fn until(time: Duration) -> anyhow::Result<Timestamp> {
    let seconds = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
    Ok(Timestamp::now().checked_add(time)?.round(seconds)?)
}

/// What has been done on a machine.
pub(crate) fn words(done: usize) -> String {
    match done {
        0 => "its first provisioner has failed".to_owned(),
        1 => "the first provisioner has done its work there".to_owned(),
        done => format!("the first {done} provisioners have done their work there"),
    }
}
