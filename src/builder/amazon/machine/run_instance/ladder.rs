//! What is tried one after the other where EC2 has no capacity: other places, then other types, then
//! on-demand instances instead of spot ones; each only as far as the template allows it.

use std::fmt;
use std::time::Duration;

use crate::aws::error::{ApiError, Meaning};
use crate::aws::instance::Ended;
use crate::builder::amazon::machine::find_network::{Network, Place};
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::retry::Backoff;

/// One way to have a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    pub market: Market,
    /// The types that it may have; one, on demand.
    pub types: Vec<String>,
    /// Where it may run; one place, on demand.
    pub places: Vec<Place>,
}

/// How a machine is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Market {
    /// At the price of the day: a fleet chooses among types and places by itself.
    Spot,
    /// At the list price.
    OnDemand,
}

/// How often all is tried before a build gives up that wants a spot instance, and the waits in
/// between: EC2 may have some again in a moment.
const ROUNDS: usize = 11;
const WAITS: Backoff =
    Backoff { first: Duration::from_millis(500), factor: 2.0, longest: Duration::from_secs(30) };

/// What the codes of EC2 say that may be different in a moment.
const PASSES_BY: [&str; 2] = ["InsufficientInstanceCapacity", "UnfulfillableCapacity"];

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.market {
            Market::Spot => "a spot instance",
            Market::OnDemand => "an instance",
        };
        write!(f, "{kind}: {}", self.types.join(" or "))
    }
}

impl Rung {
    /// What the template asks for.
    pub fn first(settings: &MachineSettings, network: &Network) -> Self {
        let types = settings.spot.types(&settings.run.instance_type);
        let market = if settings.spot.is_wanted() { Market::Spot } else { Market::OnDemand };
        let types = types.into_iter().map(str::to_owned).collect();
        Self { market, types, places: vec![network.place.clone()] }
    }

    /// The ways to have a machine of one of `types` in one of `places`.
    fn all(market: Market, types: &[String], places: &[Place]) -> Vec<Self> {
        let rung = |types: &[String], places: &[Place]| Self {
            market,
            types: types.to_vec(),
            places: places.to_vec(),
        };
        match market {
            Market::Spot if types.is_empty() || places.is_empty() => Vec::new(),
            Market::Spot => vec![rung(types, places)],
            Market::OnDemand => types
                .chunks(1)
                .flat_map(|one| places.chunks(1).map(move |here| rung(one, here)))
                .collect(),
        }
    }

    /// What else there is to try: `others` are places, `fallback` are types.
    pub fn those_after(
        &self,
        others: &[Place],
        fallback: &[String],
        then_on_demand: bool,
    ) -> Vec<Self> {
        let here = self.places.iter().filter(|place| !place.is_any() || others.is_empty());
        let everywhere: Vec<Place> = here.chain(others).cloned().collect();
        let mut rungs = Self::all(self.market, &self.types, others);
        rungs.extend(Self::all(self.market, fallback, &everywhere));
        if self.market == Market::Spot && then_on_demand {
            rungs.extend(Self::all(Market::OnDemand, &self.types, &everywhere));
            rungs.extend(Self::all(Market::OnDemand, fallback, &everywhere));
        }
        rungs
    }

    /// Where it is, for people; nothing if EC2 chooses.
    pub fn whereabouts(&self) -> String {
        let zones = self.places.iter().filter_map(|place| place.zone.as_deref());
        let zones: Vec<_> = zones.collect();
        if zones.is_empty() { String::new() } else { format!(" in {}", zones.join(" or ")) }
    }
}

/// Machines at the list price are not waited for.
pub(super) fn waits_between_rounds(machine: &Machine) -> impl Iterator<Item = Duration> + use<> {
    let count = if machine.settings.spot.is_wanted() { ROUNDS - 1 } else { 0 };
    WAITS.jittered().take(count)
}

/// `error`, where it is the last one of `count`.
pub(super) fn in_vain(error: anyhow::Error, count: usize) -> anyhow::Error {
    match count {
        1 => error,
        _ => error.context(format!("EC2 has no capacity for the machine in any of {count} ways")),
    }
}

pub(super) fn is_about_capacity(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ApiError>();
    let ended = error.downcast_ref::<Ended>();
    refused.is_some_and(|error| error.meaning == Meaning::NoCapacity)
        || ended.is_some_and(Ended::lacked_capacity)
}

pub(super) fn passes_by(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ApiError>().is_none_or(|error| error.is(&PASSES_BY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(zone: &str) -> Place {
        Place { subnet: Some(format!("subnet-{zone}")), zone: Some(zone.to_owned()) }
    }

    fn rung(market: Market, types: &[&str], places: &[Place]) -> Rung {
        let types = types.iter().copied().map(str::to_owned).collect();
        Rung { market, types, places: places.to_vec() }
    }

    /// `type@zone` of each rung.
    fn shown(rungs: &[Rung]) -> Vec<String> {
        let shown = rungs.iter().map(|rung| {
            let zones = rung.places.iter().map(|place| place.zone.as_deref().unwrap_or("any"));
            let zones = zones.collect::<Vec<_>>().join("|");
            let market = if rung.market == Market::Spot { "spot " } else { "" };
            format!("{market}{}@{zones}", rung.types.join("|"))
        });
        shown.collect()
    }

    #[test]
    fn other_places_come_before_other_types() {
        let (a, b, c) = (place("a"), place("b"), place("c"));
        let first = rung(Market::OnDemand, &["m5"], &[a]);
        let fallback = ["m6".to_owned(), "m7".to_owned()];
        let all = first.those_after(&[b.clone(), c.clone()], &fallback, true);
        let expected = ["m5@b", "m5@c", "m6@a", "m6@b", "m6@c", "m7@a", "m7@b", "m7@c"];
        assert_eq!(shown(&all), expected);
        assert_eq!(shown(&first.those_after(&[], &fallback, false)), ["m6@a", "m7@a"]);
        let anywhere = rung(Market::OnDemand, &["m5"], &[Place::default()]);
        assert_eq!(shown(&anywhere.those_after(&[b], &[], false)), ["m5@b"]);
        assert_eq!(shown(&anywhere.those_after(&[], &fallback, false)), ["m6@any", "m7@any"]);
    }

    #[test]
    fn spot_instances_come_first_and_a_fleet_chooses_among_many() {
        let (a, b, c) = (place("a"), place("b"), place("c"));
        let first = rung(Market::Spot, &["m5", "m6"], &[a]);
        let fallback = ["m7".to_owned()];
        let all = first.those_after(&[b.clone(), c.clone()], &fallback, false);
        assert_eq!(shown(&all), ["spot m5|m6@b|c", "spot m7@a|b|c"]);
        assert_eq!(shown(&first.those_after(&[], &[], true)), ["m5@a", "m6@a"]);
        let all = first.those_after(&[b], &fallback, true);
        let on_demand = ["m5@a", "m5@b", "m6@a", "m6@b", "m7@a", "m7@b"];
        assert_eq!(shown(&all[2..]), on_demand);
    }
}
