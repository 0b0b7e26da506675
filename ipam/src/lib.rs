//! The address allocator: which addresses exist, who holds them, which one comes next. Pure: no I/O, no
//! async, no clock; equal input gives equal output (control-plane spec 3).
//!
//! ```text
//!            refresh / forget                adopt / release
//!  Network, Subnet objects ──┐              ┌── IPInstance objects
//!                            ▼              ▼
//!            Ipam { network → { subnet → Pool (free ranges, cursor), address → holding },
//!                   namespace → objects }
//!                            │              ▲
//!            allocate/assign ▼              │ commit / rollback / settle
//!                        Reservation ── API write ──┘
//! ```
//!
//! The API server is the record, this is its index. An address leaves its pool when it is reserved or
//! when an `IPInstance` for it is adopted; it comes back only by [`Ipam::rollback`] of a reservation that
//! was never written, or by [`Ipam::release`], which is called when the API says that the `IPInstance`
//! is gone, or by [`Ipam::adopt`], when an object has another address than before. How many addresses a
//! namespace has is known at any moment, so a limit is exact. All methods are short; keep the `Ipam` behind
//! one lock that is never held across an await.
//!
//! ```
//! use hybridnet_ipam::{AddressRange, Adoption, Claimant, Families, Ipam, NetworkSpec, Owner, Record, Request, State, SubnetSpec};
//!
//! let mut ipam = Ipam::default();
//!
//! // What IPInstances exist is told first, then the networks: order does not matter.
//! let known = Record {
//!     network: "overlay".into(),
//!     subnet: "overlay-v4".into(),
//!     ip: "100.10.0.1".parse()?,
//!     owner: Owner {
//!         namespace: "default".into(),
//!         instance: "100-10-0-1".into(),
//!         instance_uid: "3b2f".into(),
//!         pod: "web-0".into(),
//!         pod_uid: "77aa".into(),
//!     },
//!     state: State::Allocated,
//! };
//! assert_eq!(ipam.adopt(known.clone()), Adoption::Outside);
//! let refused = ipam.refresh(
//!     &NetworkSpec { name: "overlay".into(), ..NetworkSpec::default() },
//!     &[SubnetSpec {
//!         name: "overlay-v4".into(),
//!         network: "overlay".into(),
//!         range: AddressRange { version: "4".into(), cidr: "100.10.0.0/24".into(), ..AddressRange::default() },
//!         ..SubnetSpec::default()
//!     }],
//! );
//! assert!(refused.is_empty());
//!
//! // A pod wants an address: reserve, write to the API, then commit or roll back.
//! let reservation = ipam.allocate(&Request {
//!     network: "overlay".into(),
//!     families: Families::Ipv4Only,
//!     subnets: vec![],
//!     claimant: Claimant { namespace: "default".into(), pod: "web-1".into(), pod_uid: "77ab".into() },
//!     limit: None,
//! })?;
//! let address = &reservation.addresses()[0];
//! assert_eq!((address.ip.to_string().as_str(), address.prefix_len), ("100.10.0.2", 24));
//! ipam.commit(reservation);
//!
//! // The API says that an IPInstance is gone: only now is its address free.
//! ipam.release("overlay", known.ip, &known.owner);
//! let usage = ipam.subnet_usage("overlay", "overlay-v4").expect("the subnet is loaded");
//! assert_eq!((usage.counts.total, usage.counts.used), (254, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assign;
mod cursor;
mod directory;
mod error;
mod holding;
mod intervals;
mod ipam;
mod network;
mod pool;
mod record;
mod request;
mod reserve;
mod spec;
mod subnet;
mod unseen;
mod usage;

pub use error::{Error, Fault, SubnetError};
pub use hybridnet_api::address::Family;
pub use hybridnet_api::selection::PodFamily as Families;
pub use hybridnet_api::subnet::AddressRange;

pub use holding::{Adoption, Conflict, Held, Owner, Record, Release, Standing, State};
pub use ipam::Ipam;
pub use request::{Address, Assignment, Claimant, Request, Reservation, Wanted};
pub use spec::{NetworkSpec, SubnetSpec};
pub use usage::{Counts, FamilyUsage, NetworkUsage, SubnetUsage};
