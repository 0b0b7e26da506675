//! `AdmissionReview` on the wire, `v1` and `v1beta1`: the objects stay raw JSON until a handler wants
//! them, so that an object which does not decode is answered and not dropped.

use json_patch::Patch;
use k8s_openapi::ByteString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
        Self {
            code: 400,
            message: message.to_string(),
        }
    }

    /// Against a rule.
    pub fn denied(message: impl ToString) -> Self {
        Self {
            code: 403,
            message: message.to_string(),
        }
    }

    /// It could not be judged.
    pub fn errored(message: impl ToString) -> Self {
        Self {
            code: 500,
            message: message.to_string(),
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

fn wire(version: &str, uid: &str, answer: &Answer) -> Value {
    let mut response = Response {
        uid,
        allowed: answer.is_ok(),
        status: None,
        patch: None,
        patch_type: None,
        warnings: &[],
    };
    match answer {
        Ok(allowed) => {
            response.warnings = &allowed.warnings;
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
mod tests {
    use super::*;
    use crate::patch::add;

    fn body(request: Value) -> Vec<u8> {
        json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": KIND, "request": request})
            .to_string()
            .into_bytes()
    }

    fn request() -> Value {
        json!({"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
               "object": {"metadata": {"name": "a"}}, "oldObject": null})
    }

    #[test]
    fn the_answer_comes_in_the_version_that_was_asked_in() {
        let review = Review::read(&body(request())).expect("a question");
        let answer = review.answer(&Ok(Allowed::default()));
        assert_eq!(
            answer,
            json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview",
                   "response": {"uid": "u", "allowed": true}})
        );
    }

    #[test]
    fn a_patch_is_base64_of_a_list_of_operations() {
        let review = Review::read(&body(request())).expect("a question");
        let patch = Patch(vec![add(&["a"], json!(1))]);
        let answer = review.answer(&Ok(Allowed {
            patch,
            warnings: vec!["w".to_owned()],
        }));
        let response = &answer["response"];
        assert_eq!(response["patchType"], "JSONPatch");
        assert_eq!(response["warnings"], json!(["w"]));
        let bytes: ByteString = serde_json::from_value(response["patch"].clone()).expect("base64");
        assert_eq!(bytes.0, br#"[{"op":"add","path":"/a","value":1}]"#);
    }

    #[test]
    fn a_refusal_carries_code_and_reason() {
        let review = Review::read(&body(request())).expect("a question");
        let answer = review.answer(&Err(Refusal::denied("no")));
        assert_eq!(answer["response"]["allowed"], false);
        assert_eq!(
            answer["response"]["status"],
            json!({"status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"})
        );
    }

    #[test]
    fn a_broken_request_with_a_uid_is_answered_inside_the_review() {
        let Err(Unreadable::Answerable(answer)) = Review::read(&body(json!({"uid": "u", "operation": 7})))
        else {
            panic!("not answered");
        };
        assert_eq!(answer["response"]["uid"], "u");
        assert_eq!(answer["response"]["status"]["code"], 400);
    }

    #[test]
    fn what_has_no_uid_or_is_no_review_is_anonymous() {
        let bodies = [
            b"".to_vec(),
            b"{".to_vec(),
            b"[]".to_vec(),
            b"{}".to_vec(),
            body(json!(null)),
            body(json!({"uid": 1})),
            json!({"apiVersion": "admission.k8s.io/v2", "request": request()})
                .to_string()
                .into_bytes(),
        ];
        for body in bodies {
            assert!(
                matches!(Review::read(&body), Err(Unreadable::Anonymous(_))),
                "{body:?}"
            );
        }
    }

    #[test]
    fn an_object_that_does_not_decode_is_malformed() {
        let mut request = request();
        request["object"] = json!({"spec": {"containers": 1}});
        let review = Review::read(&body(request)).expect("a question");
        let decoded = review.request.object::<k8s_openapi::api::core::v1::Pod>();
        assert_eq!(decoded.expect_err("not a pod").code, 400);
        let old = review.request.old_object::<k8s_openapi::api::core::v1::Pod>();
        assert_eq!(
            old.expect_err("no old pod").message,
            "oldObject of the request: missing"
        );
    }
}
