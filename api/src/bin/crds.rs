//! Writes the generated files, `config/` and the chart's CRDs, below the root of the repository.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use hybridnet_api::generated;

fn main() -> io::Result<()> {
    let root = root();
    for (name, text) in generated::files().map_err(io::Error::other)? {
        let path = root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text)?;
        println!("{name}");
    }
    Ok(())
}

// Cargo says where the crate is, wherever it is called.
fn root() -> PathBuf {
    match env::var_os("CARGO_MANIFEST_DIR") {
        Some(api) => Path::new(&api).join(".."),
        None => PathBuf::from("."),
    }
}
