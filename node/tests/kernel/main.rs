//! Plans made true in real network namespaces, which need root, `ip`, `bridge` and `nft`:
//! `cargo test -p hybridnet-node --features root-tests --test kernel`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod adopt;
mod drift;
mod fresh;
mod hybrid;
#[path = "../firewall/net.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod net;
mod newcomers;
mod overlay;
mod plans;
