//! The chart as `helm template` renders it.

use std::process::{Command, Output};
use std::sync::OnceLock;

use hybridnet_tests::chart;
use hybridnet_tests::prepare::{Prepared, prepare};
use serde_json::Value;

/// The Kubernetes that the other tests run.
const KUBERNETES: &str = "1.34.4";

/// All objects of one rendering.
pub struct Rendered(Vec<Value>);

/// Renders a first installation with these values, each `key=value`.
pub fn render(values: &[&str]) -> Rendered {
    Rendered::of(KUBERNETES, values)
}

/// What helm says about values that it refuses.
pub fn refusal(values: &[&str]) -> String {
    let output = template(KUBERNETES, &[], values);
    assert!(!output.status.success(), "rendered with {values:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asks helm whether the chart is in order, warnings included.
pub fn lint() {
    let output = helm()
        .args(["lint", "--strict"])
        .arg(chart::folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

impl Rendered {
    /// A first installation into a cluster of that version.
    pub fn of(kubernetes: &str, values: &[&str]) -> Self {
        Self::read(&template(kubernetes, &[], values))
    }

    /// A later revision, of which helm knows no live object here.
    pub fn upgraded(values: &[&str]) -> Self {
        Self::read(&template(KUBERNETES, &["--is-upgrade"], values))
    }

    fn read(output: &Output) -> Self {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let text = String::from_utf8_lossy(&output.stdout);
        Self(serde_saphyr::from_multiple(&text).unwrap())
    }

    /// `Kind name` of every object, sorted.
    pub fn names(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let each = self.0.iter();
        let mut names: Vec<_> = each
            .map(|object| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])))
            .collect();
        names.sort();
        names
    }

    /// The objects of a kind.
    pub fn of_kind<'a, 'k>(&'a self, kind: &'k str) -> impl Iterator<Item = &'a Value> + use<'a, 'k> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// One object, which must be there.
    pub fn object(&self, kind: &str, name: &str) -> &Value {
        let found = self
            .of_kind(kind)
            .find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name} among {:?}", self.names()))
    }

    /// The workload of manager, webhook or daemon.
    pub fn workload(&self, component: &str) -> &Value {
        let kind = if component == "daemon" {
            "DaemonSet"
        } else {
            "Deployment"
        };
        self.object(kind, &format!("hybridnet-{component}"))
    }

    /// The main container of manager, webhook or daemon.
    pub fn container(&self, component: &str) -> &Value {
        &self.workload(component)["spec"]["template"]["spec"]["containers"][0]
    }

    /// The arguments of manager, webhook or daemon.
    pub fn arguments(&self, component: &str) -> Vec<&str> {
        let arguments = self.container(component)["args"].as_array();
        arguments
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }
}

fn template(kubernetes: &str, more: &[&str], values: &[&str]) -> Output {
    let mut command = helm();
    command.args(["template", "hybridnet"]).arg(chart::folder());
    command.args(["--namespace=kube-system", "--kube-version", kubernetes]);
    command.args(more);
    for value in values {
        command.args(["--set", value]);
    }
    command.output().unwrap()
}

fn helm() -> Command {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    Command::new(&PREPARED.get_or_init(|| prepare().unwrap()).helm)
}
