use super::*;

use std::time::Instant;

use futures::FutureExt as _;

/// A provisioner that fails with "failure N" the first `times` times.
fn failing(kind: &str, times: usize) -> PlannedProvisioner {
    let tries = Arc::new(Mutex::new(0));
    provisioner(kind, move |cx| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        let (number, fails) = (*tries, *tries <= times);
        cx.ui.say(format!("try {number}"));
        async move {
            anyhow::ensure!(!fails, "failure {number}");
            Ok(())
        }
        .boxed()
    })
}

/// Runs provisioners on a connected machine, as a builder without steps does.
async fn provision(
    provisioners: Vec<PlannedProvisioner>,
    error_cleanup: Option<PlannedProvisioner>,
) -> (Outcome, Vec<String>) {
    let mut planned = build("x", |cx| {
        async move {
            let data = BuildData::from([("Host".to_owned(), "10.0.0.1".into())]);
            let steps = crate::step::Steps::new(&cx);
            let work = cx.provisioning.provision(&cx, Arc::new(Connected), data);
            steps.finish(work).await.map(|()| None)
        }
        .boxed()
    });
    planned.provisioners = provisioners;
    planned.error_cleanup = error_cleanup;
    run(vec![planned], &request()).await
}

#[tokio::test]
async fn provisioners_run_in_order_until_one_fails() {
    let provisioners = vec![failing("one", 0), failing("two", 1), failing("three", 0)];
    let (outcome, said) = provision(provisioners, None).await;
    assert_eq!(errors(&outcome), ["template.json:2:3: the provisioner two failed: failure 1"]);
    assert_eq!(said, ["x| try 1", "x| try 1"]);
}

#[tokio::test]
async fn retries_say_how_many_are_left_and_the_first_error_counts() {
    let retried = |times| PlannedProvisioner { max_retries: 2, ..failing("shell", times) };
    let (outcome, said) = provision(vec![retried(2)], None).await;
    assert!(errors(&outcome).is_empty());
    let expected = [
        "x| try 1",
        "x| Provisioner failed with \"failure 1\", retrying with 2 trie(s) left",
        "x| try 2",
        "x| Provisioner failed with \"failure 2\", retrying with 1 trie(s) left",
        "x| try 3",
    ];
    assert_eq!(said, expected);

    let (outcome, said) = provision(vec![retried(3)], None).await;
    assert_eq!(errors(&outcome), ["template.json:2:3: the provisioner shell failed: failure 1"]);
    assert_eq!(said.last().unwrap(), "x| retry limit reached.");
}

#[tokio::test]
async fn each_try_has_its_own_pause_and_the_pause_wins_over_the_timeout() {
    let paused = PlannedProvisioner {
        pause_before: Duration::from_millis(60),
        timeout: Some(Duration::from_millis(1)),
        max_retries: 1,
        ..failing("shell", 1)
    };
    let started = Instant::now();
    let (outcome, said) = provision(vec![paused], None).await;
    assert!(errors(&outcome).is_empty());
    assert!(started.elapsed() >= Duration::from_millis(120));
    assert_eq!(said[0], "x| Pausing 60ms before the next provisioner...");
    assert!(!said.concat().contains("timeout"));
}

#[tokio::test]
async fn a_provisioner_is_stopped_when_its_time_is_up() {
    let endless = provisioner("shell", |cx| {
        async move {
            cx.cancel.cancelled().await;
            cx.ui.say("stopped by itself");
            Err(crate::retry::Cancelled.into())
        }
        .boxed()
    });
    let limited = PlannedProvisioner { timeout: Some(Duration::from_millis(50)), ..endless };
    let (outcome, said) = provision(vec![limited], None).await;
    let late = "template.json:2:3: the provisioner shell failed: it was not done within its `timeout` of 50ms";
    assert_eq!(errors(&outcome), [late]);
    let expected =
        ["x| Setting a 50ms timeout for the next provisioner...", "x| stopped by itself"];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_provisioner_that_does_not_stop_is_dropped() {
    let stop = Stop::default();
    stop.interrupt(Some(Duration::from_millis(200)));
    let work = std::future::pending();
    let result = crate::run::ending::limited(work, stop.token(), None, &stop).await;
    assert!(result.unwrap_err().is::<crate::retry::Cancelled>());
}

#[tokio::test]
async fn continue_on_error_goes_on_after_the_retries() {
    let tolerant =
        PlannedProvisioner { continue_on_error: true, max_retries: 1, ..failing("one", 9) };
    let (outcome, said) = provision(vec![tolerant, failing("two", 0)], None).await;
    assert!(errors(&outcome).is_empty());
    assert_eq!(said[3], "x| retry limit reached.");
    assert_eq!(
        said[4],
        "x| Warning: Provisioner failed with \"failure 1\", but continue_on_error is set; continuing the build."
    );
    assert_eq!(said[5], "x| try 1");
}

#[tokio::test]
async fn the_error_cleanup_provisioner_runs_after_a_failure_only() {
    let (outcome, said) = provision(vec![failing("one", 0)], Some(failing("clean", 0))).await;
    assert!(errors(&outcome).is_empty());
    assert_eq!(said, ["x| try 1"]);

    let (outcome, said) = provision(vec![failing("one", 1)], Some(failing("clean", 1))).await;
    assert_eq!(errors(&outcome), ["template.json:2:3: the provisioner one failed: failure 1"]);
    assert!(said[1].contains("Running the cleanup provisioner"));
    assert!(
        said[3].contains("template.json:2:3: the provisioner clean failed: failure 1"),
        "{said:?}"
    );
}

#[tokio::test]
async fn provisioners_are_made_with_what_the_machine_says() {
    let mut asks = provisioner("shell", |cx| {
        let knows = cx.facts.scope.build_data.clone().unwrap_or_default();
        assert_eq!(knows["Host"], "10.0.0.1");
        assert_eq!(knows["PackerHTTPIP"], "ERR_HTTP_IP_NOT_IMPLEMENTED_BY_BUILDER");
        async { Ok(()) }.boxed()
    });
    let uuid = request().environment.run_uuid.clone();
    let seen = Arc::new(Mutex::new(None));
    let (inner, noted) = (asks.recipe, seen.clone());
    asks.recipe = Arc::new(move |data| {
        *noted.lock().unwrap() = Some(data.clone());
        inner(data)
    });
    let (outcome, _) = provision(vec![asks], None).await;
    assert!(errors(&outcome).is_empty(), "{:?}", errors(&outcome));
    let data = seen.lock().unwrap().take().unwrap();
    assert_eq!(data["ID"], "ERR_ID_NOT_IMPLEMENTED_BY_BUILDER");
    assert_eq!(data["PackerRunUUID"].as_str().unwrap().len(), uuid.len());
}

#[tokio::test]
async fn an_interruption_ends_retries() {
    let stop = Stop::default();
    let interrupt = stop.clone();
    let interrupted = provisioner("shell", move |cx| {
        interrupt.interrupt(None);
        async move {
            cx.cancel.cancelled().await;
            anyhow::bail!("killed")
        }
        .boxed()
    });
    let mut planned = build("x", |cx| {
        async move {
            cx.provisioning.provision(&cx, Arc::new(Connected), BuildData::new()).await?;
            Ok(None)
        }
        .boxed()
    });
    planned.provisioners =
        vec![PlannedProvisioner { max_retries: 5, continue_on_error: true, ..interrupted }];
    let (outcome, said) = run_until(vec![planned], &request(), stop).await;
    assert_eq!(errors(&outcome), ["template.json:2:3: the provisioner shell failed: interrupted"]);
    assert!(said.is_empty(), "{said:?}");
}

#[tokio::test]
async fn on_a_machine_of_an_earlier_run_only_what_is_left_is_done() {
    for (done, times, said, failed_after) in [
        (1, 0, vec!["x| try 1", "x| try 1"], None),
        (2, 1, vec!["x| try 1"], Some(2)),
        (3, 0, vec![], None),
    ] {
        let seen = Arc::new(Mutex::new(None));
        let see = seen.clone();
        let mut planned = build("x", move |cx| {
            let see = see.clone();
            async move {
                cx.provisioning.begin_after(done);
                let result = cx.provisioning.provision(&cx, Arc::new(Connected), BuildData::new());
                let result = result.await;
                *see.lock().unwrap() = cx.provisioning.done_before_failure();
                result.map(|()| None)
            }
            .boxed()
        });
        planned.provisioners = vec![failing("one", 1), failing("two", 0), failing("three", times)];
        let (_, heard) = run(vec![planned], &request()).await;
        assert_eq!(heard, said, "after {done}");
        assert_eq!(*seen.lock().unwrap(), failed_after, "after {done}");
    }
}
