//! What the sources say: every test of the workspace, and the scenarios that its doc comment names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const TAG: &str = "/// Scenario";

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Scenario and the test that covers it, as `path::name`.
    pub tags: BTreeSet<(usize, String)>,
    /// All tests, as `path::name`.
    pub tests: BTreeSet<String>,
}

impl Source {
    /// Everything below a folder, but what is built, hidden, or another project's.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let mut found = Self::default();
        found.folder(root, root)?;
        ensure!(
            !found.tags.is_empty(),
            "no test below {} names a scenario",
            root.display()
        );
        Ok(found)
    }

    fn folder(&mut self, root: &Path, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("folder {}", folder.display()))? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "kubernetes" {
                self.folder(root, &path)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).with_context(|| format!("source {}", path.display()))?;
                let place = path.strip_prefix(root)?.display().to_string();
                self.file(&place, &text)?;
            }
        }
        Ok(())
    }

    /// One file. A tag that is not written as it must be, or that no test follows, is an error.
    pub(crate) fn file(&mut self, place: &str, text: &str) -> Result<()> {
        let mut scenarios = Vec::new();
        let (mut is_test, mut in_attribute) = (false, false);
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            let here = || format!("{place}:{number}");
            if is_tag(line) {
                let scenario = scenario(line).with_context(here)?;
                scenarios.push(scenario);
            } else if in_attribute || line.starts_with("#[") {
                is_test |= is_test_attribute(line);
                in_attribute = !line.ends_with(']');
            } else if !line.starts_with("//") {
                match function(line) {
                    Some(name) if is_test => self.test(place, name, &scenarios),
                    _ if scenarios.is_empty() => {}
                    _ => bail!("{}: a scenario is named above what is no test", here()),
                }
                scenarios.clear();
                is_test = false;
            }
        }
        Ok(())
    }

    fn test(&mut self, place: &str, name: &str, scenarios: &[usize]) {
        let test = format!("{place}::{name}");
        let tags = scenarios.iter().map(|scenario| (*scenario, test.clone()));
        self.tags.extend(tags);
        self.tests.insert(test);
    }
}

/// Whether a number follows; of several, too, so that such a line is told instead of overlooked.
fn is_tag(line: &str) -> bool {
    let rest = line.strip_prefix(TAG).unwrap_or_default();
    let rest = rest.trim_start_matches('s').strip_prefix(' ').unwrap_or_default();
    rest.starts_with(|first: char| first.is_ascii_digit())
}

/// `/// Scenario 70: the pool's entry of the ordinal.`
fn scenario(line: &str) -> Result<usize> {
    let wrong = || format!("`{line}`: a scenario is named as `{TAG} 70: a few words.`");
    let rest = line.strip_prefix(TAG).unwrap_or_default();
    let (number, words) = rest.split_once(':').with_context(wrong)?;
    let number = number.strip_prefix(' ').with_context(wrong)?;
    ensure!(words.starts_with(' ') && words.trim().len() > 3, wrong());
    number.parse().with_context(wrong)
}

/// `#[test]`, `#[tokio::test(start_paused = true)]`.
fn is_test_attribute(line: &str) -> bool {
    let path = line.trim_start_matches("#[");
    let path = path.split(['(', ']']).next().unwrap_or_default();
    path == "test" || path.ends_with("::test")
}

fn function(line: &str) -> Option<&str> {
    let words = line.trim_start_matches("pub ").trim_start_matches("async ");
    let name = words.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Source> {
        let mut source = Source::default();
        source.file("a/b.rs", text)?;
        Ok(source)
    }

    #[test]
    fn a_test_is_found_with_every_scenario_that_it_names() {
        let text = "
            /// Why it matters.
            // Above, below and beside what else is said.
            @ 7: words and words.
            @ 12: more of them.
            #[tokio::test(start_paused = true)]
            async fn a_thing_holds() {}

            #[test]
            fn another() {}
            fn none() {}";

        // Not written out above, or this very file would name scenarios.
        let source = read(&text.replace('@', TAG)).unwrap();

        let thing = "a/b.rs::a_thing_holds".to_owned();
        assert_eq!(source.tags, [(7, thing.clone()), (12, thing.clone())].into());
        assert_eq!(source.tests, [thing, "a/b.rs::another".to_owned()].into());
    }

    #[test]
    fn a_tag_above_what_is_no_test_is_an_error_with_its_place() {
        for text in [
            "/// Scenario 7: words.\nfn helper() {}",
            "/// Scenario 7: words.\nconst X: u8 = 1;\n#[test]\nfn t() {}",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("a/b.rs:2") && error.contains("no test"), "{error}");
        }
    }

    #[test]
    fn a_tag_that_cannot_be_read_is_an_error_with_its_place() {
        for tag in [
            "/// Scenarios 7, 8: words.",
            "/// Scenario 7 words.",
            "/// Scenario 7:",
        ] {
            let error = format!("{:#}", read(&format!("{tag}\n#[test]\nfn t() {{}}")).unwrap_err());
            assert!(error.contains("a/b.rs:1") && error.contains(tag), "{error}");
        }
    }
}
