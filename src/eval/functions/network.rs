//! Addresses and prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    .gives(Want::String),
    Function::new("cidrnetmask", "The mask of a network.", &[Param::string("prefix")], |call| {
        let prefix = Prefix::parse(call.text(0))?;
        Ok(Value::string(prefix.family.address(prefix.mask()).to_string()))
    })
    .gives(Want::String),
    Function::new(
        "cidrsubnet",
        "A network inside of another: longer by some bits, and its number among all of that length.",
        &[Param::string("prefix"), Param::number("newbits"), Param::number("netnum")],
        cidrsubnet,
    )
    .gives(Want::String),
    Function::variadic(
        "cidrsubnets",
        "Networks inside of another, one after the other, each longer by some bits.",
        &[Param::string("prefix")],
        Param::number("newbits"),
        cidrsubnets,
    )
    .gives(Want::ListOfString),
];

#[derive(Clone, Copy, PartialEq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn bits(self) -> u32 {
        if self == Self::V4 { 32 } else { 128 }
    }

    /// The address whose bits are the lowest ones of `value`.
    fn address(self, value: u128) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(u32::try_from(value & 0xffff_ffff).unwrap_or(0)).into(),
            Self::V6 => Ipv6Addr::from(value).into(),
        }
    }

    fn all(self) -> u128 {
        if self == Self::V4 { u128::from(u32::MAX) } else { u128::MAX }
    }

    /// An address of IPv4 inside of IPv6 is written as one of IPv4.
    fn show(self, value: u128) -> String {
        self.address(value).to_canonical().to_string()
    }

    fn name(self) -> &'static str {
        if self == Self::V4 { "IPv4" } else { "IPv6" }
    }
}

/// A network: its first address and how many bits are fixed.
#[derive(Clone, Copy)]
struct Prefix {
    family: Family,
    address: u128,
    length: u32,
}

impl Prefix {
    fn parse(text: &str) -> Result<Self, CallError> {
        let invalid =
            || CallError::failed(format!("invalid CIDR expression: invalid CIDR address: {text}"));
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let (family, address) = match address.parse().map_err(|_| invalid())? {
            IpAddr::V4(address) => (Family::V4, u128::from(u32::from(address))),
            IpAddr::V6(address) => (Family::V6, u128::from(address)),
        };
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length: u32 = length.parse().map_err(|_| invalid())?;
        if !digits || length > family.bits() {
            return Err(invalid());
        }
        let whole = Self { family, address, length };
        Ok(Self { address: address & whole.mask(), ..whole })
    }

    /// How many bits are free.
    fn free(self) -> u32 {
        self.family.bits() - self.length
    }

    fn mask(self) -> u128 {
        self.family.all() & !(1u128.checked_shl(self.free()).unwrap_or(0).wrapping_sub(1))
    }

    fn text(self) -> String {
        let address = self.family.show(self.address);
        let is_mapped = self.family == Family::V6 && !address.contains(':');
        let length = if is_mapped { self.length.saturating_sub(96) } else { self.length };
        format!("{address}/{length}")
    }
}

/// A negative number counts from the end.
fn cidrhost(call: &Call<'_>) -> Outcome {
    let host = call.whole(1)?;
    let prefix = Prefix::parse(call.text(0))?;
    let size = 1u128.checked_shl(prefix.free()).unwrap_or(u128::MAX);
    let distance = u128::from(host.unsigned_abs());
    let fits = if host < 0 { distance <= size } else { distance < size };
    if !fits {
        return Err(CallError::failed(format!(
            "prefix of {} does not accommodate a host numbered {host}",
            prefix.length
        )));
    }
    let end = 1u128.checked_shl(prefix.free()).unwrap_or(0);
    let offset = if host < 0 { end.wrapping_sub(distance) } else { distance };
    Ok(Value::string(prefix.family.show(prefix.address | offset)))
}

fn cidrsubnet(call: &Call<'_>) -> Outcome {
    let (new_bits, number) = (call.whole(1)?, call.whole(2)?);
    let prefix = Prefix::parse(call.text(0))?;
    if new_bits > 32 {
        return Err(CallError::failed("may not extend prefix by more than 32 bits"));
    }
    let number = u128::try_from(number)
        .map_err(|_| CallError::failed("subnet number must not be negative"))?;
    // Fewer bits make a network that this one is in.
    let length = u32::try_from(i64::from(prefix.length).saturating_add(new_bits))
        .map_err(|_| CallError::failed("the prefix has not that many bits to take away"))?;
    if length > prefix.family.bits() {
        return Err(CallError::failed(format!(
            "insufficient address space to extend prefix of {} by {new_bits}",
            prefix.length
        )));
    }
    if u32::try_from(new_bits).is_ok_and(|bits| number >= 1u128 << bits) {
        return Err(CallError::failed(format!(
            "prefix extension of {new_bits} does not accommodate a subnet numbered {number}"
        )));
    }
    let shift = prefix.family.bits() - length;
    let number = number.checked_shl(shift).unwrap_or(0) & prefix.family.all();
    let address = prefix.address | number;
    Ok(Value::string(Prefix { address, length, ..prefix }.text()))
}

/// Consecutive subnets of the given sizes.
fn cidrsubnets(call: &Call<'_>) -> Outcome {
    let prefix = Prefix::parse(call.text(0))?;
    let end = prefix.address.checked_add(1u128.checked_shl(prefix.free()).unwrap_or(0));
    let mut next = Some(prefix.address);
    let mut previous = prefix;
    let mut subnets = Vec::new();
    for at in 1..call.args.len() {
        let length = subnet_length(call, at, prefix)?;
        let size = 1u128.checked_shl(prefix.family.bits() - length).unwrap_or(0);
        let start = next.and_then(|next| align(next, size));
        let after = start.and_then(|start| start.checked_add(size));
        let fits = match (start, after, end) {
            (Some(_), Some(after), Some(end)) => after <= end,
            (Some(_), ..) => true,
            (None, ..) => false,
        };
        let Some(address) = start.filter(|_| fits) else {
            let cause = format!(
                "not enough remaining address space for a subnet with a prefix of {length} bits \
                 after {}",
                previous.text()
            );
            return Err(CallError::argument(at, cause));
        };
        previous = Prefix { address, length, ..prefix };
        subnets.push(Value::string(previous.text()));
        next = after;
    }
    Ok(Value::list(Type::String, subnets))
}

fn subnet_length(call: &Call<'_>, at: usize, prefix: Prefix) -> Result<u32, CallError> {
    let new_bits = call.number(at).to_i64().map_err(|error| CallError::argument(at, error))?;
    let refuse = |cause: String| Err(CallError::argument(at, cause));
    if new_bits < 1 {
        return refuse("must extend prefix by at least one bit".to_owned());
    }
    if new_bits > 32 {
        return refuse("may not extend prefix by more than 32 bits".to_owned());
    }
    let length = prefix.length + u32::try_from(new_bits).unwrap_or(0);
    if length > prefix.family.bits() {
        return refuse(format!(
            "would extend prefix to {length} bits, which is too long for an {} address",
            prefix.family.name()
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
