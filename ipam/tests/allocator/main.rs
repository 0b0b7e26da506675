//! The allocator as its users see it: the scenarios of the control-plane spec, what happens when objects
//! change under it, and random histories against a naive model.

// Helpers of tests are tests, but clippy does not see that.
#![allow(clippy::indexing_slicing)]

mod changes;
mod edited;
mod fixtures;
mod model;
mod pair;
mod properties;
mod scenarios;
mod shape;
mod step;
