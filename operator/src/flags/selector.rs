//! Label selectors as they stand on a command line: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};

/// A selector that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label selector {whole:?}: {part:?} is not one of a=b, a!=b, a in (b,c), a notin (b,c), a, !a")]
pub struct SelectorError {
    whole: String,
    part: String,
}

/// Empty text selects everything.
pub fn parse(text: &str) -> Result<Selector, SelectorError> {
    let mut selector = Selector::default();
    for part in parts(text) {
        let expression = expression(part).ok_or_else(|| SelectorError {
            whole: text.to_owned(),
            part: part.to_owned(),
        })?;
        selector.extend([expression]);
    }
    Ok(selector)
}

/// Splits at the commas that stand outside of parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn expression(part: &str) -> Option<Expression> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(Expression::DoesNotExist(key_of(key)?));
    }
    if let Some((key, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        return set(key.trim_end(), values);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Expression::NotEqual(key_of(key)?, value_of(value)?));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Expression::Equal(key_of(key)?, value_of(value)?));
    }
    Some(Expression::Exists(key_of(part)?))
}

fn set(left: &str, values: &str) -> Option<Expression> {
    let (key, operator) = left.rsplit_once(char::is_whitespace)?;
    let key = key_of(key)?;
    let values = values.split(',').map(value_of).collect::<Option<BTreeSet<_>>>()?;
    match operator {
        "in" => Some(Expression::In(key, values)),
        "notin" => Some(Expression::NotIn(key, values)),
        _ => None,
    }
}

fn key_of(text: &str) -> Option<String> {
    let text = text.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!text.is_empty() && text.chars().all(legal)).then(|| text.to_owned())
}

fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().all(legal).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt;

    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        parse(selector).unwrap().matches(&labels)
    }

    /// Scenario 28: which pods a selector selects.
    #[test]
    fn every_form_selects_what_it_says() {
        let labels = [("app", "web"), ("example.com/tier", "1")];
        for selector in [
            "",
            "app=web",
            "app == web",
            "app!=db,example.com/tier=1",
            "app in (db, web),!gone",
            "app notin (db)",
            "app",
        ] {
            assert!(selects(selector, &labels), "{selector}");
        }
        for selector in [
            "app=db",
            "app!=web",
            "app in (db,x)",
            "app notin (web)",
            "gone",
            "!app",
        ] {
            assert!(!selects(selector, &labels), "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_named() {
        for selector in ["a b", "app within (b)", "app=a=b", "=b", "a in (b", "a,!"] {
            assert!(parse(selector).is_err(), "{selector}");
        }
        let said = parse("app=web,a b").unwrap_err().to_string();
        assert!(said.contains("\"a b\""), "{said}");
    }
}
