//! What one level says: the keys of a pod or of a namespace.

use std::fmt;

use kube::api::ObjectMeta;

use super::{Catalogue, SelectionError};
use crate::names::annotation;
use crate::pod;

/// Where a wish comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The pod's own annotations and labels.
    Pod,
    /// Those of its namespace.
    Namespace,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pod => "pod",
            Self::Namespace => "namespace",
        })
    }
}

/// Words as they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub network: Option<String>,
    pub subnets: Vec<String>,
    pub network_type: Option<String>,
    pub family: Option<String>,
    pub retained: bool,
}

impl Wish {
    pub fn of(meta: &ObjectMeta) -> Self {
        let either = |key| pod::annotation_or_label(meta, key).map(str::to_owned);
        let subnets = pod::annotation_or_label(meta, annotation::SPECIFIED_SUBNET);
        Self {
            network: either(annotation::SPECIFIED_NETWORK),
            subnets: subnets.map_or_else(Vec::new, |text| text.split('/').map(str::to_owned).collect()),
            network_type: either(annotation::NETWORK_TYPE),
            family: pod::annotation(meta, annotation::IP_FAMILY).map(str::to_owned),
            retained: false,
        }
    }

    pub fn says_anything(&self) -> bool {
        *self != Self::default()
    }

    /// Checks the subnets, and takes the network from them when none is named.
    pub fn settled(mut self, level: Level, catalogue: &dyn Catalogue) -> Result<Self, SelectionError> {
        let networks = self.networks_of_subnets(level, catalogue)?;
        let (Some(subnet), Some(actual)) = (self.subnets.first(), networks.into_iter().next()) else {
            return Ok(self);
        };
        match &self.network {
            Some(network) if *network != actual => Err(SelectionError::OtherNetwork {
                level,
                network: network.clone(),
                subnet: subnet.clone(),
                actual,
            }),
            _ => {
                self.network = Some(actual);
                Ok(self)
            }
        }
    }

    fn networks_of_subnets(
        &self,
        level: Level,
        catalogue: &dyn Catalogue,
    ) -> Result<Vec<String>, SelectionError> {
        if self.subnets.len() > 2 {
            let text = self.subnets.join("/");
            return Err(SelectionError::TooManySubnets { level, text });
        }
        let mut networks = Vec::new();
        for (name, expected) in self.subnets.iter().zip(["4", "6"]) {
            let subnet = catalogue.subnet(name).ok_or_else(|| SelectionError::NoSubnet {
                level,
                name: name.clone(),
            })?;
            let actual = &subnet.spec.range.version;
            if self.subnets.len() == 2 && actual != expected {
                return Err(SelectionError::SubnetVersion {
                    level,
                    name: name.clone(),
                    actual: actual.clone(),
                    expected,
                });
            }
            networks.push(subnet.spec.network.clone());
        }
        if let ([first, second], [first_network, second_network]) =
            (self.subnets.as_slice(), networks.as_slice())
            && first_network != second_network
        {
            return Err(SelectionError::TwoNetworks {
                level,
                first: first.clone(),
                first_network: first_network.clone(),
                second: second.clone(),
                second_network: second_network.clone(),
            });
        }
        Ok(networks)
    }
}
