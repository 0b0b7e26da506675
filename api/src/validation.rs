//! The rules for what users write (control-plane spec 5.3, 5.5, 5.6), as functions of the object and of what
//! is beside it: the webhook refuses by them, and the manager tells by them what is wrong with an object that
//! came in while no webhook answered.

mod allowed;
pub mod network;
pub mod remote_cluster;
pub mod remote_subnet;
pub mod subnet;

pub use allowed::NamespaceFault;

use crate::pod::LABEL_LENGTH;

/// Things named in a message; the rest is counted.
const NAMED: usize = 5;

/// Objects named longer than a label value can never have addresses.
fn name_fits(name: &str) -> Result<(), usize> {
    if name.len() <= LABEL_LENGTH {
        Ok(())
    } else {
        Err(name.len())
    }
}

/// The first few, and how many more there are.
fn few(things: &[String]) -> String {
    let named: Vec<_> = things.iter().take(NAMED).map(String::as_str).collect();
    let named = named.join(", ");
    match things.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A field that may be absent, as a message shows it.
fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(
        || "nothing".to_owned(),
        |value| format!("{:?}", value.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handful_is_named_and_the_rest_is_counted() {
        let things = |count: usize| (1..=count).map(|one| one.to_string()).collect::<Vec<_>>();
        assert_eq!(few(&things(1)), "1");
        assert_eq!(few(&things(5)), "1, 2, 3, 4, 5");
        assert_eq!(few(&things(8)), "1, 2, 3, 4, 5 and 3 more");
    }
}
