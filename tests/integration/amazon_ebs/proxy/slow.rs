//! Machines and images that take their time: moto's are ready at once, so answers say for a while
//! that they are not.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use regex::{Captures, Regex};

use super::wire::{Answer, Call};

/// How long things take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// From its start until an instance runs.
    pub instance: Duration,
    /// From the order until it has stopped.
    pub stop: Duration,
    /// From the order until an image, or a copy, can be used.
    pub image: Duration,
}

/// What has begun, and when.
pub(super) struct Clock {
    times: Times,
    begun: Mutex<HashMap<(Kind, String), Instant>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Instance,
    Stop,
    Image,
}

static STATE: LazyLock<Regex> = LazyLock::new(|| {
    let state = r"<instanceState><code>\d+</code><name>([a-z-]+)</name></instanceState>";
    Regex::new(&format!("(?s)<instanceId>(i-[0-9a-f]+)</instanceId>.*?{state}")).unwrap()
});
static IMAGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(?s)<imageId>(ami-[0-9a-f]+)</imageId>.*?</imageState>").unwrap());
static SNAPSHOT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(?s)<snapshotId>snap-.*?</description>").unwrap());
static OF_IMAGE: LazyLock<Regex> = LazyLock::new(|| Regex::new("ami-[0-9a-f]+").unwrap());

impl Clock {
    pub fn new(times: Times) -> Self {
        Self { times, begun: Mutex::default() }
    }

    /// `answer` as it would be if things took their time.
    pub fn rewritten(&self, call: &Call, answer: Answer) -> Answer {
        let text = &answer.text;
        let text = match call.action.as_str() {
            "RunInstances" | "CreateFleet" => return self.begin_all(Kind::Instance, answer),
            "CreateImage" | "CopyImage" | "RegisterImage" => {
                return self.begin_all(Kind::Image, answer);
            }
            "StopInstances" => {
                let ids = call.parameters.iter().filter(|(name, _)| name.starts_with("InstanceId"));
                ids.for_each(|(_, id)| self.begin(Kind::Stop, id));
                return answer;
            }
            "DescribeInstances" => STATE.replace_all(text, |found: &Captures<'_>| {
                let now = match (&found[2], &found[1]) {
                    ("running", id) if self.is_underway(Kind::Instance, id) => "pending",
                    ("stopped", id) if self.is_underway(Kind::Stop, id) => "stopping",
                    (state, _) => state,
                };
                let name = |state: &str| format!("<name>{state}</name></instanceState>");
                found[0].replace(&name(&found[2]), &name(now))
            }),
            "DescribeImages" => IMAGE.replace_all(text, |found: &Captures<'_>| {
                match self.is_underway(Kind::Image, &found[1]) {
                    true => found[0].replace(">available</imageState>", ">pending</imageState>"),
                    false => found[0].to_owned(),
                }
            }),
            "DescribeSnapshots" => SNAPSHOT.replace_all(text, |found: &Captures<'_>| {
                let image = OF_IMAGE.find(&found[0]).map_or("", |image| image.as_str());
                match self.progress(Kind::Image, image) {
                    Some(percent) => found[0]
                        .replace("<status>completed<", "<status>pending<")
                        .replace("<progress>100%<", &format!("<progress>{percent}%<")),
                    None => found[0].to_owned(),
                }
            }),
            _ => return answer,
        };
        Answer { text: text.into_owned(), ..answer }
    }

    fn begin_all(&self, kind: Kind, answer: Answer) -> Answer {
        let pattern = match kind {
            Kind::Image => "<imageId>(ami-[0-9a-f]+)<",
            _ => "<(?:instanceId|item)>(i-[0-9a-f]+)<",
        };
        for found in Regex::new(pattern).unwrap().captures_iter(&answer.text) {
            self.begin(kind, &found[1]);
        }
        answer
    }

    fn begin(&self, kind: Kind, id: &str) {
        let mut begun = self.begun.lock().unwrap();
        begun.entry((kind, id.to_owned())).or_insert_with(Instant::now);
    }

    fn is_underway(&self, kind: Kind, id: &str) -> bool {
        self.progress(kind, id).is_some()
    }

    /// How far it is in percent, as long as it is not done.
    fn progress(&self, kind: Kind, id: &str) -> Option<u32> {
        let since = *self.begun.lock().unwrap().get(&(kind, id.to_owned()))?;
        let takes = match kind {
            Kind::Instance => self.times.instance,
            Kind::Stop => self.times.stop,
            Kind::Image => self.times.image,
        };
        let elapsed = since.elapsed();
        (elapsed < takes).then(|| (elapsed.as_millis() * 100 / takes.as_millis()) as u32)
    }
}
