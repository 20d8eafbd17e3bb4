//! Whether a host has an address, and somebody listens there.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, lookup_host};

use super::route::{Route, Server};
use super::{Finding, Tell, Verdict};

const LIMIT: Duration = Duration::from_secs(5);

/// Tries all servers of a route; whether one of them is there. Where there are several, one that is away is worth a warning only.
pub(super) async fn reach_all(route: &Route, tell: Tell<'_>) -> bool {
    let mut findings = Vec::new();
    for server in &route.servers {
        findings.push(reach(server, route.listening).await);
    }
    let reached = findings.is_empty() || findings.iter().any(|finding| finding.verdict == Verdict::Fine);
    for finding in findings {
        let verdict = if reached && finding.verdict == Verdict::Failed { Verdict::Warning } else { finding.verdict };
        tell(Finding { verdict, ..finding });
    }
    // What goes through a proxy is not seen here: only asking tells.
    reached || route.may_be_behind_proxy
}

/// Whether `server` can be connected to; `listening` says what should listen there.
async fn reach(server: &Server, listening: &str) -> Finding {
    let begun = Instant::now();
    let Server { name, host, port } = server;
    let failed = |what: String, remedy: String| Finding::failed("network", format!("{name}: {what}"), remedy).since(begun);
    let addresses = match tokio::time::timeout(LIMIT, lookup_host((host.as_str(), *port))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            let remedy = format!("check the spelling of `{host}` in the configuration, and what DNS and /etc/hosts of this machine say about it");
            return failed(format!("host `{host}` has no address ({error})"), remedy);
        }
        Err(_) => return failed(format!("nobody says the address of `{host}` within {} s", LIMIT.as_secs()), "check DNS on this machine".to_owned()),
    };
    let mut last = failed(format!("host `{host}` has no address"), "check DNS and /etc/hosts".to_owned());
    for address in addresses {
        last = match tokio::time::timeout(LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                return Finding::fine("network", format!("{name}: {host} is {}, and somebody listens on port {port}", address.ip())).since(begun);
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => failed(
                format!("{host} ({}) refuses connections on port {port}: nothing listens there", address.ip()),
                format!("is {listening} running, and is this its port?"),
            ),
            Ok(Err(error)) => {
                failed(format!("{host} ({}) cannot be connected to on port {port}: {error}", address.ip()), "check the route to this host".to_owned())
            }
            Err(_) => {
                let what = format!("{host} ({}) does not answer on port {port} within {} s", address.ip(), LIMIT.as_secs());
                failed(what, "is the host up, and does a firewall let this machine through?".to_owned())
            }
        };
    }
    last
}
