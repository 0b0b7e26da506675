//! Reading what the Go project wrote: a list or map that it left empty is `null` on the wire.

use serde::{Deserialize, Deserializer};

/// Absent, `null` and empty are the same thing (control-plane spec 1.1).
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
