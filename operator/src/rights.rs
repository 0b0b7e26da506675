//! What the manager may do in the API, held against the chart: no more than it does, and no less.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

/// Group, resource, and each verb that some line of this crate uses.
const USED: &[(&str, &str, &[&str])] = &[
    // Feeds, and the finalizer of the Go project that is taken away (`network`, `subnet`).
    ("networking.alibaba.com", "networks", &["list", "watch", "patch"]),
    ("networking.alibaba.com", "subnets", &["list", "watch", "patch"]),
    ("networking.alibaba.com", "networks/status", &["patch"]),
    ("networking.alibaba.com", "subnets/status", &["patch"]),
    // `pod::write` creates and looks, `pod::retain` binds and unbinds, `ip_instance` lets go and deletes.
    (
        "networking.alibaba.com",
        "ipinstances",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    ("networking.alibaba.com", "ipinstances/status", &["patch"]),
    // The finalizer of stateful pods (`pod`), the labels of nodes (`node`); live looks of the `collector`.
    ("", "pods", &["get", "list", "watch", "patch"]),
    ("", "nodes", &["get", "list", "watch", "patch"]),
    ("", "namespaces", &["list", "watch"]),
    ("events.k8s.io", "events", &["create"]),
    // `workload`, and what it is told to read beside.
    ("apps", "statefulsets", &["get"]),
    ("kubevirt.io", "virtualmachines", &["get"]),
    ("kubevirt.io", "virtualmachineinstances", &["get"]),
    ("templated", "templated", &["get"]),
    // Asked by an admission plugin when an owner reference blocks the owner's deletion.
    ("apps", "statefulsets/finalizers", &["update"]),
    ("templated", "templated/finalizers", &["update"]),
];

/// In its own namespace: `lease`.
const USED_AT_HOME: &[(&str, &str, &[&str])] =
    &[("coordination.k8s.io", "leases", &["get", "create", "update"])];

#[derive(Deserialize)]
struct Document {
    kind: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

type Rights = BTreeSet<(String, String, String)>;

fn of_table(table: &[(&str, &str, &[&str])]) -> Rights {
    let each = table.iter().flat_map(|(group, resource, verbs)| {
        verbs
            .iter()
            .map(|verb| ((*group).to_owned(), (*resource).to_owned(), (*verb).to_owned()))
    });
    each.collect()
}

/// The rules of all roles of a kind; what the chart fills in reads `templated`.
fn of_chart(kind: &str) -> Rights {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/hybridnet/templates/rbac-manager.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("{{"));
    let plain: Vec<_> = lines.map(filled_in).collect();
    let plain = plain.join("\n");
    let documents = plain.split("\n---\n").map(|document| {
        let read: Result<Document, _> = serde_saphyr::from_str(document);
        read.unwrap_or_else(|error| panic!("{error}: {document}"))
    });
    let rules = documents
        .filter(|document| document.kind == kind)
        .flat_map(|document| document.rules);
    let mut rights = Rights::new();
    for rule in rules {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let verbs = rule.verbs.iter();
                rights.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb.clone())));
            }
        }
    }
    rights
}

fn filled_in(line: &str) -> String {
    let Some((before, rest)) = line.split_once("{{") else {
        return line.to_owned();
    };
    let (inside, after) = rest.split_once("}}").unwrap();
    let value = if inside.contains("/finalizers") {
        "templated/finalizers"
    } else {
        "templated"
    };
    format!("{before}{value}{after}")
}

#[test]
fn the_chart_gives_the_manager_exactly_what_it_uses() {
    assert_eq!(of_chart("ClusterRole"), of_table(USED));
    assert_eq!(of_chart("Role"), of_table(USED_AT_HOME));
}
