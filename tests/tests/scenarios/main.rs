//! Which test covers which scenario of the control-plane spec: `tests/scenarios/control-plane.md` says so, and here
//! it is held against the sources. `make scenarios` writes what the sources say into the table.

mod source;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::source::Source;

/// So many has the spec's section 6.
const SCENARIOS: usize = 146;

fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

fn place() -> PathBuf {
    repository().join("tests/scenarios/control-plane.md")
}

fn read() -> Result<(String, Source)> {
    let text = fs::read_to_string(place()).with_context(|| place().display().to_string())?;
    Ok((text, Source::of(repository())?))
}

#[test]
fn the_table_says_which_test_covers_which_scenario() {
    let outcome = agreed();
    assert!(outcome.is_ok(), "{:#}", outcome.unwrap_err());
}

fn agreed() -> Result<()> {
    let (text, source) = read()?;
    let rows = table::rows(&text, SCENARIOS)?;

    let differences = table::differences(&rows, &source);
    let told = differences.join("\n  ");
    ensure!(
        differences.is_empty(),
        "\n  {told}\n`make scenarios` writes the table anew"
    );
    let (stated, counted) = (table::stated(&text)?, table::counted(rows.len(), &source));
    ensure!(
        stated == counted,
        "the table says {stated:?}, and {counted:?} it is: `make scenarios` counts anew"
    );
    Ok(())
}

#[test]
#[ignore = "writes the table: `make scenarios`"]
fn the_table_is_written_from_the_sources() -> Result<()> {
    let (text, source) = read()?;
    let rows = table::rows(&text, SCENARIOS)?;
    let text = table::rewritten(&text, &rows, &source)?;
    fs::write(place(), text).with_context(|| place().display().to_string())
}
