//! The table: what is written by hand in it, and what the sources have to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, bail, ensure};

use crate::source::Source;

/// The line of figures begins so.
const FIGURES: &str = "Covered: ";

/// One scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its number in the spec.
    pub scenario: usize,
    /// What it says, by hand.
    pub words: String,
    /// The tests that cover it, as `path::name`; made from the sources.
    pub tests: BTreeSet<String>,
    /// By hand: why no test covers it, or what to know about those that do.
    pub note: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests: Vec<String> = self.tests.iter().map(|test| format!("`{test}`")).collect();
        let (scenario, words, tests) = (self.scenario, &self.words, tests.join("<br>"));
        write!(f, "| {scenario} | {words} | {tests} | {} |", self.note)
    }
}

impl Row {
    fn read(line: &str) -> Result<Option<Self>> {
        let cells = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        let Some(cells) = cells else { return Ok(None) };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        let Ok(scenario) = cells.first().copied().unwrap_or_default().parse() else {
            return Ok(None);
        };
        let [_, words, tests, note] = cells.as_slice() else {
            bail!("scenario {scenario}: a row has four cells, and no cell a bar: {line}");
        };
        let tests = tests.split("<br>").filter(|test| !test.is_empty());
        let tests = tests.map(|test| test.trim_matches('`').to_owned()).collect();
        Ok(Some(Self {
            scenario,
            words: (*words).to_owned(),
            tests,
            note: (*note).to_owned(),
        }))
    }
}

/// All rows of the text, by number. A number that comes twice is an error, and so is one that is missing.
pub(crate) fn rows(text: &str, count: usize) -> Result<BTreeMap<usize, Row>> {
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let Some(row) = Row::read(line)? else { continue };
        let scenario = row.scenario;
        ensure!(
            (1..=count).contains(&scenario),
            "scenario {scenario}: the spec has 1 to {count}"
        );
        ensure!(
            rows.insert(scenario, row).is_none(),
            "scenario {scenario} has two rows"
        );
    }
    let missing: Vec<usize> = (1..=count).filter(|number| !rows.contains_key(number)).collect();
    ensure!(missing.is_empty(), "scenarios without a row: {missing:?}");
    Ok(rows)
}

/// Where the table and the sources disagree, a line each.
pub(crate) fn differences(rows: &BTreeMap<usize, Row>, source: &Source) -> Vec<String> {
    let tagged = by_scenario(source);
    let mut found = Vec::new();
    for (scenario, row) in rows {
        let tests = tagged.get(scenario).cloned().unwrap_or_default();
        for test in row.tests.difference(&tests) {
            let reason = if source.tests.contains(test) {
                "does not name the scenario in its doc comment"
            } else {
                "does not exist"
            };
            found.push(format!("scenario {scenario}: {test} {reason}"));
        }
        let untold = tests.difference(&row.tests);
        found.extend(untold.map(|test| format!("scenario {scenario}: {test} is not in the row")));
        if tests.is_empty() && row.note.is_empty() {
            found.push(format!("scenario {scenario}: no test, and no note says why"));
        }
    }
    let unknown = tagged.iter().filter(|(scenario, _)| !rows.contains_key(scenario));
    found
        .extend(unknown.map(|(scenario, tests)| format!("scenario {scenario}, which no row has: {tests:?}")));
    found
}

/// The text with the tests that the sources name.
pub(crate) fn rewritten(text: &str, rows: &BTreeMap<usize, Row>, source: &Source) -> Result<String> {
    let tagged = by_scenario(source);
    let mut lines = Vec::new();
    for line in text.lines() {
        let row = Row::read(line)?;
        lines.push(match row {
            Some(row) => {
                let tests = tagged.get(&row.scenario).cloned().unwrap_or_default();
                Row { tests, ..row }.to_string()
            }
            None if line.starts_with(FIGURES) => figures(rows.len(), &tagged, source),
            None => line.to_owned(),
        });
    }
    Ok(lines.join("\n") + "\n")
}

/// The line of figures as it stands in the text.
pub(crate) fn stated(text: &str) -> Result<&str> {
    let line = text.lines().find(|line| line.starts_with(FIGURES));
    line.with_context(|| format!("no line begins with `{FIGURES}`"))
}

/// The line of figures as it must be.
pub(crate) fn counted(count: usize, source: &Source) -> String {
    figures(count, &by_scenario(source), source)
}

fn figures(count: usize, tagged: &BTreeMap<usize, BTreeSet<String>>, source: &Source) -> String {
    let tests: BTreeSet<&String> = source.tags.iter().map(|(_, test)| test).collect();
    let end_to_end = |test: &String| test.starts_with("tests/");
    let whole = tagged
        .values()
        .filter(|tests| tests.iter().any(end_to_end))
        .count();
    format!(
        "{FIGURES}{} of {count} scenarios, by {} tests; {whole} of them end to end.",
        tagged.len(),
        tests.len()
    )
}

fn by_scenario(source: &Source) -> BTreeMap<usize, BTreeSet<String>> {
    let mut tagged: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (scenario, test) in &source.tags {
        tagged.entry(*scenario).or_default().insert(test.clone());
    }
    tagged
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# Head\n\nCovered: ?\n\n| # | scenario | tests | note |\n|---|---|---|---|\n\
                         | 1 | one thing | `a.rs::one`<br>`b.rs::too` |  |\n| 2 | another |  | has none |\n";

    fn source(tags: &[(usize, &str)]) -> Source {
        let tags: BTreeSet<_> = tags
            .iter()
            .map(|(scenario, test)| (*scenario, (*test).to_owned()))
            .collect();
        let tests = tags.iter().map(|(_, test)| test.clone()).collect();
        Source { tags, tests }
    }

    #[test]
    fn a_table_that_says_what_the_sources_say_has_no_difference() {
        let rows = rows(TABLE, 2).unwrap();

        assert_eq!(
            differences(&rows, &source(&[(1, "a.rs::one"), (1, "b.rs::too")])),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_kind_of_difference_is_told_with_the_scenario() {
        let rows = rows(TABLE, 2).unwrap();
        let mut source = source(&[(1, "c.rs::new"), (3, "d.rs::odd")]);
        source.tests.insert("b.rs::too".to_owned());

        let told = differences(&rows, &source).join("\n");

        for part in [
            "scenario 1: a.rs::one does not exist",
            "scenario 1: b.rs::too does not name the scenario",
            "scenario 1: c.rs::new is not in the row",
            "scenario 3, which no row has",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn a_scenario_without_test_and_note_is_a_difference() {
        let table = TABLE.replace("has none", "");

        let told = differences(
            &rows(&table, 2).unwrap(),
            &source(&[(1, "a.rs::one"), (1, "b.rs::too")]),
        );

        assert_eq!(told, ["scenario 2: no test, and no note says why"]);
    }

    #[test]
    fn missing_doubled_and_foreign_numbers_are_errors() {
        let doubled = TABLE.replace("| 2 |", "| 1 |");
        for (text, count, said) in [
            (TABLE, 3, "without a row: [3]"),
            (&doubled, 2, "scenario 1 has two rows"),
            (TABLE, 1, "scenario 2: the spec has 1 to 1"),
        ] {
            let error = rows(text, count).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn rewriting_keeps_what_is_written_by_hand_and_is_settled_at_once() {
        let source = source(&[(2, "tests/x.rs::two")]);
        let before = rows(TABLE, 2).unwrap();

        let text = rewritten(TABLE, &before, &source).unwrap();
        let after = rows(&text, 2).unwrap();

        assert_eq!(stated(&text).unwrap(), counted(2, &source));
        assert!(
            text.starts_with("# Head\n") && text.contains("by 1 tests; 1 of them"),
            "{text}"
        );
        assert_eq!(
            (&after[&1].words, &after[&2].note),
            (&before[&1].words, &before[&2].note)
        );
        assert_eq!(rewritten(&text, &after, &source).unwrap(), text);
        assert_eq!(
            differences(&after, &source),
            ["scenario 1: no test, and no note says why"]
        );
    }
}
