//! What the API server says, as far as the manager cares.

pub mod store;
