//! Networks of a container, and its ports.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkingConfig, PortBinding};

use super::asked::{Run, host, push, set};
use crate::env::Environment;

/// The network of a container that names none.
const USUAL: &str = "default";

/// `--network`: a name, or `name=web,alias=db,ip=10.0.0.2`.
pub(super) fn network(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let mut endpoint = EndpointSettings::default();
    let mut name = text;
    if text.split(',').any(|word| word.contains('=')) {
        name = "";
        for word in text.split(',') {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "name" => name = value,
                "alias" => push(&mut endpoint.aliases, value)?,
                "ip" => addresses(&mut endpoint).ipv4_address = Some(value.to_owned()),
                "ip6" => addresses(&mut endpoint).ipv6_address = Some(value.to_owned()),
                "mac-address" => endpoint.mac_address = Some(value.to_owned()),
                _ => return Err(format!("`{word}` is nothing of a network that imgbake knows")),
            }
        }
    }
    if name.is_empty() {
        return Err(format!("`{text}` names no network"));
    }
    run.networks.push((name.to_owned(), endpoint));
    Ok(())
}

fn addresses(endpoint: &mut EndpointSettings) -> &mut EndpointIpamConfig {
    endpoint.ipam_config.get_or_insert_default()
}

pub(super) fn ip(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    set(&mut addresses(&mut run.endpoint).ipv4_address, text.to_owned())
}

pub(super) fn ip6(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    set(&mut addresses(&mut run.endpoint).ipv6_address, text.to_owned())
}

pub(super) fn mac_address(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    set(&mut run.endpoint.mac_address, text.to_owned())
}

pub(super) fn alias(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    push(&mut run.endpoint.aliases, text)
}

impl Run {
    /// All flags are read: its networks are what they say together. What is said of no network in
    /// particular is about the first.
    pub(super) fn connect(&mut self) -> Result<(), String> {
        let mut networks = std::mem::take(&mut self.networks);
        let endpoint = std::mem::take(&mut self.endpoint);
        if let Some((name, _)) = networks.first() {
            host(self).network_mode = Some(name.clone());
        }
        if endpoint != EndpointSettings::default() {
            match networks.as_mut_slice() {
                [] => networks.push((USUAL.to_owned(), endpoint)),
                [(_, own)] if *own == EndpointSettings::default() => *own = endpoint,
                _ => {
                    return Err("`--ip`, `--ip6`, `--mac-address` and `--network-alias` do not say of which \
                         network: write `--network name=…,ip=…`"
                        .to_owned());
                }
            }
        }
        let says_more = |(_, own): &(String, EndpointSettings)| *own != EndpointSettings::default();
        if networks.len() > 1 || networks.iter().any(says_more) {
            let endpoints: HashMap<_, _> = networks.into_iter().collect();
            let networking = NetworkingConfig { endpoints_config: Some(endpoints) };
            self.body.networking_config = Some(networking);
        }
        Ok(())
    }
}

/// `80`, `8080:80`, `127.0.0.1:8080:80`, `8000-8010:80-90`, each with `/udp` at its end.
pub(super) fn publish(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let bad = || format!("`{text}` is no port such as `8080:80` or `8000-8010:80-90`");
    let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let (address, ports) = match ports.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((address, ports)) => (Some(address), ports),
        None => match ports.rsplitn(3, ':').collect::<Vec<_>>()[..] {
            [_, _, address] => (Some(address), &ports[address.len() + 1..]),
            _ => (None, ports),
        },
    };
    let (outside, inside) = ports.split_once(':').unwrap_or(("", ports));
    let inside = range(inside).ok_or_else(bad)?;
    let outsides: Vec<String> = match range(outside) {
        None if outside.is_empty() => vec![String::new(); inside.len()],
        None => return Err(bad()),
        Some(all) if all.len() == inside.len() => all.map(|port| port.to_string()).collect(),
        // Any of them.
        Some(_) if inside.len() == 1 => vec![outside.to_owned()],
        Some(_) => return Err(format!("`{text}`: these are not as many ports here as there")),
    };
    for (inside, outside) in inside.zip(outsides) {
        let inside = format!("{inside}/{protocol}");
        push(&mut run.body.exposed_ports, &inside)?;
        let binding = PortBinding { host_port: Some(outside), host_ip: address.map(str::to_owned) };
        let bindings: &mut HashMap<_, _> = host(run).port_bindings.get_or_insert_default();
        bindings.entry(inside).or_default().get_or_insert_default().push(binding);
    }
    Ok(())
}

/// `80`, `80-90/udp`.
pub(super) fn expose(run: &mut Run, text: &str, _: &Environment) -> Result<(), String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let ports = range(ports).ok_or_else(|| format!("`{text}` is no port such as `80`"))?;
    for port in ports {
        push(&mut run.body.exposed_ports, &format!("{port}/{protocol}"))?;
    }
    Ok(())
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ports: RangeInclusive<u16> = first.parse().ok()?..=last.parse().ok()?;
    (!ports.is_empty()).then_some(ports)
}
