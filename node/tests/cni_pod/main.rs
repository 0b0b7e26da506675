//! Networks of pods in the real kernel, in network namespaces of these tests. Needs root and `ip`:
//! `cargo test -p hybridnet-node --features root-tests --test cni_pod`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what goes wrong in a test fails it"
)]

mod interrupted;
mod neighbours;
mod set_up;
mod take_down;
mod world;
