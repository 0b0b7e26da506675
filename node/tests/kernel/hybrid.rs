//! Overlay and underlay pods as one network: API objects in, packets observed. W1 to W11 are the walks of the
//! datapath spec, section 1.

mod capture;
mod keeping;
mod lent;
mod objects;
mod site;
mod walks;

use std::collections::BTreeMap;
use std::net::IpAddr;

use site::{Pod, Site};

use crate::plans::{ip, mac};

/// A site whose nodes have pods of both networks: two underlay pods and an overlay pod on node 1, one of each on
/// node 2.
struct World {
    site: Site,
    overlay: [Pod; 2],
    underlay: [Pod; 2],
    neighbour: Pod,
}

impl World {
    async fn new() -> Self {
        let mut site = Site::new().await;
        let [first, second] = &mut site.nodes;
        let overlay = [
            first.add("overlay", "o-1", ["100.64.0.11", "fd64::11"]).await,
            second.add("overlay", "o-2", ["100.64.0.22", "fd64::22"]).await,
        ];
        let underlay = [
            first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await,
            second.add("vlan", "u-2", ["10.0.0.22", "fd10::22"]).await,
        ];
        let neighbour = first.add("vlan", "v-1", ["10.0.0.12", "fd10::12"]).await;
        let world = Self {
            site,
            overlay,
            underlay,
            neighbour,
        };
        for (of, other) in [(0, 1), (1, 0)] {
            world.site.nodes[of].answer(world.behind(other)).await;
        }
        world
    }

    /// What the other node must know: the addresses that are behind one, and its tunnel's MAC.
    fn behind(&self, node: usize) -> BTreeMap<IpAddr, hybridnet_node::mac::Mac> {
        let number = u8::try_from(node).unwrap() + 1;
        let pods = [&self.overlay[node], &self.underlay[node]];
        let mut addresses: Vec<_> = pods.iter().flat_map(|pod| pod.addresses).map(ip).collect();
        if node == 0 {
            addresses.extend(self.neighbour.addresses.map(ip));
        }
        addresses.extend([ip(&format!("192.168.0.{number}")), ip(&format!("fd02::{number}"))]);
        addresses.into_iter().map(|ip| (ip, mac(number))).collect()
    }
}
