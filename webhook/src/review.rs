//! `AdmissionReview` on the wire, `v1` and `v1beta1`: the objects stay raw JSON until a handler wants
//! them, so that an object which does not decode is answered and not dropped.

use std::fmt::Display;

use json_patch::Patch;
use k8s_openapi::ByteString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clip::{self, clipped};

const KIND: &str = "AdmissionReview";
const VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];

/// What is asked.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Names the question; the answer repeats it.
    pub uid: String,
    /// Kind of the object.
    pub kind: Kind,
    /// `status` and the like; empty for the object itself.
    #[serde(default)]
    pub sub_resource: Option<String>,
    /// What happens to the object.
    pub operation: Operation,
    /// Name of the object; empty when the server is to make one up.
    #[serde(default)]
    pub name: String,
    /// Namespace of the object; empty for what has none.
    #[serde(default)]
    pub namespace: String,
    /// Object as it would become; absent on DELETE.
    #[serde(default)]
    pub object: Option<Value>,
    /// Object as it is; absent on CREATE.
    #[serde(default)]
    pub old_object: Option<Value>,
    /// Nothing will be stored, whatever the answer.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// Group, version and kind.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for core.
    #[serde(default)]
    pub group: String,
    /// API version.
    #[serde(default)]
    pub version: String,
    /// Kind as in manifests.
    pub kind: String,
}

/// What happens to the object.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is made.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
    /// Something connects to it.
    Connect,
}

impl Operation {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// 400: not understood; 403: against a rule; 500: could not be judged.
    pub code: u16,
    /// What the user reads.
    pub message: String,
}

impl Refusal {
    /// The object is not what it says it is.
    pub fn malformed(message: impl ToString) -> Self {
        Self::new(400, message)
    }

    /// Against a rule.
    pub fn denied(message: impl ToString) -> Self {
        Self::new(403, message)
    }

    /// It could not be judged.
    pub fn errored(message: impl ToString) -> Self {
        Self::new(500, message)
    }

    /// The same, with the object that it is about in front.
    #[must_use]
    pub fn about(self, object: impl Display) -> Self {
        Self::new(self.code, format!("{object}: {}", self.message))
    }

    fn new(code: u16, message: impl ToString) -> Self {
        Self {
            code,
            message: clipped(message.to_string(), clip::REFUSAL),
        }
    }

    const fn reason(&self) -> &'static str {
        match self.code {
            400 => "BadRequest",
            403 => "Forbidden",
            _ => "InternalError",
        }
    }
}

/// An answer: allowed, with a patch and warnings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowed {
    /// Changes to the object.
    pub patch: Patch,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What a handler says.
pub type Answer = Result<Allowed, Refusal>;

impl Request {
    /// Whether the object will be stored when everybody agrees.
    pub fn counts(&self) -> bool {
        self.dry_run != Some(true)
    }

    /// Whether an update asks for something else than before. Finalizers and labels do not count, and an object
    /// that must go may go, so the rules are not asked then, however the object came to be.
    pub fn changes_spec(&self) -> bool {
        let (Some(old), Some(new)) = (&self.old_object, &self.object) else {
            return true;
        };
        let is_terminating = new
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|time| !time.is_null());
        !is_terminating && old.get("spec") != new.get("spec")
    }

    /// The object as it would become.
    pub fn object<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        decode("object", self.object.as_ref())
    }

    /// The object as it is.
    pub fn old_object<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        decode("oldObject", self.old_object.as_ref())
    }
}

fn decode<T: DeserializeOwned>(field: &str, value: Option<&Value>) -> Result<T, Refusal> {
    let value = value.ok_or_else(|| Refusal::malformed(format!("{field} of the request: missing")))?;
    T::deserialize(value).map_err(|error| Refusal::malformed(format!("{field} of the request: {error}")))
}

/// A body that is not a question.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// There is nobody to answer: the connection gets a 400.
    #[error("request body: {0}")]
    Anonymous(String),
    /// The question's uid can be read: this is the answer to it.
    #[error("request body: not an AdmissionReview request")]
    Answerable(Value),
}

/// A question and the version that it was asked in.
#[derive(Clone, Debug)]
pub struct Review {
    version: String,
    /// The question.
    pub request: Request,
}

impl Review {
    /// Reads a body.
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let mut value: Value =
            serde_json::from_slice(body).map_err(|error| Unreadable::Anonymous(error.to_string()))?;
        let version = value
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !VERSIONS.contains(&version.as_str()) {
            let known = VERSIONS.join(" or ");
            return Err(Unreadable::Anonymous(format!(
                "apiVersion {version:?}: send {known}"
            )));
        }
        let request = value.get_mut("request").map(Value::take).unwrap_or_default();
        let uid = request
            .get("uid")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        match serde_json::from_value(request) {
            Ok(request) => Ok(Self { version, request }),
            Err(error) if uid.is_empty() => Err(Unreadable::Anonymous(format!("request: {error}"))),
            Err(error) => {
                let refusal = Refusal::malformed(format!("request: {error}"));
                Err(Unreadable::Answerable(wire(&version, &uid, &Err(refusal))))
            }
        }
    }

    /// The answer in the version that was asked in.
    pub fn answer(&self, answer: &Answer) -> Value {
        wire(&self.version, &self.request.uid, answer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn wire(version: &str, uid: &str, answer: &Answer) -> Value {
    let mut response = Response {
        uid,
        allowed: answer.is_ok(),
        status: None,
        patch: None,
        patch_type: None,
        warnings: Vec::new(),
    };
    match answer {
        Ok(allowed) => {
            let warnings = allowed.warnings.iter().cloned();
            response.warnings = warnings.map(|text| clipped(text, clip::WARNING)).collect();
            if !allowed.patch.0.is_empty() {
                response.patch = serde_json::to_vec(&allowed.patch).ok().map(ByteString);
                response.patch_type = Some("JSONPatch");
            }
        }
        Err(refusal) => {
            response.status = Some(json!({
                "status": "Failure",
                "code": refusal.code,
                "reason": refusal.reason(),
                "message": refusal.message,
            }));
        }
    }
    json!({"apiVersion": version, "kind": KIND, "response": response})
}

#[cfg(test)]
mod tests;
