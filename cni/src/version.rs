//! Versions of the CNI specification.

use std::fmt;

use serde::Serialize;

/// What a configuration's `cniVersion` may say. The order is that of publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.0; also what a configuration without a version has.
    V010,
    /// 0.2.0.
    V020,
    /// 0.3.0: results with interfaces.
    V030,
    /// 0.3.1: results for a chain of plugins.
    V031,
    /// 0.4.0: CHECK.
    V040,
    /// 1.0.0: addresses no longer say their family.
    V100,
    /// 1.1.0: STATUS and GC.
    V110,
}

/// Every version that we speak.
pub const SUPPORTED: [Version; 7] = [
    Version::V010,
    Version::V020,
    Version::V030,
    Version::V031,
    Version::V040,
    Version::V100,
    Version::V110,
];

/// The newest one: what we answer with when we could not read the question.
pub const NEWEST: Version = Version::V110;

impl Version {
    /// The version of that text; nothing when we do not speak it.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::V010);
        }
        SUPPORTED.into_iter().find(|version| version.as_str() == text)
    }

    /// As configurations and results spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V010 => "0.1.0",
            Self::V020 => "0.2.0",
            Self::V030 => "0.3.0",
            Self::V031 => "0.3.1",
            Self::V040 => "0.4.0",
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All versions, for a person to read.
pub fn list() -> String {
    SUPPORTED.map(Version::as_str).join(", ")
}

/// Answer to VERSION.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    cni_version: &'a str,
    supported_versions: [&'static str; SUPPORTED.len()],
}

/// The answer to a runtime that speaks `asked`, which is echoed as the specification wants it, whether we
/// speak it or not.
pub fn answer(asked: &str) -> Answer<'_> {
    let cni_version = if asked.is_empty() { NEWEST.as_str() } else { asked };
    Answer {
        cni_version,
        supported_versions: SUPPORTED.map(Version::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_found_by_its_own_text() {
        for version in SUPPORTED {
            assert_eq!(Version::parse(version.as_str()), Some(version));
        }
        assert_eq!(
            Version::parse(""),
            Some(Version::V010),
            "the specification's default"
        );
        assert_eq!(Version::parse("2.0.0"), None);
        assert!(SUPPORTED.is_sorted());
    }
}
