//! `hybridnet`: the CNI plugin. The container runtime starts it once for each verb and pod; it asks the
//! daemon of its node over a unix socket and prints what the runtime wants to hear (datapath spec 2.2).
//!
//! ```text
//! runtime --environment, stdin--> invocation --> command --HTTP on a unix socket--> hybridnet-daemon
//!         <--stdout, exit status-- result or failure <--
//! ```
//!
//! Size and start-up are latency of every pod: no async runtime, no client, no argument parser.

pub mod command;
pub mod config;
pub mod daemon;
pub mod failure;
pub mod http;
pub mod invocation;
pub mod link;
pub mod result;
pub mod version;
