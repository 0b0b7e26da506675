//! The generated files are those that this crate generates, and the chart says the same where it has its own
//! text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hybridnet_api::generated;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

#[test]
fn generated_files_are_up_to_date() {
    let files = generated::files().expect("definitions are YAML");
    let stale: Vec<_> = files
        .iter()
        .filter(|(path, text)| read(path) != **text)
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "{stale:?} differ: run `{}`", generated::COMMAND);
}

#[test]
fn no_generated_file_is_left_over() {
    let files = generated::files().expect("definitions are YAML");
    for folder in ["config/crd", "config/webhook", "charts/hybridnet/crds"] {
        let present: BTreeSet<_> = fs::read_dir(root().join(folder))
            .expect("the folder is there")
            .map(|entry| {
                format!(
                    "{folder}/{}",
                    entry.expect("an entry").file_name().to_string_lossy()
                )
            })
            .collect();
        let known: BTreeSet<_> = files
            .keys()
            .filter(|path| path.starts_with(folder))
            .cloned()
            .collect();
        assert_eq!(present, known);
    }
}

#[test]
fn the_chart_asks_about_the_same_objects() {
    let chart =
        read("charts/hybridnet/templates/admission.yaml") + &read("charts/hybridnet/templates/_helpers.tpl");
    let mutating = generated::mutating().webhooks.into_iter().flatten();
    let validating = generated::validating().webhooks.into_iter().flatten();
    let webhooks = mutating
        .map(|webhook| (webhook.name, webhook.match_conditions))
        .chain(validating.map(|webhook| (webhook.name, webhook.match_conditions)));
    for (name, conditions) in webhooks {
        assert!(chart.contains(&format!("- name: {name}\n")), "{name}");
        for condition in conditions.into_iter().flatten() {
            assert!(
                chart.contains(&condition.expression),
                "{name}: {}",
                condition.expression
            );
        }
    }
}
