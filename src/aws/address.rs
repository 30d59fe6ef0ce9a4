//! This machine's address, as instances see it: what a temporary security group is opened to.
//!
//! Where the EC2 API itself answers at a loopback or private address (a test server, or a VPC
//! endpoint), we are inside: the address of the interface that leads there is right. The same
//! holds where the template says that instances are reached at their private address. Everywhere
//! else we may stand behind a router, and ask a service that says where a request came from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{UdpSocket, lookup_host};

use crate::aws::account::Account;
use crate::env::Environment;
use crate::peer::Allowance;
use crate::web;

/// The environment variable that names another service to ask.
const LOOKUP_VARIABLE: &str = "IMGBAKE_PUBLIC_IP_URL";
/// An address is short.
const ANSWER: Allowance = Allowance::new("the answer", 4096, Duration::from_secs(10));
const LOOKUP_URL: &str = "https://checkip.amazonaws.com";
const HELP: &str =
    "give `temporary_security_group_source_cidrs` or `security_group_ids` in the template";

/// Which way the instance is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At its public IPv4 address.
    Public,
    /// At its private address.
    Private,
    /// At its IPv6 address.
    Ipv6,
}

/// The CIDR block of exactly this machine.
///
/// # Errors
/// When the address cannot be found; the message says how to do without.
pub async fn own_cidr(
    account: &Account,
    environment: &Environment,
    way: Way,
) -> anyhow::Result<String> {
    let found = match way {
        // Any global address will do: nothing is sent to it.
        Way::Ipv6 => {
            towards(SocketAddr::new(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1).into(), 443)).await
        }
        Way::Private => towards(api(account).await?).await,
        Way::Public => match api(account).await? {
            api if is_internal(api.ip()) => towards(api).await,
            _ => ask(environment).await,
        },
    };
    let address = found.with_context(|| {
        format!(
            "cannot find this machine's own address to open the temporary security group to; {HELP}"
        )
    })?;
    Ok(cidr(address))
}

/// Where the EC2 API answers.
async fn api(account: &Account) -> anyhow::Result<SocketAddr> {
    let (host, port) = account.endpoint()?;
    let mut found = lookup_host((host.as_str(), port))
        .await
        .with_context(|| format!("cannot resolve the EC2 endpoint `{host}`"))?;
    found.next().with_context(|| format!("the EC2 endpoint `{host}` has no address"))
}

/// The address of the interface that leads to `peer`. Nothing is sent.
async fn towards(peer: SocketAddr) -> anyhow::Result<IpAddr> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(peer).await.with_context(|| format!("no way leads to {}", peer.ip()))?;
    Ok(socket.local_addr()?.ip())
}

/// What the lookup service says.
async fn ask(environment: &Environment) -> anyhow::Result<IpAddr> {
    let url = environment.get(LOOKUP_VARIABLE).unwrap_or(LOOKUP_URL);
    let answer = async {
        let response = web::client().build()?.get(url).send().await.map_err(web::cause)?;
        web::body(web::success(response)?, ANSWER).await
    };
    let answer = ANSWER.in_time(answer).await.map_err(anyhow::Error::from).flatten();
    let answer = answer.with_context(|| {
        format!("cannot ask {url} (set {LOOKUP_VARIABLE} to ask another service)")
    })?;
    let answer = String::from_utf8_lossy(&answer);
    let address: IpAddr = answer
        .trim()
        .parse()
        .with_context(|| format!("{url} answered no address: {:.40}", answer.escape_debug()))?;
    anyhow::ensure!(!address.is_unspecified(), "{url} answered {address}");
    Ok(address)
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn cidr(address: IpAddr) -> String {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    format!("{address}/{bits}")
}

/// A checked CIDR block: which of the two families, and the block as it was written.
pub fn is_ipv6_cidr(block: &str) -> Result<bool, String> {
    let wrong = || format!("`{block}` is no CIDR block such as 203.0.113.7/32 or 2001:db8::/64");
    let (address, bits) = block.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if bits > longest { Err(wrong()) } else { Ok(address.is_ipv6()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_interface_that_leads_to_loopback_is_loopback() {
        let found = towards(([127, 0, 0, 1], 9).into()).await.unwrap();
        assert_eq!(cidr(found), "127.0.0.1/32");
    }

    /// What [`ask`] makes of a service that answers `text`.
    async fn asked(text: &'static str) -> Result<String, String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let read = stream.read(&mut [0; 4096]).await.unwrap();
            assert!(read > 0, "a request comes first");
            stream.write_all(text.as_bytes()).await.unwrap();
        });
        let vars = [(LOOKUP_VARIABLE.to_owned(), url)].into();
        let environment = Environment::new(vars, "/".into(), jiff::Timestamp::UNIX_EPOCH);
        let found = ask(&environment).await;
        serving.await.unwrap();
        found.map(cidr).map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn the_lookup_service_is_believed_only_if_it_says_an_address() {
        let answer = |text| asked(text);
        let good = answer("HTTP/1.0 200 OK\r\n\r\n198.51.100.7\n").await;
        assert_eq!(good.as_deref(), Ok("198.51.100.7/32"));
        let good = answer("HTTP/1.0 200 OK\r\n\r\n2001:db8::7").await;
        assert_eq!(good.as_deref(), Ok("2001:db8::7/128"));
        for wrong in [
            "HTTP/1.0 200 OK\r\n\r\n0.0.0.0",
            "HTTP/1.0 200 OK\r\n\r\n0.0.0.0/0",
            "HTTP/1.0 200 OK\r\n\r\n<html>",
            "HTTP/1.0 503 No\r\n\r\n198.51.100.7",
        ] {
            let error = answer(wrong).await.unwrap_err();
            assert!(error.contains("http://127.0.0.1:"), "{wrong}: {error}");
        }
    }

    #[test]
    fn private_and_loopback_addresses_are_inside() {
        for inside in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "::1", "fd00::1"] {
            assert!(is_internal(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["52.94.1.1", "2600:1f18::1", "172.32.0.1"] {
            assert!(!is_internal(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn cidr_blocks_are_checked() {
        assert_eq!(is_ipv6_cidr("10.0.0.0/8"), Ok(false));
        assert_eq!(is_ipv6_cidr("::/0"), Ok(true));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129"] {
            assert!(is_ipv6_cidr(wrong).is_err(), "{wrong}");
        }
    }
}
