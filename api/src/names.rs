//! Every name on the wire, once. They are those of the Go project, release 0.8.9, and none may change:
//! a running cluster moves between the two implementations (control-plane spec, section 2).

/// API group of Network, Subnet, `IPInstance` and `NodeInfo`.
pub const GROUP: &str = "networking.alibaba.com";
/// API group of the objects that other clusters are known by.
pub const MULTICLUSTER_GROUP: &str = "multicluster.alibaba.com";
/// The only version of [`GROUP`] and [`MULTICLUSTER_GROUP`].
pub const VERSION: &str = "v1";

/// Lease that the managers, old and new, elect their leader by.
pub const MANAGER_LEASE: &str = "hybridnet-manager-election";
/// Socket on which the daemon serves the CNI plugin.
pub const CNI_SOCKET: &str = "/run/cni/hybridnet.sock";

/// Keys that are read from annotations of pods and namespaces, and partly from labels too.
pub mod annotation {
    /// Network that a pod asks for by name; also a label.
    pub const SPECIFIED_NETWORK: &str = "networking.alibaba.com/specified-network";
    /// Subnet that a pod asks for: one name, or `v4subnet/v6subnet`; also a label.
    pub const SPECIFIED_SUBNET: &str = "networking.alibaba.com/specified-subnet";
    /// `Underlay`, `Overlay` or `GlobalBGP`, in any case; also a label.
    pub const NETWORK_TYPE: &str = "networking.alibaba.com/network-type";
    /// `IPv4[Only]`, `IPv6[Only]` or `DualStack`, in any case.
    pub const IP_FAMILY: &str = "networking.alibaba.com/ip-family";
    /// Addresses of a stateful workload, a section an ordinal (control-plane spec 4.3.6).
    pub const IP_POOL: &str = "networking.alibaba.com/ip-pool";
    /// MACs of a stateful workload, one an ordinal.
    pub const MAC_POOL: &str = "networking.alibaba.com/mac-pool";
    /// Whether a stateful pod keeps its addresses: a Go boolean.
    pub const IP_RETAIN: &str = "networking.alibaba.com/ip-retain";
    /// `"true"` once the mutating webhook has filled in the pod's network annotations.
    pub const HANDLED_BY_WEBHOOK: &str = "networking.alibaba.com/handled-by-webhook";
    /// On a Namespace: how many addresses it may hold, a whole number. See [`crate::allowance`].
    pub const ADDRESS_LIMIT: &str = "networking.alibaba.com/address-limit";
    /// On a workload: for how long the addresses of ordinals that it does not have any more are kept, a
    /// duration as Go writes it. See [`crate::duration`].
    pub const RETAINED_IP_TTL: &str = "networking.alibaba.com/retained-ip-ttl";
    /// On a Service: its endpoints in other clusters count too, a Go boolean.
    pub const GLOBAL_SERVICE: &str = "networking.alibaba.com/global-service";
    /// Addresses of the pod for felix, joined by commas.
    pub const CALICO_POD_IPS: &str = "cni.projectcalico.org/podIPs";
}

/// Label keys.
pub mod label {
    /// Model version of an `IPInstance`; its value is [`super::IP_INSTANCE_MODEL`].
    pub const VERSION: &str = "networking.alibaba.com/version";
    /// Network of an `IPInstance`.
    pub const NETWORK: &str = "networking.alibaba.com/network";
    /// Subnet of an `IPInstance`.
    pub const SUBNET: &str = "networking.alibaba.com/subnet";
    /// Node that an `IPInstance` is bound to; absent while it is reserved.
    pub const NODE: &str = "networking.alibaba.com/node";
    /// Pod of an `IPInstance`, in the form of `api::pod::name_label`.
    pub const POD: &str = "networking.alibaba.com/pod";
    /// UID of the pod that an `IPInstance` is bound to; absent while it is reserved.
    pub const POD_UID: &str = "networking.alibaba.com/pod-uid";
    /// `KubeVirt` `VirtualMachine` of an `IPInstance`.
    pub const VM: &str = "networking.alibaba.com/vm";
    /// `RemoteCluster` that an object was copied from.
    pub const CLUSTER: &str = "networking.alibaba.com/cluster";
    /// The same on a `RemoteEndpointSlice` and the `EndpointSlice` made from it.
    pub const REMOTE_CLUSTER: &str = "networking.alibaba.com/remote-cluster";
    /// On a Node: it has an underlay network.
    pub const UNDERLAY_ATTACHMENT: &str = "networking.alibaba.com/underlay-network-attachment";
    /// On a Node: it has an overlay network.
    pub const OVERLAY_ATTACHMENT: &str = "networking.alibaba.com/overlay-network-attachment";
    /// On a Node: it has a BGP network, and a global BGP network exists.
    pub const BGP_ATTACHMENT: &str = "networking.alibaba.com/bgp-network-attachment";
    /// On a Node: `nonempty` or `empty`, absent without an underlay network.
    pub const IPV4_QUOTA: &str = "networking.alibaba.com/ipv4-address-quota";
    /// See [`IPV4_QUOTA`].
    pub const IPV6_QUOTA: &str = "networking.alibaba.com/ipv6-address-quota";
    /// See [`IPV4_QUOTA`].
    pub const DUAL_STACK_QUOTA: &str = "networking.alibaba.com/dualstack-address-quota";
    /// On a Pod: `true` or `TRUE` takes it out of both pod webhooks.
    pub const WEBHOOK_IGNORE: &str = "webhook.hybridnet.io/ignore";
}

/// Values of the quota labels.
pub mod quota {
    /// At least one address is free.
    pub const NON_EMPTY: &str = "nonempty";
    /// No address is free.
    pub const EMPTY: &str = "empty";
}

/// Finalizers.
pub mod finalizer {
    /// On an `IPInstance` until its address is released; on a stateful pod until its addresses are reserved.
    pub const IP_ALLOCATED: &str = "networking.alibaba.com/ip-allocated";
    /// Set by some builds of the Go project on Networks and Subnets: taken away on deletion, never added.
    pub const METRICS_REGISTERED: &str = "networking.alibaba.com/metrics-registered";
    /// On a `RemoteCluster` until the manager has left the other cluster alone.
    pub const MANAGER_RUNTIME_REGISTERED: &str = "multicluster.alibaba.com/manager-runtime-registered";
}

/// Value of [`label::VERSION`].
pub const IP_INSTANCE_MODEL: &str = "v1.2";
/// Ordinal of a pod whose name does not end in `-<number>`.
pub const NO_ORDINAL: i32 = i32::MAX;
/// Taint that host-network pods are made to tolerate.
pub const TAINT_NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";

/// Event reasons.
pub mod reason {
    /// Addresses were allocated to a pod.
    pub const IP_ALLOCATION_SUCCEED: &str = "IPAllocationSucceed";
    /// No address could be allocated; the note says why.
    pub const IP_ALLOCATION_FAIL: &str = "IPAllocationFail";
    /// Addresses of a pod were released.
    pub const IP_RELEASE_SUCCEED: &str = "IPReleaseSucceed";
    /// Addresses of a stateful pod were kept for its successor.
    pub const IP_RESERVE_SUCCEED: &str = "IPReserveSucceed";
    /// A status could not be written.
    pub const UPDATE_STATUS_FAIL: &str = "UpdateStatusFail";
    /// Two Subnets share addresses; the younger one is not used.
    pub const SUBNET_CONFLICT: &str = "SubnetConflict";
    /// An object in the API cannot be used as it stands; the note says what to change.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// An address is held for a pod or workload that is gone, or its record is out of order; it is repaired.
    pub const ADDRESS_LEAK: &str = "AddressLeak";
    /// A retained address is given back: its workload does not want the pod, and its time is over.
    pub const ADDRESS_EXPIRED: &str = "AddressExpired";
    /// A Subnet has no address left.
    pub const SUBNET_EXHAUSTED: &str = "SubnetExhausted";
    /// A Network has no address of a family left for pods that name no subnet.
    pub const NETWORK_EXHAUSTED: &str = "NetworkExhausted";
    /// Two Networks want the same nodes, or are of a type of which there can be one; the other one is used.
    pub const NETWORK_CONFLICT: &str = "NetworkConflict";
}
