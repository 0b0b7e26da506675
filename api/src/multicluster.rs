//! What is known of other clusters (multicluster spec 2): whom to ask, and copies of what they have. Nothing
//! is ever written into another cluster.

mod api_endpoint;
mod copy_status;
mod remote_cluster;
mod remote_endpoint_slice;
mod remote_subnet;
mod remote_vtep;

pub use api_endpoint::{ApiEndpoint, EndpointFault};
pub use copy_status::CopyStatus;
pub use remote_cluster::{RemoteCluster, RemoteClusterSpec, RemoteClusterStatus, SecretReference};
pub use remote_endpoint_slice::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForZone, RemoteEndpointSlice,
    RemoteEndpointSliceSpec, RemoteService,
};
pub use remote_subnet::{RemoteSubnet, RemoteSubnetSpec};
pub use remote_vtep::{RemoteVtep, RemoteVtepSpec};
