//! Make-believe worlds for tests.

pub(crate) mod cluster;
