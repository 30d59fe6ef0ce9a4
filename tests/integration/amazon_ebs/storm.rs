//! Faults are normal: many builds at a time, while calls are throttled, fail, get lost on the way
//! there or back, or are answered late.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde_json::json;

use super::bed::{Build, Cloud};
use super::proxy::{Proxy, Rule, seeded};

/// How many builds run at a time in each cloud.
const AT_A_TIME: usize = 8;

impl Cloud {
    /// Runs `count` builds while `rule` decides what becomes of their calls; all succeed, each with
    /// one AMI, and nothing else is left.
    async fn bake(&self, count: usize, rule: Rule) -> Duration {
        let proxy = Proxy::before(self.bed.moto.endpoint()).with_rule(rule).with_manners();
        let proxy = proxy.start().await;
        let started = Instant::now();
        let run = uuid::Uuid::new_v4().to_string();
        let builds = (0..count).map(|number| {
            let options = self.bed.options(json!({"ami_name": format!("baked-{number}")}));
            let mut build = Build::of(options, proxy.endpoint());
            // Builds of one run share their pace.
            build.vars.insert("PACKER_RUN_UUID".to_owned(), run.clone());
            async move { tokio::spawn(build.run()).await.unwrap() }
        });
        let ended: Vec<_> =
            futures::stream::iter(builds).buffer_unordered(AT_A_TIME).collect().await;
        let took = started.elapsed();
        for build in &ended {
            build.artifact();
            assert_eq!(build.journal.entry_texts(), Vec::<String>::new(), "{:#?}", build.said);
        }
        let new = self.left().await;
        let of = |kind: &str| new.iter().filter(|one| one.starts_with(kind)).count();
        assert_eq!((of("ami-"), of("snap-"), new.len()), (count, count, 2 * count), "{new:?}");
        println!("{count} builds in {took:?}, {} calls", proxy.calls().len());
        self.bed.sweep(&self.before).await;
        took
    }
}

/// As many builds as `each` for each seed, in as many clouds as there are seeds.
async fn bake_in_a_storm(seeds: &[u64], each: usize) {
    let clouds = futures::future::join_all(seeds.iter().map(|_| Cloud::start())).await;
    let all = async |percent| {
        let started = Instant::now();
        let bakes = clouds.iter().zip(seeds);
        let bakes = bakes.map(|(cloud, seed)| cloud.bake(each, seeded(*seed, percent)));
        futures::future::join_all(bakes).await;
        started.elapsed()
    };
    let (calm, stormy) = (all(0).await, all(20).await);
    let ratio = stormy.as_secs_f64() / calm.as_secs_f64();
    println!("undisturbed {calm:?}, in a storm {stormy:?}: {ratio:.1} times as long");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_succeed_leave_nothing_and_make_nothing_twice_while_calls_go_wrong() {
    bake_in_a_storm(&[1, 2], 12).await;
}

/// `tests/run --test integration -- --ignored --nocapture two_hundred_builds`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: the same with more builds"]
async fn two_hundred_builds_succeed_while_calls_go_wrong() {
    bake_in_a_storm(&[3, 4, 5, 6], 50).await;
}

/// How long builds take one after the other, each with trouble of its own for `percent` of its calls.
async fn one_after_the_other(cloud: &Cloud, percent: u64) -> Duration {
    let mut took = Duration::ZERO;
    for seed in 1..=BUILDS {
        let proxy = Proxy::before(cloud.bed.moto.endpoint()).with_rule(seeded(seed, percent));
        let proxy = proxy.with_manners().start().await;
        let options = cloud.bed.options(json!({"ami_name": format!("baked-{seed}")}));
        let started = Instant::now();
        let ended = Build::of(options, proxy.endpoint()).run().await;
        took += started.elapsed();
        ended.artifact();
        cloud.bed.sweep(&cloud.before).await;
    }
    took
}

/// How many.
const BUILDS: u64 = 12;

/// `tests/run --test integration -- --ignored --nocapture one_build_after`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: it wants a machine of its own"]
async fn one_build_after_the_other_takes_three_times_as_long_at_most_while_calls_go_wrong() {
    let cloud = Cloud::start().await;
    let calm = one_after_the_other(&cloud, 0).await;
    let stormy = one_after_the_other(&cloud, 20).await;
    let ratio = stormy.as_secs_f64() / calm.as_secs_f64();
    println!(
        "{BUILDS} builds: undisturbed {calm:?}, disturbed {stormy:?}: {ratio:.1} times as long"
    );
    assert!(ratio <= 3.0, "{ratio:.1} times as long");
}
