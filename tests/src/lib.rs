//! The cluster harness: Kubernetes in network namespaces of one machine, for tests, for the demo and for figures.
//!
//! ```text
//! prepare ── what is made once: packages, Kubernetes, images
//! cluster ── one cluster and its typed handles   ── control, node: who runs where
//!   │                                            ── topology, netns: the wires
//!   │                                            ── keeper: its door, and its end when we end first
//!   └ state ── what is on disk about it, so that anybody can end it
//! chart, matrix, demo, compare, bench ── what is done with a cluster
//! ```

pub mod audit;
pub mod bench;
pub mod cgroup;
pub mod chart;
pub mod cluster;
pub mod compare;
mod control;
pub mod demo;
pub mod diagnose;
pub mod keeper;
pub mod machine;
pub mod matrix;
pub mod netns;
pub mod node;
pub mod node_init;
pub mod original;
pub mod ours;
pub mod paths;
mod pki;
pub mod prepare;
pub mod process;
pub mod progress;
pub mod state;
pub mod stream;
pub mod testing;
pub mod topology;
pub mod wait;
pub mod workload;
