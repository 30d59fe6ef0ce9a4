//! AMIs that are registered from snapshots, or from a bundle in S3. moto gives each a snapshot of its own
//! instead, forgets its tags and where its bundle is, and lets go of snapshots that are in use.

use std::sync::Mutex;

use super::wire::{Answer, Call, Upstream};

/// An AMI that was registered through any proxy.
struct Registered {
    /// Which moto has it.
    at: String,
    image: String,
    /// The snapshot that moto made up for it.
    made_up: String,
    /// Its disks: devices and snapshots.
    disks: Vec<(String, String)>,
    /// Where its bundle is.
    location: Option<String>,
}

static REGISTERED: Mutex<Vec<Registered>> = Mutex::new(Vec::new());

/// What `upstream` answers, as EC2 would.
pub(super) async fn ask(call: &Call, upstream: &Upstream) -> Option<Answer> {
    match call.action.as_str() {
        "RegisterImage" => register(call, upstream).await,
        "DeleteSnapshot" if is_in_use(call, upstream) => {
            Some(Answer::error(call, "InvalidSnapshot.InUse", "an AMI is made of it"))
        }
        "DeregisterImage" => deregister(call, upstream).await,
        "DescribeImages" => Some(with_disks(upstream.ask(call).await?, upstream)),
        _ => upstream.ask(call).await,
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|(inside, _)| inside)
}

async fn register(call: &Call, upstream: &Upstream) -> Option<Answer> {
    let answer = upstream.ask(call).await?;
    let Some(image) = between(&answer.text, "<imageId>", "<").map(str::to_owned) else {
        return Some(answer);
    };
    let look = [("Action", "DescribeImages"), ("ImageId.1", image.as_str())];
    let described = upstream.ask(&call.instead(&look)).await?;
    let made_up = between(&described.text, "<snapshotId>", "<")?.to_owned();
    let disk = |nth: usize| {
        let of = |name: &str| call.get(&format!("BlockDeviceMapping.{nth}.{name}"));
        Some((of("DeviceName")?.to_owned(), of("Ebs.SnapshotId").unwrap_or_default().to_owned()))
    };
    let disks = (1..).map_while(disk).collect();
    let mut tags = vec![("Action", "CreateTags"), ("ResourceId.1", image.as_str())];
    let given = call.parameters.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("TagSpecification.1.")?;
        name.starts_with("Tag.").then_some((name, value.as_str()))
    });
    tags.extend(given);
    upstream.ask(&call.instead(&tags)).await?;
    REGISTERED.lock().unwrap().push(Registered {
        at: upstream.url().to_owned(),
        image,
        made_up,
        disks,
        location: call.get("ImageLocation").map(str::to_owned),
    });
    Some(answer)
}

fn is_in_use(call: &Call, upstream: &Upstream) -> bool {
    let id = call.get("SnapshotId").unwrap_or_default();
    let registered = REGISTERED.lock().unwrap();
    let mut here = registered.iter().filter(|one| one.at == upstream.url());
    here.any(|one| one.disks.iter().any(|(_, snapshot)| snapshot == id))
}

async fn deregister(call: &Call, upstream: &Upstream) -> Option<Answer> {
    let answer = upstream.ask(call).await?;
    let gone = {
        let mut registered = REGISTERED.lock().unwrap();
        let is_gone = |one: &Registered| {
            one.at == upstream.url() && Some(one.image.as_str()) == call.get("ImageId")
        };
        let place = registered.iter().position(is_gone);
        place.map(|place| registered.remove(place))
    };
    if let Some(gone) = gone {
        let delete = [("Action", "DeleteSnapshot"), ("SnapshotId", gone.made_up.as_str())];
        upstream.ask(&call.instead(&delete)).await?;
    }
    Some(answer)
}

/// `answer` with the disks that AMIs were registered with.
fn with_disks(mut answer: Answer, upstream: &Upstream) -> Answer {
    const LIST: [&str; 2] = ["<blockDeviceMapping>", "</blockDeviceMapping>"];
    let registered = REGISTERED.lock().unwrap();
    let here = registered.iter().filter(|one| one.at == upstream.url());
    for Registered { image, made_up, disks, location, .. } in here {
        let Some(at) = answer.text.find(&format!("<snapshotId>{made_up}<")) else { continue };
        let begin = answer.text[..at].rfind(LIST[0]).expect("a list") + LIST[0].len();
        let end = at + answer.text[at..].find(LIST[1]).expect("its end");
        let item = |(device, snapshot): &(String, String)| {
            let snapshot = match snapshot.as_str() {
                "" => String::new(),
                id => format!("<snapshotId>{id}</snapshotId>"),
            };
            format!("<item><deviceName>{device}</deviceName><ebs>{snapshot}</ebs></item>")
        };
        answer.text.replace_range(begin..end, &disks.iter().map(item).collect::<String>());
        if let Some(location) = location {
            answer.text = on_store(&answer.text, image, location);
        }
    }
    answer
}

/// `text`, which says that the root device of `image` is no volume, but comes from its bundle.
fn on_store(text: &str, image: &str, location: &str) -> String {
    let id = format!("<imageId>{image}</imageId>");
    let (before, after) = text.split_once(&id).expect("the AMI");
    let (before, kind) =
        before.rsplit_once("<rootDeviceType>").expect("moto says it before the id");
    let (_, kind) = kind.split_once('<').expect("its end");
    format!(
        "{before}<rootDeviceType>instance-store<{kind}{id}<imageLocation>{location}</imageLocation>{after}"
    )
}
