//! Keys and certificates of one cluster, and the kubeconfigs that carry them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::topology::{FIRST_SERVICES, control_address};

/// The folder with the cluster's keys, and the authority that signs them.
pub struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes the authority and every key that does not belong to somebody in particular:
    /// `ca.crt`, `api.crt`, `api.key`, `kubelet-client.*`, `sa.key`, `sa.pub`.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("folder {}", folder.display()))?;
        let key = KeyPair::generate()?;
        let mut authority = named("hybridnet-lab", None);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        fs::write(folder.join("ca.crt"), authority.self_signed(&key)?.pem())?;
        let pki = Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(authority, key),
        };
        pki.serving()?;
        pki.client("kubelet-client", "kube-apiserver", Some("system:masters"))?;
        let accounts = KeyPair::generate()?;
        fs::write(folder.join("sa.key"), accounts.serialize_pem())?;
        fs::write(folder.join("sa.pub"), accounts.public_key_pem())?;
        Ok(pki)
    }

    fn serving(&self) -> Result<()> {
        let address = control_address();
        let mut names: Vec<String> = [
            "127.0.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ]
        .map(String::from)
        .to_vec();
        names.extend(FIRST_SERVICES.map(String::from));
        names.extend([address.v4.to_string(), address.v6.to_string()]);
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("api", &params)
    }

    /// A client's key and certificate, as `FILE.key` and `FILE.crt`.
    fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<()> {
        let mut params = named(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, &params)
    }

    fn sign(&self, file: &str, params: &CertificateParams) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("certificate {file}"))?;
        fs::write(self.folder.join(format!("{file}.crt")), certificate.pem())?;
        fs::write(self.folder.join(format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// A kubeconfig for one user, `FILE.kubeconfig`; it names the other files by their paths.
    pub fn kubeconfig(&self, file: &str, user: &str, group: Option<&str>, server: &str) -> Result<PathBuf> {
        self.client(file, user, group)?;
        let place = |name: String| self.folder.join(name);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": server, "certificate-authority": place("ca.crt".into())}}],
            "users": [{"name": user, "user": {
                "client-certificate": place(format!("{file}.crt")), "client-key": place(format!("{file}.key"))}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        });
        let path = place(format!("{file}.kubeconfig"));
        fs::write(&path, serde_json::to_string_pretty(&config)?)?;
        Ok(path)
    }
}

fn named(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params
}
