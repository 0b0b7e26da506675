//! The daemon as a whole.

pub mod node_object;
pub mod publish;
pub mod reconcile;
