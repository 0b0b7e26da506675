//! What an ADD prints: the daemon's answer in the form of the configuration's version (datapath spec 2.4).

use hybridnet_api::cni::{AddResponse, PodAddress};
use serde::Serialize;

use crate::failure::{Code, Failure};
use crate::invocation::Sandbox;
use crate::version::Version;

/// Results of 0.3.0 and later.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    cni_version: &'a str,
    interfaces: [Interface<'a>; 2],
    ips: Vec<Ip<'a>>,
    routes: Vec<Route<'a>>,
    dns: Dns,
}

#[derive(Serialize)]
struct Interface<'a> {
    name: &'a str,
    mac: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sandbox: &'a str,
}

#[derive(Serialize)]
struct Ip<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    interface: usize,
    address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    gateway: &'a str,
}

#[derive(Serialize)]
struct Route<'a> {
    dst: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    gw: &'a str,
}

/// Always empty: the cluster's DNS is the kubelet's matter.
#[derive(Serialize)]
struct Dns {}

/// Results of 0.1.0 and 0.2.0: one address a family, no links.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OldWire<'a> {
    cni_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<OldIp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<OldIp<'a>>,
    dns: Dns,
}

#[derive(Serialize)]
struct OldIp<'a> {
    ip: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    gateway: &'a str,
    routes: [Route<'a>; 1],
}

/// The result as JSON. `host_mac` is the MAC of the host's end; the pod's comes with each address.
pub fn print(
    answer: &AddResponse,
    host_mac: &str,
    sandbox: &Sandbox,
    version: Version,
) -> Result<String, Failure> {
    let addresses = answer.address.as_deref().unwrap_or_default();
    let Some(first) = addresses.first() else {
        let text = "generate cni result failed: the daemon's answer has no address";
        return Err(Failure::new(Code::TryAgainLater, text));
    };
    if version < Version::V030 {
        return Ok(print_old(addresses, version));
    }
    let netns = sandbox.netns.to_string_lossy();
    Ok(to_json(&Wire {
        cni_version: version.as_str(),
        interfaces: [
            Interface {
                name: &answer.host_interface,
                mac: host_mac,
                sandbox: "",
            },
            Interface {
                name: &sandbox.link,
                mac: &first.mac,
                sandbox: &netns,
            },
        ],
        ips: addresses.iter().map(|address| ip(address, version)).collect(),
        routes: addresses.iter().map(default_route).collect(),
        dns: Dns {},
    }))
}

fn ip(address: &PodAddress, version: Version) -> Ip<'_> {
    Ip {
        version: (version < Version::V100).then_some(if is_v6(address) { "6" } else { "4" }),
        interface: 1,
        address: &address.ip,
        gateway: &address.gateway,
    }
}

fn print_old(addresses: &[PodAddress], version: Version) -> String {
    let of_family = |v6: bool| {
        addresses
            .iter()
            .find(|address| is_v6(address) == v6)
            .map(|address| OldIp {
                ip: &address.ip,
                gateway: &address.gateway,
                routes: [default_route(address)],
            })
    };
    to_json(&OldWire {
        cni_version: version.as_str(),
        ip4: of_family(false),
        ip6: of_family(true),
        dns: Dns {},
    })
}

/// The nominal route, by the subnet's gateway. The pod's own goes by a virtual gateway, but the plugins
/// after us in the chain have always been shown this one.
fn default_route(address: &PodAddress) -> Route<'_> {
    let dst = if is_v6(address) { "::/0" } else { "0.0.0.0/0" };
    Route {
        dst,
        gw: &address.gateway,
    }
}

fn is_v6(address: &PodAddress) -> bool {
    address.protocol == "6"
}

/// Our types have string keys and no foreign `Serialize`, so that nothing can fail.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::PodArgs;

    fn sandbox() -> Sandbox {
        Sandbox {
            container_id: "c1".into(),
            netns: "/run/netns/a".into(),
            link: "eth0".into(),
            pod: PodArgs::default(),
        }
    }

    fn address(ip: &str, gateway: &str, protocol: &str) -> PodAddress {
        PodAddress {
            ip: ip.into(),
            mac: "00:16:ea:00:00:01".into(),
            gateway: gateway.into(),
            protocol: protocol.into(),
        }
    }

    fn dual_stack() -> AddResponse {
        AddResponse {
            address: Some(vec![
                address("10.0.0.5/24", "10.0.0.1", "4"),
                address("fd00::5/64", "", "6"),
            ]),
            host_interface: "hybr0d7763386da".into(),
            error: String::new(),
        }
    }

    fn printed(version: Version) -> String {
        print(&dual_stack(), "ee:ee:ee:ee:ee:ee", &sandbox(), version).unwrap()
    }

    #[test]
    fn version_0_3_1_names_families_links_and_nominal_routes() {
        let expected = concat!(
            r#"{"cniVersion":"0.3.1","interfaces":[{"name":"hybr0d7763386da","mac":"ee:ee:ee:ee:ee:ee"},"#,
            r#"{"name":"eth0","mac":"00:16:ea:00:00:01","sandbox":"/run/netns/a"}],"#,
            r#""ips":[{"version":"4","interface":1,"address":"10.0.0.5/24","gateway":"10.0.0.1"},"#,
            r#"{"version":"6","interface":1,"address":"fd00::5/64"}],"#,
            r#""routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"},{"dst":"::/0"}],"dns":{}}"#,
        );

        assert_eq!(printed(Version::V031), expected);
        assert_eq!(printed(Version::V040), expected.replace("0.3.1", "0.4.0"));
    }

    #[test]
    fn later_versions_do_not_name_families() {
        for version in [Version::V100, Version::V110] {
            let text = printed(version);

            assert!(
                text.contains(r#""ips":[{"interface":1,"address":"10.0.0.5/24","#),
                "{text}"
            );
            assert!(
                text.starts_with(&format!(r#"{{"cniVersion":"{version}""#)),
                "{text}"
            );
        }
    }

    #[test]
    fn the_first_versions_have_one_address_a_family() {
        let expected = concat!(
            r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/24","gateway":"10.0.0.1","#,
            r#""routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]},"#,
            r#""ip6":{"ip":"fd00::5/64","routes":[{"dst":"::/0"}]},"dns":{}}"#,
        );

        assert_eq!(printed(Version::V020), expected);
    }

    #[test]
    fn an_answer_without_an_address_is_no_result() {
        for address in [None, Some(vec![])] {
            let answer = AddResponse {
                address,
                ..dual_stack()
            };

            let failure = print(&answer, "", &sandbox(), Version::V110).unwrap_err();

            assert!(failure.message.contains("no address"));
        }
    }
}
