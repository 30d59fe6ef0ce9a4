//! Calls of an API that answers by a script.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_ec2::error::ErrorMetadata;
use aws_sdk_ec2::operation::create_image::CreateImageError as Refused;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

use super::*;
use crate::env::Environment;

/// What the API says to each call in turn: a code, or nothing at all, or what was made.
#[derive(Clone, Copy)]
enum Says {
    Made(u32),
    Refuses(&'static str),
    Nothing,
}

struct Script {
    answers: Mutex<VecDeque<Says>>,
    calls: AtomicUsize,
}

impl Script {
    fn new(answers: &[Says]) -> Self {
        let answers = Mutex::new(answers.iter().copied().collect());
        Self { answers, calls: AtomicUsize::new(0) }
    }

    async fn answer(&self) -> Result<u32, SdkError<Refused, HttpResponse>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.answers.lock().unwrap().pop_front().expect("no more calls") {
            Says::Made(id) => Ok(id),
            Says::Refuses(code) => {
                let answer = ErrorMetadata::builder().code(code).message("not `new-1`").build();
                let status = StatusCode::try_from(400).unwrap();
                let response = HttpResponse::new(status, SdkBody::empty());
                Err(SdkError::service_error(Refused::generic(answer), response))
            }
            Says::Nothing => {
                Err(SdkError::dispatch_failure(ConnectorError::io("the line is dead".into())))
            }
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn api(tries: usize) -> Api<()> {
    let environment = Environment::new(Default::default(), "/".into(), jiff::Timestamp::UNIX_EPOCH);
    let environment = Arc::new(environment);
    let long = Duration::from_secs(60);
    let patience = RetryLimits { tries, unreachable: long, unsure: long };
    let (pace, expired, cancel) = Default::default();
    let host = "ec2.example".into();
    Api::new((), CallContext { patience, host, environment, pace, expired, cancel })
}

#[tokio::test]
async fn what_passes_by_is_tried_again_and_what_does_not_is_not() {
    let passing =
        [Says::Refuses("RequestLimitExceeded"), Says::Refuses("InternalError"), Says::Nothing];
    for trouble in passing {
        let script = Script::new(&[trouble, trouble, Says::Made(7)]);
        let answer = api(3).call("DescribeImages", |()| script.answer()).await;
        assert_eq!(answer.unwrap(), 7);
    }
    for code in ["UnauthorizedOperation", "InvalidParameterValue", "InvalidAMIID.NotFound"] {
        let script = Script::new(&[Says::Refuses(code)]);
        let error = api(3).call("DescribeImages", |()| script.answer()).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some(code));
    }
    let script = Script::new(&[Says::Nothing; 3]);
    let error = api(3).call("DescribeImages", |()| script.answer()).await.unwrap_err();
    insta::assert_snapshot!(error, @"DescribeImages failed: no answer came: the line is dead (tried 3 times)");
}

#[tokio::test]
async fn what_was_just_made_is_known_soon() {
    let unknown = Says::Refuses("InvalidGroup.NotFound");
    let script = Script::new(&[unknown, unknown, Says::Made(1)]);
    let api = api(1).expecting(["new-1"]);
    api.call("AuthorizeSecurityGroupIngress", |()| script.answer()).await.unwrap();
    let script = Script::new(&[unknown]);
    let other = api.expecting(["new-2"]).call("StopInstances", |()| script.answer()).await;
    assert!(other.unwrap_err().is_not_found());
}

#[tokio::test]
async fn what_an_unanswered_call_made_is_found_and_not_made_again() {
    let made = Mutex::new(None);
    let look = || async { Ok(*made.lock().unwrap()) };
    let thing = Thing::new("AMI", "web");

    let script = Script::new(&[Says::Nothing, Says::Made(2)]);
    let id = api(3).make(&thing, "CreateImage", |()| script.answer(), Some, look).await;
    assert_eq!((id.unwrap(), script.calls()), (2, 2), "it was not made, and is");
    assert!(thing.is_attempted() && thing.is_doubtful());

    *made.lock().unwrap() = Some(5);
    let script = Script::new(&[Says::Nothing]);
    let id = api(3).make(&thing, "CreateImage", |()| script.answer(), Some, look).await;
    assert_eq!((id.unwrap(), script.calls()), (5, 1));

    let script = Script::new(&[Says::Refuses("InvalidAMIName.Duplicate")]);
    let id = api(3).make(&thing, "CreateImage", |()| script.answer(), Some, look).await;
    assert_eq!((id.unwrap(), script.calls()), (5, 1));

    *made.lock().unwrap() = None;
    let thing = Thing::new("AMI", "web");
    let script = Script::new(&[Says::Refuses("InvalidAMIName.Duplicate"); 2]);
    let error = api(3).make(&thing, "CreateImage", |()| script.answer(), Some, look).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("InvalidAMIName.Duplicate"), "somebody else has made it: {error}");
}

#[tokio::test]
async fn what_is_not_there_is_removed() {
    let unknown = Says::Refuses("InvalidVolume.NotFound");
    let script = Script::new(&[unknown]);
    api(3).remove("DeleteVolume", |()| script.answer()).await.unwrap();
    // It was, although nobody heard of it; and what is new is not taken for gone at once.
    let new = api(3).expecting(["new-1"]);
    let script = Script::new(&[Says::Nothing, unknown]);
    new.remove("DeleteVolume", |()| script.answer()).await.unwrap();
    let script = Script::new(&[unknown, unknown, Says::Made(0)]);
    new.remove("DeleteVolume", |()| script.answer()).await.unwrap();
    assert_eq!(script.calls(), 3);
    let script = Script::new(&[Says::Refuses("VolumeInUse"), Says::Made(0)]);
    new.remove("DeleteVolume", |()| script.answer()).await.unwrap();
}

#[tokio::test]
async fn an_interruption_ends_the_waits_and_the_looks_but_no_change() {
    let api = api(10);
    let (script, cancel) =
        (Script::new(&[Says::Refuses("RequestLimitExceeded")]), api.context.cancel.clone());
    let call = api.call("StopInstances", |()| script.answer());
    let (ended, ()) = tokio::join!(call, async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        cancel.cancel();
    });
    assert_eq!(ended.unwrap_err().meaning, Meaning::Interrupted);
    let script = Script::new(&[Says::Made(1)]);
    assert_eq!(api.call("StopInstances", |()| script.answer()).await.unwrap(), 1);
    let script = Script::new(&[Says::Made(1)]);
    let look = api.call("DescribeImages", |()| script.answer()).await;
    insta::assert_snapshot!(look.unwrap_err(), @"interrupted");
}
