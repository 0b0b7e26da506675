//! How the API server is reached: by the file of `--kubeconfig`, or as the environment says.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};

/// The API server cannot be reached because nobody says how.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file of `--kubeconfig`.
    #[error("client configuration {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// Neither in a cluster nor with a file.
    #[error("client configuration: give --kubeconfig outside of a cluster")]
    Environment(#[source] Box<InferConfigError>),
}

/// The configuration of a client: from `kubeconfig`, else from `KUBECONFIG`, the home folder or the pod.
pub async fn configuration(kubeconfig: Option<&Path>) -> Result<Config, ConfigurationError> {
    let Some(path) = kubeconfig else {
        let inferred = Config::infer().await;
        return inferred.map_err(|error| ConfigurationError::Environment(Box::new(error)));
    };
    let failed = |error| ConfigurationError::File {
        path: path.to_owned(),
        source: Box::new(error),
    };
    let file = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: ours, user: us}}]
clusters: [{name: ours, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: us, user: {token: secret}}]
"#;

    #[tokio::test]
    async fn the_file_says_where_the_server_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, FILE).unwrap();

        let config = configuration(Some(&path)).await.unwrap();

        assert_eq!(config.cluster_url, "https://192.0.2.1:6443/");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_named() {
        let error = configuration(Some(Path::new("/nowhere/config")))
            .await
            .unwrap_err();

        assert_eq!(error.to_string(), "client configuration /nowhere/config");
    }
}
