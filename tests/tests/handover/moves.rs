//! Who is in charge: which chart is installed, whose webhook answers, whose manager leads.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hybridnet_api::names::MANAGER_LEASE;
use hybridnet_tests::chart;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::original::{self, Original};
use hybridnet_tests::ours::{self, Manager, Run, metric};
use hybridnet_tests::process::Record;
use hybridnet_tests::wait::until;

use crate::scene::{NODE, POD_REST, addresses};

/// Virtual machines keep their addresses.
const GATES: &str = "--feature-gates=VMIPRetain=true";

/// One of the two implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The Go project.
    Original,
    /// This one.
    Ours,
}

impl Release {
    /// What its managers are called among the cluster's processes.
    pub fn manager(self) -> &'static str {
        match self {
            Self::Original => original::MANAGER,
            Self::Ours => "hybridnet-manager",
        }
    }

    /// The account that its manager writes under.
    pub fn account(self) -> &'static str {
        match self {
            Self::Original => original::ACCOUNT,
            Self::Ours => "hybridnet-manager",
        }
    }

    /// Starts one more manager.
    pub fn start_manager(self, cluster: &Cluster) -> Result<Manager> {
        match self {
            Self::Original => original()?.start_manager(cluster, &[GATES]),
            Self::Ours => cluster.start_manager_as(&Run::default().flag(GATES)),
        }
    }

    /// How its manager says how many objects a controller has not looked at yet.
    fn waiting(self, controller: &str) -> String {
        match self {
            Self::Original => format!("workqueue_depth{{name=\"{controller}\"}}"),
            Self::Ours => format!("hybridnet_manager_queue_depth{{controller=\"{controller}\"}}"),
        }
    }
}

/// The Go project, built once.
pub fn original() -> Result<&'static Original> {
    static BUILT: OnceLock<Result<Original, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| Original::built().map_err(|error| format!("{error:#}")));
    built.as_ref().map_err(|error| anyhow!("{error}"))
}

/// Everything of one implementation, as a cluster has it that was never upgraded, or wholly.
pub async fn in_charge(cluster: &Cluster, release: Release) -> Result<()> {
    chart(cluster, release).await?;
    webhook(cluster, Some(release)).await?;
    manager(cluster, release).await
}

/// The first installation. Its pods run beside the cluster, as processes, so there are none in it.
pub async fn install_original(cluster: &Cluster) -> Result<()> {
    let chart = original()?.chart().display().to_string();
    let mut words: Vec<String> = ["install", "hybridnet", &chart, "--namespace=kube-system"]
        .map(String::from)
        .to_vec();
    for value in [
        "manager.replicas=0",
        "webhook.replicas=0",
        "daemon.enableFelixPolicy=false",
        "defaultIPFamily=DualStack",
        "init.cidr=10.61.0.0/24",
        // Whoever looks for its image shall not look outside.
        "images.hybridnet.imagePullPolicy=Never",
    ] {
        words.extend(["--set".to_owned(), value.to_owned()]);
    }
    cluster
        .helm(words)
        .await
        .context("install the Go project's chart")?;
    cluster.apply(&ours::webhook_endpoint()).await.map(drop)
}

/// Moves between the two charts as `docs/upgrade.md` says.
pub async fn chart(cluster: &Cluster, release: Release) -> Result<()> {
    if installed(cluster).await? == release {
        return Ok(());
    }
    match release {
        Release::Ours => {
            crds(cluster, Release::Ours).await?;
            let chart = chart::folder().display().to_string();
            // The old account is needed as long as one of its programs runs; here they are no pods to be seen by.
            let words = [
                "upgrade",
                "hybridnet",
                &chart,
                "--namespace=kube-system",
                "--reuse-values",
            ];
            let words = words.into_iter().chain(["--set", "legacyAccount=true"]);
            cluster
                .helm(words)
                .await
                .context("upgrade to our chart")
                .map(drop)
        }
        Release::Original => {
            // The revision before is always of the other chart.
            let words = ["rollback", "hybridnet", "--namespace=kube-system"];
            cluster.helm(words).await.context("roll back").map(drop)
        }
    }
}

async fn installed(cluster: &Cluster) -> Result<Release> {
    let ours = ["get", "serviceaccount", "hybridnet-manager", "-n", "kube-system"];
    let found = cluster
        .kubectl(ours.into_iter().chain(["--ignore-not-found", "-o", "name"]))
        .await?;
    Ok(if found.trim().is_empty() {
        Release::Original
    } else {
        Release::Ours
    })
}

/// The custom resources as one of the two charts has them.
pub async fn crds(cluster: &Cluster, release: Release) -> Result<()> {
    let folder = match release {
        Release::Original => original()?.chart(),
        Release::Ours => chart::folder(),
    };
    let folder = folder.join("crds").display().to_string();
    let words = ["apply", "--server-side", "--force-conflicts", "-f", &folder];
    cluster.kubectl(words).await.context("custom resources").map(drop)
}

/// One webhook behind the Service, or none.
pub async fn webhook(cluster: &Cluster, release: Option<Release>) -> Result<()> {
    for name in [original::WEBHOOK, "hybridnet-webhook"] {
        // At once: it has no state, and its orderly end waits for callers that a roll would still send to it.
        cluster.state().processes(name).iter().try_for_each(Record::end)?;
    }
    match release {
        None => return Ok(()),
        Some(Release::Original) => original()?.start_webhook(cluster)?,
        Some(Release::Ours) => cluster.start_webhook()?,
    };
    cluster.webhook_answers().await
}

/// One manager, which leads and has looked at everything there is.
pub async fn manager(cluster: &Cluster, release: Release) -> Result<()> {
    for other in [Release::Original, Release::Ours] {
        cluster.end_programs(other.manager()).await?;
    }
    // The Go project does not give its Lease away; a cluster would wait for 15 seconds instead.
    let lease = ["delete", "lease", MANAGER_LEASE, "-n", "kube-system"];
    cluster
        .kubectl(lease.into_iter().chain(["--ignore-not-found"]))
        .await?;
    let manager = release.start_manager(cluster)?;
    let looked = async {
        somebody_leads(cluster).await?;
        has_looked_at_everything(cluster, release, &manager).await
    };
    looked.await.with_context(|| format!("{release:?} leads"))
}

/// Waits until a pod gets addresses, and gives them back.
pub async fn somebody_leads(cluster: &Cluster) -> Result<()> {
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: probe, namespace: default, labels: {{webhook.hybridnet.io/ignore: \
         \"true\"}}}}\nspec: {{nodeName: {NODE}, {POD_REST}}}\n"
    );
    cluster.apply(&pod).await?;
    addresses(cluster, "default", "probe", 2).await?;
    cluster
        .kubectl(["delete", "pod", "-n", "default", "probe", "--wait=false"])
        .await?;
    // Kubernetes' collector learns of new kinds twice a minute; these objects are not what is tested.
    cluster
        .kubectl(["delete", "ipinstances", "-n", "default", "--all", "--wait=false"])
        .await?;
    addresses(cluster, "default", "probe", 0).await.map(drop)
}

/// Waits until nothing is left of what the manager found when it began to lead.
async fn has_looked_at_everything(cluster: &Cluster, release: Release, manager: &Manager) -> Result<()> {
    until(
        "nothing waits to be looked at",
        Duration::from_secs(20),
        async || {
            let said = cluster.metrics(manager)?;
            let waiting = ["Pod", "IPInstance"].map(|controller| metric(&said, &release.waiting(controller)));
            Ok(if waiting == [Some(0.0); 2] {
                Ok(())
            } else {
                Err(format!("{waiting:?} pods and addresses wait"))
            })
        },
    )
    .await
}
