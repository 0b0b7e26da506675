//! The rules for Networks and Subnets (control-plane spec 5.3, 5.5), as functions of the object and of what
//! is beside it: the webhook refuses by them, and the manager tells by them what is wrong with an object that
//! came in while no webhook answered.

pub mod network;
pub mod subnet;

use crate::pod::LABEL_LENGTH;

/// Objects named longer than a label value can never have addresses.
fn name_fits(name: &str) -> Result<(), usize> {
    if name.len() <= LABEL_LENGTH {
        Ok(())
    } else {
        Err(name.len())
    }
}
