//! A figure as a Markdown table, to be read on the terminal and pasted into the documentation.

use std::fmt;
use std::time::Duration;

/// A heading and rows of equally many cells.
#[derive(Debug, Clone)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows yet.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self {
            heading: heading.map(String::from).to_vec(),
            rows: Vec::new(),
        }
    }

    /// One more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || std::iter::once(&self.heading).chain(&self.rows);
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|column| {
                let cells = all().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
            })
            .collect();
        for (number, row) in all().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in &widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// `7.3 ms`, or `2.41 s` from one second on.
pub fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

/// The same of a time that may not have been measured.
pub fn time_or_none(measured: Option<Duration>) -> String {
    measured.map_or_else(|| "-".to_owned(), time)
}

/// `134 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["what", "n"]);
        table.row(["round 10".to_owned(), "1".to_owned()]);
        table.row(["é".to_owned(), "22".to_owned()]);

        assert_eq!(
            table.to_string(),
            "| what     | n  |\n|----------|----|\n| round 10 | 1  |\n| é        | 22 |\n"
        );
    }

    #[test]
    fn times_have_the_unit_that_fits_them() {
        assert_eq!(time(Duration::from_micros(7340)), "7.3 ms");
        assert_eq!(time(Duration::from_millis(2412)), "2.41 s");
        assert_eq!(time_or_none(None), "-");
    }
}
