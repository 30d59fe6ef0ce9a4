//! Whether something is ours. Nobody's word is enough: a tag can be copied, a journal can be forged,
//! and what is attached to our instance may be somebody else's. So what is removed has two proofs:
//! our tag, and a fact that only EC2 states and that fits.
//!
//! | what | beside the tag of the build |
//! |---|---|
//! | instance | it was asked for with our client token, or by a fleet; its time, where EC2 knows of no token |
//! | volume | it came with the launch: its time, and its device where that is known |
//! | AMI | EC2 says that it was made from our instance, or one that our build has gone on with, our snapshots or our bundle, or is a copy of our AMI |
//! | volume of a chroot | it was made while the build began, and is attached to the build's host or to nothing |
//! | import | it reads the object that the build uploaded |
//! | bundle | its objects begin with its prefix; with one that the template says they are not older than the build, which found none |
//! | object | no tag, but its metadata; an upload of parts goes to its key, and began after the build |
//! | key pair, launch template | it was made while the build began, and has the name that the journal says, or one as only we choose them |
//! | security group | its description, and such a name |
//! | snapshot | EC2 made it for our AMI, or of a volume of our machine, and not before the build |

use aws_sdk_ec2::types::{Image, Instance, Snapshot, Tag, Volume};
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};

use crate::aws::build_tags::has_tag;
use crate::aws::image;
use crate::aws::name::time_of;

/// How far the clocks of AWS and of a machine that built may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);
/// How long a build may take until its machine is there.
const BEGINNING: SignedDuration = SignedDuration::from_hours(1);
/// How long a call may be on its way.
const ONE_CALL: SignedDuration = SignedDuration::from_mins(10);

/// What EC2 says of the time.
pub fn time(time: Option<&DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(time?.secs()).ok()
}

/// Whether something that was made at `at` is not older than the build of `token`.
pub fn is_of_build(token: &str, at: Option<Timestamp>) -> bool {
    time_of(token).zip(at).is_some_and(|(begun, at)| begun <= at + CLOCKS)
}

/// Whether it was made while the build of `token` began.
fn is_of_beginning(token: &str, at: Option<Timestamp>) -> bool {
    let soon = time_of(token).zip(at).is_some_and(|(begun, at)| at <= begun + BEGINNING);
    soon && is_of_build(token, at)
}

/// Whether the build of `token` started this instance.
pub fn instance(instance: &Instance, token: &str) -> bool {
    // What fleets start has tokens of theirs, and a tag that nobody else can give.
    let of_fleet = instance.tags().iter().any(|tag| tag.key() == Some("aws:ec2:fleet-id"));
    let is_ours = match instance.client_token() {
        Some(given) => given.starts_with(token),
        None => is_of_beginning(token, time(instance.launch_time())),
    };
    has_tag(instance.tags(), token) && (of_fleet || is_ours)
}

/// Whether this volume came with the instance of the build of `token`, on one of its `devices`;
/// `None` where nobody knows them any more.
pub fn volume(volume: &Volume, token: &str, devices: Option<&[String]>) -> bool {
    let is_expected = devices.is_none_or(|devices| {
        let mut there = volume.attachments().iter().filter_map(|attached| attached.device());
        there.any(|device| devices.iter().any(|expected| expected == device))
    });
    is_expected && is_tagged_at_beginning(volume.tags(), token, volume.create_time())
}

/// Whether it has the tag of the build of `token`, and was made while that began.
pub fn is_tagged_at_beginning(tags: &[Tag], token: &str, at: Option<&DateTime>) -> bool {
    has_tag(tags, token) && is_of_beginning(token, time(at))
}

/// Whether `name` is one that the build of `token` chose: it ends with the time of its choice.
pub fn is_named_by(token: &str, name: &str) -> bool {
    const ID: usize = 36;
    let id = name.len().checked_sub(ID).and_then(|at| name.split_at_checked(at));
    id.is_some_and(|(prefix, id)| {
        prefix.starts_with("packer") && is_of_beginning(token, time_of(id))
    })
}

/// Whether EC2 or the build of `token` made this snapshot for its AMI `image`.
pub fn snapshot(snapshot: &Snapshot, image: &str, token: &str) -> bool {
    let is_for = is_snapshot_for(snapshot, image) || has_tag(snapshot.tags(), token);
    is_for && is_of_build(token, time(snapshot.start_time()))
}

/// Whether EC2 made this snapshot for the AMI `image`: it says so in the description.
pub fn is_snapshot_for(snapshot: &Snapshot, image: &str) -> bool {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    let names_it = |text: &str| text.split(is_end).any(|word| word == image);
    !image.is_empty() && snapshot.description().is_some_and(names_it)
}

/// Whether `image` is a copy of `source` by the build of `token` that was asked for at `since`. A
/// cloud that says nothing of sources may forget the tags of copies, too: then it was made by that
/// call, or by nobody of us.
pub fn copy(image: &Image, source: &str, token: &str, since: i64) -> bool {
    let is_tagged = has_tag(image.tags(), token);
    match image.source_image_id() {
        Some(known) => known == source && is_tagged,
        None => is_by_call(image, since),
    }
}

/// Whether `image` was made by a call of `since`.
fn is_by_call(image: &Image, since: i64) -> bool {
    let since = Timestamp::from_second(since).ok();
    since
        .zip(image::creation(image))
        .is_some_and(|(since, at)| since <= at && at <= since + ONE_CALL)
}

/// Whether `image` is a finished copy of `source`, which has no tag of ours any more.
pub fn finished_copy(image: &Image, source: &str, since: i64) -> bool {
    image.source_image_id().is_none_or(|known| known == source) && is_by_call(image, since)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::VolumeAttachment;

    use super::*;
    use crate::aws::build_tags::BUILD_TAG;
    use crate::aws::tags::tag;

    const TOKEN: &str = "6560f0a1-0000-0000-0000-000000000000";
    const BEGUN: i64 = 0x6560_f0a1;

    fn at(seconds: i64) -> DateTime {
        DateTime::from_secs(BEGUN + seconds)
    }

    #[test]
    fn a_volume_is_ours_if_it_has_our_tag_our_time_and_our_device() {
        let on = |device: &str| VolumeAttachment::builder().device(device).build();
        let made = |tags: &[Tag], at: DateTime, device: &str| {
            let volume = Volume::builder().set_tags(Some(tags.to_vec())).create_time(at);
            volume.attachments(on(device)).build()
        };
        let (ours, devices) = ([tag(BUILD_TAG, TOKEN)], ["/dev/sda1".to_owned()]);
        let is_ours = |one: &Volume| volume(one, TOKEN, Some(&devices));
        assert!(is_ours(&made(&ours, at(60), "/dev/sda1")));
        assert!(!is_ours(&made(&[], at(60), "/dev/sda1")), "without our tag");
        assert!(!is_ours(&made(&ours, at(60), "/dev/sdf")), "on another device");
        assert!(!is_ours(&made(&ours, at(-3600), "/dev/sda1")), "older than the build");
        assert!(!is_ours(&made(&ours, at(2 * 3600), "/dev/sda1")), "long after the launch");
        assert!(volume(&made(&ours, at(60), "/dev/sdf"), TOKEN, None), "nobody knows its devices");
        assert!(!volume(&made(&[tag(BUILD_TAG, "x")], at(60), "/dev/sda1"), "x", None), "no token");
    }

    #[test]
    fn a_copy_is_known_by_its_source_and_its_tag_or_by_its_call() {
        let image = |seconds: i64| {
            let date = Timestamp::from_second(BEGUN + seconds).unwrap().to_string();
            Image::builder().creation_date(date)
        };
        let of = |source: &str| image(60).source_image_id(source);
        let is_ours = |image: Image| copy(&image, "ami-1", TOKEN, BEGUN);
        assert!(is_ours(of("ami-1").tags(tag(BUILD_TAG, TOKEN)).build()));
        assert!(!is_ours(of("ami-2").tags(tag(BUILD_TAG, TOKEN)).build()));
        assert!(!is_ours(of("ami-1").build()), "somebody else's copy");
        assert!(is_ours(image(0).build()));
        assert!(!is_ours(image(-1).build()));
        assert!(!is_ours(image(3600).build()));
        assert!(!is_ours(Image::builder().build()), "its age is not known");
        assert!(finished_copy(&of("ami-1").build(), "ami-1", BEGUN));
        assert!(!finished_copy(&of("ami-2").build(), "ami-1", BEGUN));
    }

    #[test]
    fn a_snapshot_is_of_the_ami_that_ec2_names_or_has_our_tag() {
        let made = |description: &str, seconds: i64| {
            Snapshot::builder().description(description).start_time(at(seconds)).build()
        };
        let words = "Created by CreateImage(i-1) for ami-12";
        assert!(snapshot(&made(words, 60), "ami-12", TOKEN));
        assert!(!snapshot(&made(words, 60), "ami-1", TOKEN));
        assert!(!snapshot(&made(words, 60), "", TOKEN));
        assert!(!snapshot(&made(words, -3600), "ami-12", TOKEN));
        let tagged = Snapshot::builder().start_time(at(60)).tags(tag(BUILD_TAG, TOKEN));
        assert!(snapshot(&tagged.clone().build(), "ami-12", TOKEN));
        assert!(!snapshot(&tagged.start_time(at(-3600)).build(), "ami-12", TOKEN));
    }
}
