//! hybridnet-manager: gives addresses to pods and keeps what the API says about networks true.
//!
//! From the outside in: [`run`](mod@run) is the life of the process, [`lease`] decides who may write and
//! [`client`] enforces it; feeds ([`hybridnet_service::feed`]) fill the [`world`], which wakes the controllers
//! through their [`queue`]s: [`pod`], [`ip_instance`], [`network`], [`subnet`] and [`node`]. The
//! [`collector`] looks for what they missed; [`workload`] knows the owners of addresses.

pub mod client;
pub mod collector;
pub mod conditions;
pub mod context;
mod controllers;
pub mod events;
#[cfg(test)]
mod fixtures;
pub mod flags;
pub mod health;
pub mod ip_instance;
pub mod lease;
pub mod metrics;
pub mod network;
pub mod node;
pub mod patch;
pub mod pod;
pub mod queue;
pub mod quota;
#[cfg(test)]
mod rights;
pub mod run;
#[cfg(test)]
mod scenarios;
#[cfg(any(test, feature = "simulation"))]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a mistake in the simulation shall end it at once"
)]
pub mod simulation;
pub mod subnet;
#[cfg(test)]
mod testing;
pub mod workload;
pub mod world;

pub use flags::Flags;
pub use run::run;
