//! What the runtime is told when a verb fails: one JSON object on stdout, exit status 1.

use serde::Serialize;

use crate::version;

/// Codes of the CNI specification. A runtime shows the text to a person and retries whatever the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The configuration has a version that we, or the verb, do not know.
    IncompatibleVersion = 1,
    /// The pod's network namespace is gone: nothing is left to clean up.
    UnknownContainer = 3,
    /// An environment variable is missing or wrong; the text names it.
    InvalidEnvironment = 4,
    /// Reading, writing or a system call.
    Io = 5,
    /// Text that does not parse.
    Undecodable = 6,
    /// The configuration parses, and cannot be used.
    InvalidConfig = 7,
    /// The same request can succeed later.
    TryAgainLater = 11,
    /// STATUS: no pod can be added now.
    NotAvailable = 50,
    /// CHECK: the pod's network is not what ADD made. Codes from 100 on are a plugin's own.
    NotAsAdded = 100,
}

/// A verb that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Version of the answer: that of the configuration, once it is known.
    pub cni_version: String,
    /// What kind of failure.
    pub code: Code,
    /// What was asked, what is wrong, and what to do.
    pub message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    cni_version: &'a str,
    code: u32,
    msg: &'a str,
}

impl Failure {
    /// A failure that answers in the newest version.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            cni_version: version::NEWEST.as_str().to_owned(),
            code,
            message: message.into(),
        }
    }

    /// The same failure, in the words of the configuration's version.
    #[must_use]
    pub fn in_version(self, version: version::Version) -> Self {
        Self {
            cni_version: version.as_str().to_owned(),
            ..self
        }
    }

    /// What goes to stdout.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            cni_version: &self.cni_version,
            code: self.code as u32,
            msg: &self.message,
        };
        crate::result::to_json(&wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_the_object_that_the_specification_wants() {
        let failure = Failure::new(Code::TryAgainLater, "the \"daemon\"").in_version(version::Version::V031);

        assert_eq!(
            failure.to_json(),
            r#"{"cniVersion":"0.3.1","code":11,"msg":"the \"daemon\""}"#
        );
    }
}
