use proptest::prelude::*;

use super::{Id, Incoming, MAX_BATCH, answer, notification, refusal, request};
use crate::rpc::error::{ErrorObject, INVALID_REQUEST};

#[test]
fn a_call_is_taken_apart_no_further_than_needed() {
    let line = br#" {"params": {"a": 1.10}, "method":"a\u0062", "id": "\u0041", "jsonrpc":"2.0"} "#;
    let Incoming::Single(Ok(call)) = Incoming::parse(line) else {
        panic!("a proper call");
    };
    assert_eq!(call.method, "ab");
    assert_eq!(call.params, Some(r#"{"a": 1.10}"#));
    assert_eq!(call.id.unwrap().as_json(), r#""\u0041""#, "as it was written");
}

#[test]
fn a_batch_may_have_exactly_its_limit() {
    let call = r#"{"jsonrpc":"2.0","method":"m"}"#;
    let batch = |count: usize| format!("[{}]", vec![call; count].join(","));
    let most = batch(MAX_BATCH);
    assert!(matches!(Incoming::parse(most.as_bytes()), Incoming::Batch(calls) if calls.len() == MAX_BATCH));
    let over = batch(MAX_BATCH + 1);
    let Incoming::Single(Err(malformed)) = Incoming::parse(over.as_bytes()) else {
        panic!("too many");
    };
    assert_eq!(malformed.error.code, INVALID_REQUEST);
    assert!(malformed.error.message.contains("101"), "{}", malformed.error.message);
}

#[test]
fn what_is_written_is_json_rpc() {
    let id = Id::from(7);
    assert_eq!(answer(&id, "{}"), r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
    assert_eq!(
        refusal(&Id::null(), &ErrorObject::plain(-32700, "no \"JSON\"")),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no \"JSON\""}}"#
    );
    assert_eq!(notification("event", "{}"), r#"{"jsonrpc":"2.0","method":"event","params":{}}"#);
    assert_eq!(request(&id, "status", "{}"), r#"{"jsonrpc":"2.0","id":7,"method":"status","params":{}}"#);
}

proptest! {
    /// Nothing that comes is a reason to panic, and what is no call has a code of the specification.
    #[test]
    fn any_line_is_a_call_or_refused(line in ".{0,200}") {
        if let Incoming::Single(Err(malformed)) = Incoming::parse(line.as_bytes()) {
            prop_assert!([-32700, -32600].contains(&malformed.error.code));
        }
    }

    /// Whatever id a number or a string is, the answer carries the same text.
    #[test]
    fn every_legal_id_comes_back(id in r#"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?|"[ -!#-\[\]-~é]{0,20}""#) {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
        match Incoming::parse(line.as_bytes()) {
            Incoming::Single(Ok(call)) => {
                let text = answer(&call.id.unwrap(), "1");
                let expected = format!(r#""id":{id},"#);
                prop_assert!(text.contains(&expected));
            }
            other @ (Incoming::Single(_) | Incoming::Batch(_)) => prop_assert!(false, "{other:?}"),
        }
    }
}
