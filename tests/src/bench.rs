//! Figures of the control plane, each by one command: `lab bench full-pool`, `allocation`, `scale`.
//!
//! ```text
//! full_pool, allocation, scale ── what is measured, and the goal
//!   │      │
//!   │      ├ requests ── what the manager asked for          ── crowd, template, etcd: a full cluster
//!   │      └ board ── what was seen when, by one clock
//!   ├ scene ── API server, etcd, webhook, manager            ── inside: threads in their network
//!   ├ load ── what the client sends                          ── counters, usage: requests, processor, memory
//!   └ stats, table ── figures and how they are shown
//! ```
//! The client sends bodies that are ready and does not parse the answers, from threads in the control plane's network;
//! its own share of the processor is part of every figure.

use anyhow::Result;
use clap::Subcommand;

mod allocation;
mod board;
mod counters;
mod crowd;
mod etcd;
mod full_pool;
mod inside;
mod load;
mod requests;
mod scale;
mod scene;
pub mod stats;
mod table;
mod template;
pub mod usage;

/// What can be measured.
#[derive(Subcommand, Debug, Clone)]
pub enum Figure {
    /// A pool that is exactly full, all pods deleted and created again at once, beside an ample one.
    FullPool(full_pool::Options),
    /// Pods a second, time to an address, requests a pod, beside a plain client.
    Allocation(allocation::Options),
    /// The manager of a large cluster: start, memory, idle.
    Scale(scale::Options),
}

/// Takes a figure and prints it as Markdown. Manager and webhook are those beside this program.
pub async fn run(figure: &Figure) -> Result<()> {
    if cfg!(debug_assertions) {
        println!("Debug build: these figures say nothing about the product.\n");
    }
    match figure {
        Figure::FullPool(options) => full_pool::run(options).await,
        Figure::Allocation(options) => allocation::run(options).await,
        Figure::Scale(options) => scale::run(options).await,
    }
}
