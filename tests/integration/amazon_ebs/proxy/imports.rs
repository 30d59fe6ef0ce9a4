//! The import of disks, which moto does not know: an AMI comes of it when it was asked for
//! some times.

use std::sync::Mutex;

use super::wire::{Answer, Call, Upstream};

/// An import that was begun through any proxy.
#[derive(Clone)]
struct Task {
    /// Which moto has what comes of it.
    at: String,
    region: Option<String>,
    id: String,
    token: String,
    bucket: String,
    key: String,
    tags: Vec<(String, String)>,
    /// How often it was asked for.
    looks: usize,
    state: State,
}

#[derive(Clone)]
enum State {
    Active,
    Cancelled,
    /// The AMI, and its snapshot.
    Completed(String, String),
}

static TASKS: Mutex<Vec<Task>> = Mutex::new(Vec::new());

/// How often an import is asked for before it is done.
const LOOKS: usize = 3;

pub(super) async fn answer(call: &Call, upstream: &Upstream) -> Option<Answer> {
    let of = |name: &str| call.get(name).unwrap_or_default().to_owned();
    match call.action.as_str() {
        "ImportImage" => Some(begin(call, of("ClientToken"), upstream)),
        "CancelImportTask" => Some(cancel(call, &of("ImportTaskId"))),
        _ => describe(call, upstream).await,
    }
}

fn begin(call: &Call, token: String, upstream: &Upstream) -> Answer {
    let mut tasks = TASKS.lock().unwrap();
    let of = |name: &str| call.get(name).unwrap_or_default().to_owned();
    let known = tasks.iter().find(|task| task.token == token).map(|task| task.id.clone());
    let id = known.unwrap_or_else(|| {
        let tag = |nth: usize| {
            let of = |what: &str| call.get(&format!("TagSpecification.1.Tag.{nth}.{what}"));
            Some((of("Key")?.to_owned(), of("Value")?.to_owned()))
        };
        let id = format!("import-ami-{:017x}", tasks.len() + 1);
        tasks.push(Task {
            at: upstream.url().to_owned(),
            region: call.region.clone(),
            id: id.clone(),
            token,
            bucket: of("DiskContainer.1.UserBucket.S3Bucket"),
            key: of("DiskContainer.1.UserBucket.S3Key"),
            tags: (1..).map_while(tag).collect(),
            looks: 0,
            state: State::Active,
        });
        id
    });
    let text = format!(
        "<ImportImageResponse><importTaskId>{id}</importTaskId><status>active</status>\
         </ImportImageResponse>"
    );
    Answer::new(200, text)
}

fn cancel(call: &Call, id: &str) -> Answer {
    let mut tasks = TASKS.lock().unwrap();
    match tasks.iter_mut().find(|task| task.id == id) {
        Some(task) if matches!(task.state, State::Active) => {
            task.state = State::Cancelled;
            Answer::done(call)
        }
        _ => Answer::error(call, "InvalidConversionTaskId.NotFound", "it is not there"),
    }
}

/// Those that the call names, by their ids or by their tags.
fn wanted(call: &Call, upstream: &Upstream) -> Vec<Task> {
    let is_named = |value: &str| call.parameters.iter().any(|(_, given)| given == value);
    let by_tag = is_named("tag-key");
    let mut tasks = TASKS.lock().unwrap();
    let here =
        tasks.iter_mut().filter(|task| task.at == upstream.url() && task.region == call.region);
    let wanted = here.filter(|task| by_tag || is_named(&task.id) || is_named(&task.token));
    wanted
        .map(|task| {
            task.looks += 1;
            task.clone()
        })
        .collect()
}

async fn describe(call: &Call, upstream: &Upstream) -> Option<Answer> {
    let mut items = String::new();
    for mut task in wanted(call, upstream) {
        if matches!(task.state, State::Active) && task.looks > LOOKS {
            task.state = complete(call, upstream, &task.id).await?;
            let mut tasks = TASKS.lock().unwrap();
            tasks.iter_mut().find(|known| known.id == task.id)?.state = task.state.clone();
        }
        items += &item(&task);
    }
    Some(Answer::new(
        200,
        format!(
            "<DescribeImportImageTasksResponse><importImageTaskSet>{items}</importImageTaskSet>\
             </DescribeImportImageTasksResponse>"
        ),
    ))
}

async fn complete(call: &Call, upstream: &Upstream, id: &str) -> Option<State> {
    let register = [("Action", "RegisterImage"), ("Name", id)];
    let made = upstream.ask(&call.instead(&register)).await?.text;
    let image = between(&made, "<imageId>")?;
    let look = [("Action", "DescribeImages"), ("ImageId.1", image.as_str())];
    let snapshot = between(&upstream.ask(&call.instead(&look)).await?.text, "<snapshotId>")?;
    Some(State::Completed(image, snapshot))
}

fn between(text: &str, from: &str) -> Option<String> {
    text.split_once(from)?.1.split_once('<').map(|(inside, _)| inside.to_owned())
}

fn item(Task { id, bucket, key, tags, state, .. }: &Task) -> String {
    let (status, said, made, snapshot) = match state {
        State::Active => ("active", "converting", String::new(), String::new()),
        State::Cancelled => ("deleted", "cancelled", String::new(), String::new()),
        State::Completed(image, snapshot) => (
            "completed",
            "",
            format!("<imageId>{image}</imageId>"),
            format!("<snapshotId>{snapshot}</snapshotId>"),
        ),
    };
    let tags: String = tags
        .iter()
        .map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>"))
        .collect();
    format!(
        "<item><importTaskId>{id}</importTaskId><status>{status}</status>\
         <statusMessage>{said}</statusMessage><progress>30</progress>{made}\
         <snapshotDetailSet><item><userBucket><s3Bucket>{bucket}</s3Bucket><s3Key>{key}</s3Key>\
         </userBucket>{snapshot}</item></snapshotDetailSet><tagSet>{tags}</tagSet></item>"
    )
}
