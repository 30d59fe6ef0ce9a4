//! Guests that are on a network of this host: the addresses of this host there, and of the guest.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, bail};
use if_addrs::{IfAddr, Interface};
use tokio::net::UdpSocket;
use uuid::Uuid;

use crate::peer;

/// Linux's ARP table.
pub const TABLE: &str = "/proc/net/arp";
/// More than all tables have.
const LARGEST_TABLE: u64 = 4 << 20;

/// The largest network whose addresses are all asked for: one of 254 machines.
const SHORTEST_PREFIX: u8 = 24;
/// The port that throws away what it gets, if anybody listens there.
const DISCARD: u16 = 9;

/// The addresses of the interface `name`. Link-local ones are left out: they need the name of an
/// interface beside them, which a guest cannot know.
fn interface(name: &str) -> anyhow::Result<Vec<Interface>> {
    let all = if_addrs::get_if_addrs().context("cannot list the network interfaces")?;
    let known: BTreeSet<_> = all.iter().map(|interface| interface.name.clone()).collect();
    if !known.contains(name) {
        let known = Vec::from_iter(known).join(", ");
        bail!("there is no network interface `{name}` with an address here, but {known}");
    }
    let own = all.into_iter().filter(|interface| interface.name == name);
    Ok(own.filter(|interface| !interface.is_link_local()).collect())
}

/// The address of this host at the interface `name`: IPv4, if it has one.
pub fn own_address(name: &str) -> anyhow::Result<IpAddr> {
    let addresses = interface(name)?.into_iter().map(|interface| interface.ip());
    addresses
        .min_by_key(IpAddr::is_ipv6)
        .with_context(|| format!("the network interface `{name}` has only link-local addresses"))
}

/// Has Linux send an ARP request for each address of the small networks at the interface `name`: the
/// answers fill its ARP table with machines that have sent nothing yet.
pub async fn ask_all_by_arp(name: &str) -> anyhow::Result<()> {
    for own in interface(name)? {
        let IfAddr::V4(own) = own.addr else { continue };
        if own.prefixlen < SHORTEST_PREFIX {
            continue;
        }
        let socket = UdpSocket::bind((own.ip, 0)).await?;
        let (network, mask) = (u32::from(own.ip & own.netmask), u32::from(own.netmask));
        for host in 1..!mask {
            let address = Ipv4Addr::from(network + host);
            // Nobody needs to be there, and nothing needs to arrive.
            let _ = socket.send_to(&[], (address, DISCARD)).await;
        }
    }
    Ok(())
}

/// An address of a network card that no other guest has.
pub fn new_mac() -> String {
    let random = Uuid::new_v4().into_bytes();
    // What QEMU's own cards begin with.
    format!("52:54:00:{:02x}:{:02x}:{:02x}", random[0], random[1], random[2])
}

/// The address of the guest whose network card is `mac`, if it is in the ARP table.
pub fn address_of(mac: &str) -> anyhow::Result<Option<Ipv4Addr>> {
    let table = peer::read_regular_text(TABLE.as_ref(), LARGEST_TABLE);
    Ok(find(&table.with_context(|| format!("cannot read {TABLE}"))?, mac))
}

/// The address of `mac` in a table of Linux: address, kind, flags, MAC, mask, interface.
fn find(table: &str, mac: &str) -> Option<Ipv4Addr> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [address, _kind, flags, found, ..] = words[..] else { return None };
        let is_known = flags != "0x0";
        let is_it = is_known && found.eq_ignore_ascii_case(mac);
        is_it.then(|| address.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_found_by_its_network_card() {
        let table = "\
IP address       HW type     Flags       HW address            Mask     Device
192.168.122.7    0x1         0x0         52:54:00:aa:bb:cc     *        br0
192.168.122.8    0x1         0x2         52:54:00:AA:BB:CC     *        br0
192.168.122.1    0x1         0x2         52:54:00:00:00:01     *        br0
";
        assert_eq!(find(table, "52:54:00:aa:bb:cc"), Some(Ipv4Addr::new(192, 168, 122, 8)));
        assert_eq!(find(table, "52:54:00:00:00:02"), None);
        assert!(address_of(&new_mac()).unwrap().is_none());
    }

    #[test]
    fn this_host_has_an_address_at_its_interfaces() {
        assert_eq!(own_address("lo").unwrap(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let said = own_address("no-such-bridge").unwrap_err().to_string();
        assert!(said.contains("no network interface `no-such-bridge`"), "{said}");
    }
}
