use super::*;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;

use crate::fault::{Fault, Kind};
use crate::journal::Thing;

/// Counts how many run at a time, and the order in which they start.
#[derive(Clone, Default)]
struct Observed {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    order: Arc<Mutex<Vec<String>>>,
}

impl Observed {
    fn build(&self, name: &str) -> PlannedBuild {
        let seen = self.clone();
        build(name, move |cx| {
            let seen = seen.clone();
            async move {
                seen.order.lock().unwrap().push(cx.facts.build_name.clone());
                let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
                seen.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                seen.now.fetch_sub(1, Ordering::SeqCst);
                Ok(Some(artifact(&cx.facts.build_name)))
            }
            .boxed()
        })
    }
}

async fn observe(request: &RunRequest) -> (usize, Vec<String>, Outcome) {
    let seen = Observed::default();
    let builds = ["a", "b", "c", "d", "e"].iter().map(|name| seen.build(name)).collect();
    let (outcome, _) = run(builds, request).await;
    let order = seen.order.lock().unwrap().clone();
    (seen.most.load(Ordering::SeqCst), order, outcome)
}

#[tokio::test]
async fn all_builds_run_at_a_time_unless_limited() {
    let (most, _, outcome) = observe(&request()).await;
    assert_eq!(most, 5);
    let names: Vec<_> = outcome.builds.iter().map(|build| build.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(outcome.stopped, None);

    let (most, ..) = observe(&RunRequest { parallel_builds: Some(2), ..request() }).await;
    assert_eq!(most, 2);
}

#[tokio::test]
async fn one_at_a_time_is_in_the_order_of_the_template() {
    for request in [
        RunRequest { parallel_builds: Some(1), ..request() },
        RunRequest { debug: true, ..request() },
    ] {
        let (most, order, _) = observe(&request).await;
        assert_eq!((most, order.concat().as_str()), (1, "abcde"));
    }
}

#[tokio::test]
async fn a_build_that_fails_or_panics_is_its_own_matter() {
    let builds = vec![
        build("fails", |_| async { anyhow::bail!("no such image") }.boxed()),
        build("panics", |_| async { panic!("index out of bounds") }.boxed()),
        build("works", |_| async { Ok(Some(artifact("image"))) }.boxed()),
        build("makes nothing", |_| async { Ok(None) }.boxed()),
    ];
    let (outcome, _) = run(builds, &request()).await;
    let expected = ["no such image", "a mistake in imgbake itself: index out of bounds"];
    assert_eq!(errors(&outcome), expected);
    let faults: Vec<_> = outcome.builds.iter().map(|build| build.fault).collect();
    let ours = Fault::lasting(Kind::Imgbake);
    assert_eq!(faults[..2], [Some(Fault::lasting(Kind::Environment)), Some(ours)]);
    let made: Vec<usize> = outcome.builds.iter().map(|build| build.artifacts.len()).collect();
    assert_eq!(made, [0, 0, 1, 0]);
}

#[tokio::test]
async fn an_interruption_stops_what_runs_and_starts_nothing_more() {
    let stop = Stop::default();
    let interrupt = stop.clone();
    let first = build("first", move |cx| {
        let interrupt = interrupt.clone();
        async move {
            interrupt.interrupt(None);
            cx.cancel.cancelled().await;
            Err(crate::retry::Cancelled.into())
        }
        .boxed()
    });
    let second = build("second", |_| async { panic!("it must not start") }.boxed());
    let request = RunRequest { parallel_builds: Some(1), ..request() };
    let (outcome, _) = run_until(vec![first, second], &request, stop).await;
    assert_eq!(outcome.stopped, Some(Cause::Interrupted));
    let not_started = "not started: the run was interrupted before its turn";
    assert_eq!(errors(&outcome), ["interrupted", not_started]);
    let interrupted = Some(Fault::passing(Kind::Interrupted));
    assert!(outcome.builds.iter().all(|build| build.fault == interrupted));
}

#[tokio::test]
async fn an_artifact_that_was_finished_when_the_interruption_came_is_not_post_processed() {
    let stop = Stop::default();
    let interrupt = stop.clone();
    let mut finished = build("x", move |_| {
        interrupt.interrupt(None);
        async { Ok(Some(artifact("image"))) }.boxed()
    });
    finished.post_processors = vec![vec![post_processor("never", None, |_| panic!("it must not"))]];
    let (outcome, said) = run_until(vec![finished], &request(), stop).await;
    assert_eq!(errors(&outcome), ["interrupted"]);
    assert_eq!(outcome.builds[0].artifacts[0].id(), "image");
    assert!(said.is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_post_processor_that_is_interrupted_has_not_failed_by_itself() {
    let stop = Stop::default();
    let interrupt = stop.clone();
    let mut finished = build("x", |_| async { Ok(Some(artifact("image"))) }.boxed());
    let interrupted = move |_| {
        interrupt.interrupt(None);
        Err(crate::retry::Cancelled.into())
    };
    finished.post_processors = vec![vec![post_processor("slow", None, interrupted)]];
    let (outcome, _) = run_until(vec![finished], &request(), stop).await;
    assert_eq!(outcome.builds[0].fault, Some(Fault::passing(Kind::Interrupted)));
}

#[tokio::test]
async fn what_is_left_is_in_the_outcome() {
    let leaves = build("x", |cx| {
        let stuck = Arc::new(Thing::new("machine", "i-1"));
        cx.journal.insert("x", stuck.clone());
        cx.journal.mark_failed(&stuck, "in use");
        cx.journal.insert("x", Arc::new(Thing::new("key pair", "k")));
        async { Ok(None) }.boxed()
    });
    let (outcome, _) = run(vec![leaves], &request()).await;
    assert_eq!(outcome.left_behind, ["x: machine i-1 (in use)"]);
    assert_eq!(outcome.untouched, ["x: key pair k"]);
}

#[tokio::test]
async fn a_build_that_does_not_end_is_cut_off_when_the_time_to_clean_up_is_over() {
    let stop = Stop::default();
    let interrupt = stop.clone();
    let endless = build("x", move |cx| {
        cx.journal.insert("x", Arc::new(Thing::new("machine", "i-1")));
        interrupt.interrupt(Some(Duration::from_millis(50)));
        std::future::pending().boxed()
    });
    let (outcome, _) = run_until(vec![endless], &request(), stop).await;
    assert_eq!(errors(&outcome), ["interrupted"]);
    assert_eq!(outcome.left_behind, ["x: machine i-1 (the time to clean up was over)"]);
}

#[tokio::test]
async fn a_build_that_is_stopped_at_its_time_limit_does_not_say_that_it_was_interrupted() {
    let stop = Stop::default();
    let limit = stop.clone();
    let stopped = build("x", move |cx| {
        limit.at_time_limit();
        async move {
            let steps = crate::step::Steps::new(&cx);
            steps.finish(async { Ok(None) }).await
        }
        .boxed()
    });
    let (outcome, _) = run_until(vec![stopped], &request(), stop).await;
    assert_eq!(errors(&outcome), ["stopped at its time limit"]);
    assert_eq!(outcome.stopped, Some(Cause::TimeLimit));
}
