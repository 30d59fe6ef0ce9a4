//! A machine that has ended while it was worked on: why, and whether to begin anew.

use std::time::Duration;

use crate::aws::instance::{Ended, by_id};
use crate::builder::amazon::machine::run_instance::Running;
use crate::builder::amazon::machine::settings::Machine;
use crate::component::{BuildContext, OnError};
use crate::retry;

/// When it is looked whether a spot instance was taken back: EC2 may say so only a moment after the
/// connection is lost.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

/// What `work` on `instance` comes to. If it fails because the instance has ended by itself, the error
/// says so.
pub(crate) async fn with_cause<T>(
    cx: &BuildContext,
    machine: &Machine,
    instance: &Running,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match work.await {
        Err(error) => Err(explained(cx, machine, instance, error).await),
        done => done,
    }
}

async fn explained(
    cx: &BuildContext,
    machine: &Machine,
    instance: &Running,
    error: anyhow::Error,
) -> anyhow::Error {
    let looks = if instance.is_spot { &LOOKS[..] } else { &LOOKS[..1] };
    for wait in looks {
        if retry::sleep(&cx.cancel, *wait).await.is_err() {
            break;
        }
        // The error counts, whatever becomes of the look.
        let seen = by_id(&machine.build.ec2(cx), &instance.id).await.ok().flatten();
        if let Some(ended) = seen.as_ref().and_then(Ended::of).filter(Ended::is_a_surprise) {
            return error.context(ended);
        }
    }
    error
}

/// Whether EC2 has taken a spot instance back, and all that was made was undone.
pub(crate) fn may_begin_anew(cx: &BuildContext, error: &anyhow::Error) -> bool {
    let was_taken_back = error.downcast_ref().is_some_and(Ended::was_taken_back);
    was_taken_back && cx.on_error == OnError::Cleanup && !cx.cancel.is_cancelled()
}
