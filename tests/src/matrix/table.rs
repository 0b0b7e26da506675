//! The matrix as a person reads it: one table a family.

use std::fmt;

use super::{Cell, FAMILIES, Matrix};

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for family in FAMILIES {
            let cells: Vec<&Cell> = self.cells.iter().filter(|cell| cell.family == family).collect();
            table(f, family, &cells)?;
        }
        for line in self.wrong() {
            writeln!(f, "red: {line}")?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, family: &str, cells: &[&Cell]) -> fmt::Result {
    let sources = distinct(cells.iter().map(|cell| cell.source.as_str()));
    let mut targets = distinct(cells.iter().map(|cell| cell.target.as_str()));
    targets.sort_by_key(|name| (kind(name), *name));
    let first = sources
        .iter()
        .chain([&family])
        .map(|name| name.len())
        .max()
        .unwrap_or_default();
    write!(f, "{family:first$}")?;
    for target in &targets {
        write!(f, "  {target}")?;
    }
    writeln!(f)?;
    for source in sources {
        write!(f, "{source:first$}")?;
        for target in &targets {
            let found = cells
                .iter()
                .find(|cell| cell.source == source && cell.target == *target);
            let mark = found.map_or("-", |cell| if cell.wrong.is_none() { "ok" } else { "RED" });
            write!(f, "  {mark:width$}", width = target.len())?;
        }
        writeln!(f)?;
    }
    writeln!(f)
}

/// Pods stand first, then nodes, then what is reached through them.
fn kind(name: &str) -> usize {
    let kinds = ["pod", "node", "Service", "outside"];
    kinds
        .iter()
        .position(|kind| name.starts_with(kind))
        .unwrap_or(kinds.len())
}

/// Each once, in the order of its first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(source: &str, target: &str, wrong: Option<&str>) -> Cell {
        Cell {
            family: "IPv4",
            source: source.into(),
            target: target.into(),
            wrong: wrong.map(String::from),
        }
    }

    #[test]
    fn a_red_cell_is_seen_in_the_table_and_explained_below() {
        let matrix = Matrix {
            cells: vec![
                cell("a", "pod-b", None),
                cell("a", "node-1", Some("timed out")),
                cell("longer", "pod-b", None),
            ],
        };

        let text = matrix.to_string();

        assert!(
            text.contains("IPv4    pod-b  node-1\na       ok     RED   \nlonger  ok     -"),
            "{text}"
        );
        assert!(text.contains("red: IPv4 a → node-1: timed out"), "{text}");
        assert_eq!(matrix.wrong().len(), 1);
    }
}
