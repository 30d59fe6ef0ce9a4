//! Ports of this host, chosen from a range that the template gives.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

/// The ports that this process has promised to a machine which may not listen on them yet.
static PROMISED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

fn promised() -> std::sync::MutexGuard<'static, BTreeSet<u16>> {
    PROMISED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port that no other build of this process is given, until this value is dropped.
#[derive(Debug)]
pub struct Port(u16);

impl Port {
    /// A port of the loopback address in `range` that nobody listens on.
    pub fn reserve(range: &RangeInclusive<u16>) -> anyhow::Result<Self> {
        let mut promised = promised();
        let free = shuffled(range).find(|port| {
            !promised.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        });
        let port = free.with_context(|| none_free(range))?;
        promised.insert(port);
        Ok(Self(port))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        promised().remove(&self.0);
    }
}

/// Listens on a free port of `address` in `range`.
pub async fn listen(
    address: IpAddr,
    range: &RangeInclusive<u16>,
) -> anyhow::Result<tokio::net::TcpListener> {
    for port in shuffled(range) {
        match tokio::net::TcpListener::bind((address, port)).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            bound => return bound.with_context(|| format!("cannot listen on {address}:{port}")),
        }
    }
    anyhow::bail!(none_free(range))
}

fn none_free(range: &RangeInclusive<u16>) -> String {
    format!("no port between {} and {} is free", range.start(), range.end())
}

/// Every port of `range` once, from a random one on: other processes choose too.
fn shuffled(range: &RangeInclusive<u16>) -> impl Iterator<Item = u16> + use<> {
    let (first, last) = (*range.start(), *range.end());
    let count = u128::from(last - first) + 1;
    let offset = u16::try_from(uuid::Uuid::new_v4().as_u128() % count).unwrap_or(0);
    (first + offset..=last).chain(first..first + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promised_port_is_not_given_twice() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = free.local_addr().unwrap().port();
        assert!(Port::reserve(&(number..=number)).is_err(), "somebody listens on it");
        drop(free);
        let port = Port::reserve(&(number..=number)).unwrap();
        assert_eq!(port.number(), number);
        assert!(Port::reserve(&(number..=number)).is_err());
        drop(port);
        assert!(Port::reserve(&(number..=number)).is_ok());
    }

    #[test]
    fn every_port_of_a_range_is_tried_once() {
        let mut ports: Vec<_> = shuffled(&(65533..=65535)).collect();
        ports.sort_unstable();
        assert_eq!(ports, [65533, 65534, 65535]);
    }
}
