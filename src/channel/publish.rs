//! AMIs come to a channel. It changes in all regions, or in none: where one fails, the others are put
//! back.

use anyhow::{Context as _, bail, ensure};
use aws_sdk_ec2::types::{Image, ImageState};
use futures::future::join_all;
use indexmap::IndexSet;

use crate::aws::account::Patience;
use crate::aws::image::{self, filter};
use crate::aws::parameter;
use crate::aws::tags::{self, tag};
use crate::channel::artifact::Amis;
use crate::channel::mark;
use crate::channel::note::{Note, PUT_BACK, ROLLED_BACK};
use crate::channel::releases::{Release, before, history, named};
use crate::channel::{Channels, Context, Region};
use crate::retry::Cancelled;

/// An AMI, and where it is.
type Placed = (Region, String);

/// Which channel, and in which regions.
#[derive(Clone, Debug)]
pub struct Aim<'a> {
    /// The channels of the image.
    pub channels: &'a Channels,
    /// The one that changes.
    pub channel: &'a str,
    /// The regions; if there are none, those that the release says.
    pub regions: &'a [String],
}

/// `amis` are in the channel from now on.
///
/// # Errors
/// If one of them is not there or not the account's own, or cannot be written: then no channel has changed.
pub async fn publish(cx: &Context, aim: &Aim<'_>, amis: &Amis, note: Note) -> anyhow::Result<()> {
    ensure!(aim.regions.is_empty(), "-region: the AMIs say their regions");
    let names: Vec<String> = amis.keys().cloned().collect();
    let regions = cx.regions(&names, Patience::Long).await?;
    let placed: Vec<Placed> = regions.into_iter().zip(amis.values().cloned()).collect();
    let path = aim.channels.path();
    for ((region, ami), found) in placed.iter().zip(look_at(&placed, true).await?) {
        if let Some(value) = mark::published(&found, &path)? {
            let mark = tag(mark::PUBLISHED, value);
            let marked = tags::put(&region.ec2(), std::slice::from_ref(ami), &[mark]).await;
            marked.with_context(|| format!("{ami} cannot be tagged as an AMI of `{path}`"))?;
        }
    }
    set_all(cx, aim, &placed, &Note { regions: names.join(","), ..note }).await
}

/// What is in the channel `from` is in the channel of `aim`, too. Unless `untested`, it has to have
/// passed its tests.
///
/// # Errors
/// If there is nothing, it is not the same release in all regions, it is not tested, or cannot be
/// written.
pub async fn promote(
    cx: &Context,
    aim: &Aim<'_>,
    from: &str,
    untested: bool,
) -> anyhow::Result<()> {
    ensure!(from != aim.channel, "`{from}` is promoted to itself");
    let first = cx.region(aim.regions.first().map(String::as_str), Patience::Long).await?;
    let release = history(&first, aim.channels, from).await?.pop();
    let release = release.with_context(|| {
        let image = aim.channels.image();
        format!("`{image}` has no channel `{from}` in {}", first.name())
    })?;
    let mut placed = Vec::new();
    for region in regions(cx, aim, &first, &release).await? {
        let here = history(&region, aim.channels, from).await?.pop();
        let here = here.filter(|release| !release.ami.is_empty());
        let here = here.with_context(|| format!("`{from}` says no AMI in {}", region.name()))?;
        ensure!(
            here.note.release == release.note.release,
            "`{from}` is the release `{}` in {}, and `{}` in {}: publish it again",
            release.note.release,
            first.name(),
            here.note.release,
            region.name()
        );
        placed.push((region, here.ami));
    }
    let found = look_at(&placed, false).await?;
    let rest: Vec<_> = found.iter().filter(|image| !mark::is_tested(image)).collect();
    if !untested && !rest.is_empty() {
        let ids: Vec<_> = rest.into_iter().filter_map(|image| image.image_id()).collect();
        bail!(
            "nothing says that {} passed a test: the post-processor `boot-test` does, and `imgbake \
             test`; -untested promotes it all the same",
            ids.join(", ")
        );
    }
    let note = Note { by: format!("promoted from {from}"), ..release.note };
    set_all(cx, aim, &placed, &note).await
}

/// The channel says again what it said before, or the `release` that is named.
///
/// # Errors
/// If it never said anything else, or its AMI is gone, or it cannot be written.
pub async fn roll_back(cx: &Context, aim: &Aim<'_>, release: Option<&str>) -> anyhow::Result<()> {
    let first = cx.region(aim.regions.first().map(String::as_str), Patience::Long).await?;
    let target = earlier(&first, aim, release).await?;
    let mut placed = Vec::new();
    for region in regions(cx, aim, &first, &target).await? {
        // What was written by hand has no name: then each region has its own last one.
        let named = Some(target.note.release.as_str()).filter(|name| !name.is_empty());
        let here = earlier(&region, aim, named).await?;
        placed.push((region, here.ami));
    }
    look_at(&placed, false).await?;
    let note = Note { by: ROLLED_BACK.to_owned(), ..target.note };
    set_all(cx, aim, &placed, &note).await
}

/// The release that the channel goes back to in `region`.
async fn earlier(region: &Region, aim: &Aim<'_>, name: Option<&str>) -> anyhow::Result<Release> {
    let history = history(region, aim.channels, aim.channel).await?;
    let found = match name {
        None => before(&history),
        Some(name) => named(&history, name),
    };
    found.cloned().with_context(|| {
        let (channel, region) = (aim.channel, region.name());
        match name {
            None => format!("`{channel}` had no other AMI before in {region}"),
            Some(name) => format!("`{channel}` was never the release `{name}` in {region}"),
        }
    })
}

/// The regions that are meant: those that were given, else those that `release` says.
async fn regions(
    cx: &Context,
    aim: &Aim<'_>,
    first: &Region,
    release: &Release,
) -> anyhow::Result<Vec<Region>> {
    // Each once: a channel that is written twice could not be put back.
    let names: IndexSet<String> = match aim.regions {
        [] => release.note.regions().into_iter().collect(),
        given => given.iter().cloned().collect(),
    };
    let names: Vec<String> = names.into_iter().collect();
    match names.as_slice() {
        [] => Ok(vec![first.clone()]),
        names => cx.regions(names, Patience::Long).await,
    }
}

/// What EC2 says of each AMI; all that is wrong with them at once. `own` takes only the account's own.
async fn look_at(placed: &[Placed], own: bool) -> anyhow::Result<Vec<Image>> {
    let looks = placed.iter().map(async |(region, ami)| {
        let (ec2, name) = (region.ec2(), region.name());
        let found = match own {
            true => image::matching(&ec2, vec![filter("image-id", [ami])]).await?.pop(),
            false => image::by_id(&ec2, ami).await?,
        };
        let whose = if own { "of this account" } else { "that this account may use" };
        let found = found.with_context(|| format!("{name} has no AMI {ami} {whose}"))?;
        match found.state() {
            Some(ImageState::Available) => Ok(found),
            state => bail!("{ami} in {name} is {}", state.map_or("unknown", |one| one.as_str())),
        }
    });
    let (mut images, mut wrong) = (Vec::new(), Vec::new());
    for found in join_all(looks).await {
        match found {
            Ok(image) => images.push(image),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(images)
}

/// A parameter that changes.
struct Change<'a> {
    region: &'a Region,
    ami: &'a str,
    was: Option<Release>,
}

/// Writes the channel in all regions; where one fails, or somebody interrupts it, those before it are put
/// back.
async fn set_all(
    cx: &Context,
    aim: &Aim<'_>,
    placed: &[Placed],
    note: &Note,
) -> anyhow::Result<()> {
    let name = aim.channels.parameter(aim.channel)?;
    let mut changes = Vec::new();
    for (region, ami) in placed {
        let was = history(region, aim.channels, aim.channel).await;
        let was = was.with_context(|| format!("{name} in {} cannot be read", region.name()))?;
        let was = was.into_iter().next_back();
        ensure!(
            was.as_ref().is_none_or(|was| !was.ami.is_empty()),
            "{name} in {} is no channel: what it says is no AMI, and stays as it is",
            region.name()
        );
        changes.push(Change { region, ami, was });
    }
    for (index, change) in changes.iter().enumerate() {
        if let Err(error) = change.make(cx, &name, note).await {
            for change in changes[..=index].iter().rev() {
                change.put_back(cx, aim, note).await;
            }
            let place = change.region.name();
            return Err(error.context(format!("{name} cannot be written in {place}")));
        }
    }
    Ok(())
}

impl Change<'_> {
    async fn make(&self, cx: &Context, name: &str, note: &Note) -> anyhow::Result<()> {
        let Self { region, ami, was } = self;
        let place = region.name();
        if was.as_ref().is_some_and(|was| was.ami == **ami && was.note.is_of_same(note)) {
            cx.ui.say(format!("{name} in {place} is {ami} already"));
            return Ok(());
        }
        if region.cancel.is_cancelled() {
            return Err(Cancelled.into());
        }
        // Once it is sent, it is better to know what became of it.
        let ssm = region.uninterrupted().ssm();
        parameter::set(&ssm, name, ami, &note.text(), &cx.ui, &region.cancel).await?;
        let was = match was {
            Some(was) if was.ami == **ami => {
                format!(", as before, in the release {}", note.release)
            }
            Some(was) => format!(", and was {}", was.ami),
            None => String::new(),
        };
        cx.ui.say(format!("{name} in {place} is {ami}{was}"));
        Ok(())
    }

    /// Only what this run has written is put back.
    async fn put_back(&self, cx: &Context, aim: &Aim<'_>, note: &Note) {
        let region = self.region.uninterrupted();
        let place = format!("`{}` in {}", aim.channel, region.name());
        match self.put_back_in(cx, aim, note, &region).await {
            Ok(None) => {}
            Ok(Some(done)) => cx.ui.say(format!("{place} is {done}")),
            Err(error) => {
                let was = self.was.as_ref().map_or("removed", |was| &was.ami);
                cx.ui.error(format!("{place} should be {was} again, but is not: {error:#}"));
            }
        }
    }

    async fn put_back_in(
        &self,
        cx: &Context,
        aim: &Aim<'_>,
        note: &Note,
        region: &Region,
    ) -> anyhow::Result<Option<String>> {
        let now = history(region, aim.channels, aim.channel).await?.pop();
        if now == self.was {
            return Ok(None);
        }
        let is_ours =
            now.as_ref().is_some_and(|now| now.ami == self.ami && now.note.is_of_same(note));
        ensure!(is_ours, "somebody else has written it meanwhile");
        let (ssm, name) = (region.ssm(), aim.channels.parameter(aim.channel)?);
        let Some(was) = &self.was else {
            parameter::remove(&ssm, &name).await?;
            return Ok(Some("removed again".to_owned()));
        };
        let text = Note { by: PUT_BACK.to_owned(), ..was.note.clone() }.text();
        parameter::set(&ssm, &name, &was.ami, &text, &cx.ui, &region.cancel).await?;
        Ok(Some(format!("{} again", was.ami)))
    }
}
