//! Addresses and prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::types::Type;
use crate::eval::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "cidrhost",
        "The address of a host in a network, by its number; a negative one counts from the end.",
        &[Param::string("prefix"), Param::number("hostnum")],
        cidrhost,
    )
    .result(Want::String),
    Function::new("cidrnetmask", "The mask of a network.", &[Param::string("prefix")], |call| {
        Ok(Value::string(network(call.text(0))?.netmask().to_string()))
    })
    .result(Want::String),
    Function::new(
        "cidrsubnet",
        "A network inside of another: longer by some bits, and its number among all of that length.",
        &[Param::string("prefix"), Param::number("newbits"), Param::number("netnum")],
        cidrsubnet,
    )
    .result(Want::String),
    Function::variadic(
        "cidrsubnets",
        "Networks inside of another, one after the other, each longer by some bits.",
        &[Param::string("prefix")],
        Param::number("newbits"),
        cidrsubnets,
    )
    .result(Want::ListOfString),
];

/// The network that `text` names, without the bits of a host.
fn network(text: &str) -> Result<IpNet, CallError> {
    let invalid =
        || CallError::failed(format!("invalid CIDR expression: invalid CIDR address: {text}"));
    let (address, length) = text.split_once('/').ok_or_else(invalid)?;
    // The crate's own reader takes `+8`, and `010` as an address.
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let (address, length) = (address.parse().map_err(|_| invalid())?, length.parse());
    let network = IpNet::new(address, length.map_err(|_| invalid())?);
    network.map(|network| network.trunc()).map_err(|_| invalid())
}

/// How many bits are free.
fn free(network: IpNet) -> u32 {
    u32::from(network.max_prefix_len() - network.prefix_len())
}

/// The first address as a number.
fn first(network: IpNet) -> u128 {
    match network.addr() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The address with this number, of the same family as `network`.
fn address(network: IpNet, number: u128) -> IpAddr {
    match network {
        IpNet::V4(_) => Ipv4Addr::from(u32::try_from(number & 0xffff_ffff).unwrap_or(0)).into(),
        IpNet::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// The network of `length` that begins at a number. One of IPv4 inside of IPv6 is written as one of
/// IPv4.
fn shown(network: IpNet, first: u128, length: u32) -> String {
    let address = address(network, first);
    let canonical = address.to_canonical();
    let length = if canonical == address { length } else { length.saturating_sub(96) };
    format!("{canonical}/{length}")
}

/// A negative number counts from the end.
fn cidrhost(call: &Call<'_>) -> Outcome {
    let host = call.whole(1)?;
    let network = network(call.text(0))?;
    let size = 1u128.checked_shl(free(network)).unwrap_or(u128::MAX);
    let distance = u128::from(host.unsigned_abs());
    let fits = if host < 0 { distance <= size } else { distance < size };
    if !fits {
        return Err(CallError::failed(format!(
            "prefix of {} does not accommodate a host numbered {host}",
            network.prefix_len()
        )));
    }
    let end = 1u128.checked_shl(free(network)).unwrap_or(0);
    let offset = if host < 0 { end.wrapping_sub(distance) } else { distance };
    let host = address(network, first(network) | offset);
    Ok(Value::string(host.to_canonical().to_string()))
}

fn cidrsubnet(call: &Call<'_>) -> Outcome {
    let (new_bits, number) = (call.whole(1)?, call.whole(2)?);
    let network = network(call.text(0))?;
    let (own, most) = (network.prefix_len(), u32::from(network.max_prefix_len()));
    if new_bits > 32 {
        return Err(CallError::failed("may not extend prefix by more than 32 bits"));
    }
    let number = u128::try_from(number)
        .map_err(|_| CallError::failed("subnet number must not be negative"))?;
    // Fewer bits make a network that this one is in.
    let length = u32::try_from(i64::from(own).saturating_add(new_bits))
        .map_err(|_| CallError::failed("the prefix has not that many bits to take away"))?;
    if length > most {
        return Err(CallError::failed(format!(
            "insufficient address space to extend prefix of {own} by {new_bits}"
        )));
    }
    if u32::try_from(new_bits).is_ok_and(|bits| number >= 1u128 << bits) {
        return Err(CallError::failed(format!(
            "prefix extension of {new_bits} does not accommodate a subnet numbered {number}"
        )));
    }
    let number = number.checked_shl(most - length).unwrap_or(0);
    Ok(Value::string(shown(network, first(network) | number, length)))
}

/// Consecutive subnets of the given sizes.
fn cidrsubnets(call: &Call<'_>) -> Outcome {
    let network = network(call.text(0))?;
    let end = first(network).checked_add(1u128.checked_shl(free(network)).unwrap_or(0));
    let mut next = Some(first(network));
    let mut previous = shown(network, first(network), u32::from(network.prefix_len()));
    let mut subnets = Vec::new();
    for at in 1..call.args.len() {
        let length = subnet_length(call, at, network)?;
        let free = u32::from(network.max_prefix_len()) - length;
        let size = 1u128.checked_shl(free).unwrap_or(0);
        let start = next.and_then(|next| align(next, size));
        let after = start.and_then(|start| start.checked_add(size));
        let fits = match (start, after, end) {
            (Some(_), Some(after), Some(end)) => after <= end,
            (Some(_), ..) => true,
            (None, ..) => false,
        };
        let Some(start) = start.filter(|_| fits) else {
            let cause = format!(
                "not enough remaining address space for a subnet with a prefix of {length} bits \
                 after {previous}"
            );
            return Err(CallError::argument(at, cause));
        };
        previous = shown(network, start, length);
        subnets.push(Value::string(previous.clone()));
        next = after;
    }
    Ok(Value::list(Type::String, subnets))
}

fn subnet_length(call: &Call<'_>, at: usize, network: IpNet) -> Result<u32, CallError> {
    let new_bits = call.number(at).to_i64().map_err(|error| CallError::argument(at, error))?;
    let refuse = |cause: String| Err(CallError::argument(at, cause));
    if new_bits < 1 {
        return refuse("must extend prefix by at least one bit".to_owned());
    }
    if new_bits > 32 {
        return refuse("may not extend prefix by more than 32 bits".to_owned());
    }
    let length = u32::from(network.prefix_len()) + u32::try_from(new_bits).unwrap_or(0);
    if length > u32::from(network.max_prefix_len()) {
        let family = if network.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        return refuse(format!(
            "would extend prefix to {length} bits, which is too long for an {family} address"
        ));
    }
    Ok(length)
}

/// The first multiple of `size` from `start` on.
fn align(start: u128, size: u128) -> Option<u128> {
    match size {
        0 => Some(start),
        _ => start.checked_add(size - 1).map(|end| end / size * size),
    }
}
