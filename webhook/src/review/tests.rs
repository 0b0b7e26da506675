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
fn a_warning_is_no_longer_than_what_the_api_server_passes_on() {
    let review = Review::read(&body(request())).expect("a question");
    let answer = review.answer(&Ok(Allowed {
        warnings: vec!["w".repeat(1000), "short".to_owned()],
        ..Allowed::default()
    }));
    let warnings = answer["response"]["warnings"].as_array().expect("a list");
    assert!(
        warnings[0]
            .as_str()
            .is_some_and(|text| text.len() <= clip::WARNING)
    );
    assert_eq!(warnings[1], "short");
}

#[test]
fn only_an_update_of_the_spec_of_an_object_that_stays_changes_something() {
    let updated = |old: Value, new: Value| {
        let mut request = request();
        request["operation"] = json!("UPDATE");
        (request["oldObject"], request["object"]) = (old, new);
        Review::read(&body(request)).expect("a question").request
    };
    let old = json!({"metadata": {"name": "a"}, "spec": {"broken": [1]}});
    let with = |path: &str, value: Value| {
        let mut new = old.clone();
        new[path]["x"] = value;
        new
    };
    assert!(!updated(old.clone(), with("metadata", json!(["finalizer"]))).changes_spec());
    assert!(!updated(old.clone(), with("status", json!({}))).changes_spec());
    assert!(updated(old.clone(), with("spec", json!(1))).changes_spec());
    let mut going = with("spec", json!(1));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(!updated(old.clone(), going).changes_spec());
    assert!(updated(old, json!(null)).changes_spec());
}

#[test]
fn a_broken_request_with_a_uid_is_answered_inside_the_review() {
    let Err(Unreadable::Answerable(answer)) = Review::read(&body(json!({"uid": "u", "operation": 7}))) else {
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
