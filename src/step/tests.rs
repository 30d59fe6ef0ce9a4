use super::*;

use std::collections::BTreeSet;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::event::Event;

/// What the steps of a test did, in order.
type Diary = Arc<Mutex<Vec<String>>>;

/// A step that writes down what it does.
struct Noted {
    name: &'static str,
    diary: Diary,
    /// Fails this often before it works.
    fails: Mutex<usize>,
    panics: bool,
    undo_fails: bool,
    made: Arc<Thing>,
}

impl Noted {
    fn new(name: &'static str, diary: &Diary) -> Self {
        Self {
            name,
            diary: diary.clone(),
            fails: Mutex::new(0),
            panics: false,
            undo_fails: false,
            made: Arc::new(Thing::new(name, "without id")),
        }
    }

    fn failing(self, times: usize) -> Self {
        Self { fails: Mutex::new(times), ..self }
    }
}

#[async_trait]
impl Step for Noted {
    type Output = ();

    fn name(&self) -> &'static str {
        self.name
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        self.diary.lock().unwrap().push(format!("run {}", self.name));
        assert!(!self.panics, "it broke");
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            anyhow::bail!("no {}", self.name);
        }
        cx.journal.made(&self.made, "with id");
        Ok(())
    }

    async fn undo(&self, _cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        self.diary.lock().unwrap().push(format!("undo {} {ending:?}", self.name));
        if self.undo_fails { Err(anyhow!("in use")) } else { Ok(()) }
    }
}

fn errors(said: &mut UnboundedReceiver<Event>) -> Vec<String> {
    let mut errors = Vec::new();
    while let Ok(event) = said.try_recv() {
        if let Message::Error(text) | Message::Left(text) = event.message {
            errors.push(text);
        }
    }
    errors
}

async fn all(steps: &Steps<'_>, wanted: Vec<Noted>) -> anyhow::Result<()> {
    for step in wanted {
        steps.run(step).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_step_is_undone_too_and_the_last_goes_first() {
    let (cx, _said) = BuildContext::for_tests();
    let diary = Diary::default();
    let steps = Steps::new(&cx);
    let wanted = vec![Noted::new("key", &diary), Noted::new("machine", &diary).failing(1)];
    let result = all(&steps, wanted).await;
    assert_eq!(cx.journal.entry_texts(), ["test: key with id", "test: machine without id"]);
    steps.undo(Ending::of(&result)).await;
    let did = diary.lock().unwrap().join(", ");
    assert_eq!(did, "run key, run machine, undo machine Failed, undo key Failed");
    assert!(cx.journal.entry_texts().is_empty());
}

#[tokio::test]
async fn a_failed_undo_is_said_and_written_down_and_the_others_go_on() {
    let (cx, mut said) = BuildContext::for_tests();
    let diary = Diary::default();
    let steps = Steps::new(&cx);
    let group = Noted { undo_fails: true, ..Noted::new("group", &diary) };
    all(&steps, vec![Noted::new("key", &diary), group]).await.unwrap();
    steps.undo(Ending::Done).await;
    let left = ["test: group with id (cannot undo step \"group\": in use)"];
    assert_eq!(cx.journal.left_behind(), left);
    assert_eq!(errors(&mut said), ["cannot undo step \"group\": in use"]);
    assert_eq!(cx.journal.entry_texts(), ["test: group with id"]);
}

#[tokio::test]
async fn a_step_that_panics_has_failed() {
    let (cx, _said) = BuildContext::for_tests();
    let diary = Diary::default();
    let steps = Steps::new(&cx);
    let broken = Noted { panics: true, ..Noted::new("machine", &diary) };
    let result = all(&steps, vec![Noted::new("key", &diary), broken]).await;
    steps.undo(Ending::of(&result)).await;
    assert!(result.unwrap_err().to_string().contains("it broke"));
    assert!(cx.journal.entry_texts().is_empty());
}

#[tokio::test]
async fn what_panics_between_the_steps_has_failed_and_the_steps_are_undone() {
    let (cx, _said) = BuildContext::for_tests();
    let diary = Diary::default();
    let steps = Steps::new(&cx);
    let work = async {
        all(&steps, vec![Noted::new("key", &diary)]).await?;
        if steps.aborted.load(Ordering::Relaxed) { Ok(()) } else { panic!("index out of bounds") }
    };
    let error = steps.finish(work).await.unwrap_err().to_string();
    assert_eq!(error, "a mistake in imgbake itself: index out of bounds");
    assert_eq!(diary.lock().unwrap().join(", "), "run key, undo key Failed");
    assert!(cx.journal.entry_texts().is_empty());
}

#[tokio::test]
async fn an_interruption_that_no_step_noticed_is_a_failure() {
    let (cx, _said) = BuildContext::for_tests();
    let diary = Diary::default();
    let steps = Steps::new(&cx);
    let work = async {
        all(&steps, vec![Noted::new("image", &diary)]).await?;
        cx.cancel.cancel();
        Ok(())
    };
    assert!(steps.finish(work).await.unwrap_err().is::<Cancelled>());
    assert_eq!(diary.lock().unwrap().join(", "), "run image, undo image Failed");
}

#[tokio::test]
async fn abort_leaves_everything_and_says_so() {
    let (mut cx, mut said) = BuildContext::for_tests();
    cx.on_error = OnError::Abort;
    let diary = Diary::default();
    let steps = Steps::new(&cx);
    let wanted = vec![Noted::new("key", &diary), Noted::new("machine", &diary).failing(1)];
    let result = all(&steps, wanted).await;
    steps.undo(Ending::of(&result)).await;
    let expected = [
        "no machine",
        "Step \"machine\" failed, aborting...",
        "aborted: skipping cleanup of step \"machine\"",
        "aborted: skipping cleanup of step \"key\"",
    ];
    assert_eq!(errors(&mut said), expected);
    assert_eq!(cx.journal.entry_texts().len(), 2);
    assert!(cx.journal.left_behind().is_empty(), "it was left on purpose");
}

#[tokio::test]
async fn who_is_asked_may_retry_abort_or_clean_up() {
    for (answers, did) in [
        (vec!["x", "retry"], "run machine, run machine, undo machine Done"),
        (vec!["r", "a"], "run machine, run machine"),
        (vec![""], "run machine, undo machine Failed"),
        (vec!["c"], "run machine, undo machine Failed"),
    ] {
        let (mut cx, mut said) = BuildContext::for_tests();
        cx.on_error = OnError::Ask;
        let fails = if answers.contains(&"a") { 2 } else { 1 };
        let diary = Diary::default();
        let person = tokio::spawn(async move {
            let mut answers = answers.into_iter();
            while let Some(event) = said.recv().await {
                if let Message::Ask { answer, .. } = event.message {
                    answer.send(answers.next().map(str::to_owned)).unwrap();
                }
            }
        });
        let steps = Steps::new(&cx);
        let result = all(&steps, vec![Noted::new("machine", &diary).failing(fails)]).await;
        steps.undo(Ending::of(&result)).await;
        assert_eq!(diary.lock().unwrap().join(", "), did);
        drop(cx);
        person.await.unwrap();
    }
}

#[tokio::test]
async fn after_an_interruption_no_step_starts_and_nobody_is_asked() {
    let (mut cx, _said) = BuildContext::for_tests();
    cx.on_error = OnError::Ask;
    cx.facts = Arc::new(crate::component::Facts { debug: true, ..(*cx.facts).clone() });
    let diary = Diary::default();
    let steps = Steps::new(&cx);
    cx.cancel.cancel();
    let result = all(&steps, vec![Noted::new("machine", &diary)]).await;
    assert!(result.as_ref().unwrap_err().is::<Cancelled>());
    steps.undo(Ending::of(&result)).await;
    assert!(diary.lock().unwrap().is_empty());
}

/// Undone at the same time as the others: both must meet.
struct Meets(Arc<tokio::sync::Barrier>, bool);

#[async_trait]
impl Step for Meets {
    type Output = ();
    fn name(&self) -> &'static str {
        "meets"
    }
    async fn run(&self, _cx: &BuildContext) -> anyhow::Result<()> {
        Ok(())
    }
    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        self.0.wait().await;
        Ok(())
    }
    fn undoes_independently(&self) -> bool {
        self.1
    }
}

#[tokio::test]
async fn what_stands_alone_is_undone_beside_the_others() {
    let (cx, _said) = BuildContext::for_tests();
    let barrier = Arc::new(tokio::sync::Barrier::new(3));
    let steps = Steps::new(&cx);
    for alone in [true, false, true] {
        steps.run(Meets(barrier.clone(), alone)).await.unwrap();
    }
    tokio::time::timeout(std::time::Duration::from_secs(5), steps.undo(Ending::Done))
        .await
        .unwrap();
}

/// Sets out to make something, and ends neither that nor its undo.
struct Endless(Arc<Thing>);

impl Endless {
    fn new() -> Self {
        Self(Arc::new(Thing::new("machine", "without id")))
    }
}

#[async_trait]
impl Step for Endless {
    type Output = ();
    fn name(&self) -> &'static str {
        "run for ever"
    }
    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.0.clone()]
    }
    async fn run(&self, _cx: &BuildContext) -> anyhow::Result<()> {
        self.0.attempt();
        std::future::pending().await
    }
    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        std::future::pending().await
    }
    fn undo_limit(&self, _cx: &BuildContext) -> Duration {
        retry::SILENT_WAIT + Duration::from_millis(50)
    }
}

#[tokio::test]
async fn an_undo_that_does_not_end_is_waited_for_aloud_and_not_for_ever() {
    let (cx, mut said) = BuildContext::for_tests();
    let (diary, steps) = (Diary::default(), Steps::new(&cx));
    steps.run(Noted::new("key", &diary)).await.unwrap();
    let endless = steps.run(Endless::new());
    tokio::time::timeout(Duration::from_millis(10), endless).await.unwrap_err();
    steps.undo(Ending::Failed).await;
    assert_eq!(diary.lock().unwrap().join(", "), "run key, undo key Failed");
    let why = "cannot undo step \"run for ever\": it was not done within 2.05s";
    assert_eq!(cx.journal.left_behind(), [format!("test: machine without id ({why})")]);
    let mut heard = Vec::new();
    while let Ok(event) = said.try_recv() {
        if let Message::Say(text) = event.message {
            heard.push(text);
        }
    }
    let waiting = "Waiting for the cleanup of step \"run for ever\": machine without id";
    assert_eq!(heard, [waiting]);
}

#[tokio::test]
async fn work_that_does_not_end_when_it_is_interrupted_is_cut_off_and_what_it_made_is_in_doubt() {
    let (cx, _said) = BuildContext::for_tests();
    let steps = Steps::new(&cx);
    let endless = Endless::new();
    let machine = endless.0.clone();
    let work = steps.finish(steps.run(endless));
    let interruption = async {
        tokio::task::yield_now().await;
        cx.stop.interrupt(Some(Duration::from_millis(100)));
    };
    let (result, ()) = tokio::join!(work, interruption);
    assert!(matches!(result.unwrap_err().downcast_ref(), Some(Cause::Interrupted)));
    assert!(machine.is_doubtful());
}

/// Remembers whether the error-cleanup provisioner was called.
#[derive(Default)]
struct Cleanup(Mutex<BTreeSet<&'static str>>);

#[async_trait]
impl crate::component::Provisioning for Cleanup {
    async fn provision(
        &self,
        _cx: &BuildContext,
        _communicator: Arc<dyn crate::component::Communicator>,
        _data: crate::interpolate::BuildData,
    ) -> anyhow::Result<()> {
        Ok(())
    }
    async fn after_failure(&self, _cx: &BuildContext) {
        self.0.lock().unwrap().insert("called");
    }
}

#[tokio::test]
async fn the_error_cleanup_provisioner_runs_unless_the_build_is_aborted() {
    for (on_error, expected) in [
        (OnError::Cleanup, true),
        (OnError::Ask, true),
        (OnError::Abort, false),
        (OnError::RunCleanupProvisioner, true),
    ] {
        let (mut cx, said) = BuildContext::for_tests();
        drop(said);
        let cleanup = Arc::new(Cleanup::default());
        cx.on_error = on_error;
        cx.provisioning = cleanup.clone();
        let steps = Steps::new(&cx);
        let result = all(&steps, vec![Noted::new("x", &Diary::default()).failing(1)]).await;
        steps.undo(Ending::of(&result)).await;
        assert_eq!(cleanup.0.lock().unwrap().contains("called"), expected, "{on_error:?}");
    }
}
