//! Sysctls as files. What `/proc/sys/net` shows depends on the namespace of the thread that opens it, so both
//! functions are for [`Netns::run`](super::netns::Netns::run).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Those of `paths` that exist and can be read.
pub(super) fn read(root: &Path, paths: &[String]) -> BTreeMap<String, String> {
    let value = |path: &String| Some((path.clone(), std::fs::read_to_string(root.join(path)).ok()?));
    paths.iter().filter_map(value).collect()
}

/// Sets one.
pub(super) fn write(root: &Path, path: &str, value: &str) -> io::Result<()> {
    std::fs::write(root.join(path), value)
}
