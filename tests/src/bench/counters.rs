//! Counters of a metrics page: how many requests by verb and resource, and the difference of two moments.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use http::Method;
use kube::Client;

use super::load::send;

/// Numbers by what they count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

/// Requests that the API server has answered, as `VERB resource/subresource`. Watches are left out: they count when
/// they end.
pub async fn of_server(client: &Client) -> Result<Counters> {
    let page = send(client, Method::GET, "/metrics", None)
        .await
        .context("metrics of the API server")?;
    Ok(Counters::summed(&page, "apiserver_request_total", |labels| {
        let (verb, resource) = (labels.get("verb")?, labels.get("resource")?);
        if *verb == "WATCH" || resource.is_empty() {
            return None;
        }
        Some(match labels.get("subresource") {
            Some(sub) if !sub.is_empty() => format!("{verb} {resource}/{sub}"),
            _ => format!("{verb} {resource}"),
        })
    }))
}

/// Requests that a manager has sent, by verb, less those about its lease. `page` is its metrics page.
pub fn of_manager(page: &str) -> Counters {
    Counters::summed(page, "hybridnet_manager_api_requests_total", |labels| {
        labels.get("verb").map(|verb| (*verb).to_owned())
    })
}

/// Keys that wait for a controller of the manager.
pub fn waiting(page: &str) -> u64 {
    Counters::summed(page, "hybridnet_manager_queue_depth", |_| Some("all".to_owned())).get("all")
}

impl Counters {
    /// Adds up the samples of one metric by the key that their labels have; those without a key are left out.
    fn summed(page: &str, metric: &str, key: impl Fn(&BTreeMap<&str, &str>) -> Option<String>) -> Self {
        let mut sums = BTreeMap::new();
        let samples = page.lines().filter_map(|line| sample(line, metric));
        for (labels, value) in samples {
            if let Some(key) = key(&labels) {
                *sums.entry(key).or_default() += value;
            }
        }
        Self(sums)
    }

    /// One number; what was never counted is zero.
    pub fn get(&self, key: &str) -> u64 {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// The sum of all whose key is accepted.
    pub fn sum(&self, accepted: impl Fn(&str) -> bool) -> u64 {
        let matching = self.0.iter().filter(|(key, _)| accepted(key));
        matching.map(|(_, count)| count).sum()
    }

    /// What came since then; what did not change is left out.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let differences = self.0.iter().map(|(key, count)| {
            let difference = count.saturating_sub(before.get(key));
            (key.clone(), difference)
        });
        Self(differences.filter(|(_, count)| *count > 0).collect())
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(key, count)| (key.as_str(), *count))
    }
}

/// Labels and value of a line `metric{a="b",c="d"} 7`. Values with escapes keep them: none of ours has any.
fn sample<'a>(line: &'a str, metric: &str) -> Option<(BTreeMap<&'a str, &'a str>, u64)> {
    let rest = line.strip_prefix(metric)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once('}')?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let pairs = labels.split("\",").filter_map(|pair| {
        let (name, value) = pair.split_once("=\"")?;
        Some((name, value.trim_end_matches('"')))
    });
    let value: f64 = value.split_whitespace().next()?.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, which the format writes as a fraction when it is large"
    )]
    let value = value as u64;
    Some((pairs.collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE apiserver_request_total counter
apiserver_request_total{code=\"201\",resource=\"pods\",subresource=\"\",verb=\"POST\"} 5
apiserver_request_total{code=\"409\",resource=\"pods\",subresource=\"\",verb=\"POST\"} 1.2e+03
apiserver_request_total{code=\"201\",resource=\"pods\",subresource=\"binding\",verb=\"POST\"} 3
apiserver_request_total_other{verb=\"POST\"} 9
hybridnet_manager_queue_depth{controller=\"Pod\"} 2
hybridnet_manager_queue_depth{controller=\"Node\"} 4
";

    fn by(label: &'static str) -> Counters {
        Counters::summed(PAGE, "apiserver_request_total", move |labels| {
            labels.get(label).map(|value| (*value).to_owned())
        })
    }

    #[test]
    fn samples_of_a_key_are_added_up_and_other_metrics_are_not_counted() {
        assert_eq!(by("verb").get("POST"), 1208);
        assert_eq!(by("code").get("201"), 8);
        assert_eq!(by("subresource").sum(str::is_empty), 1205);
        assert_eq!(by("nothing"), Counters::default());
        assert_eq!(waiting(PAGE), 6);
    }

    #[test]
    fn a_difference_leaves_out_what_stayed() {
        let before = Counters([("a".to_owned(), 3), ("b".to_owned(), 1)].into());
        let after = Counters([("a".to_owned(), 3), ("b".to_owned(), 4), ("c".to_owned(), 2)].into());

        let difference: Vec<_> = [("b", 3), ("c", 2)].into();

        assert_eq!(after.since(&before).iter().collect::<Vec<_>>(), difference);
    }
}
