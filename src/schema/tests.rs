use serde_json::{Value, json};

use super::{Fault, compile};
use crate::model::Payload;

fn judge(schema: &Value, body: &str) -> Option<String> {
    let judge = compile(&schema.to_string()).unwrap_or_else(|fault| panic!("{schema}: {fault:?}"));
    judge.misfit(&Payload::Json(body.into())).map(|misfit| misfit.to_string())
}

fn fault(schema: &str) -> Fault {
    compile(schema).err().unwrap_or_else(|| panic!("this is no schema: {schema}"))
}

#[test]
fn a_body_that_does_not_fit_is_told_by_place_keyword_and_rule() {
    let schema = json!({
        "type": "object",
        "required": ["orderId"],
        "additionalProperties": false,
        "properties": {
            "orderId": {"type": "integer", "minimum": 1},
            "status": {"enum": ["ready", "gone"]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "maxItems": 2},
        },
        "$defs": {"line": {"type": "object", "properties": {"note/s": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"}}}},
    });
    for (body, told) in [
        (r#"{"orderId":9007199254740993}"#, None),
        (r#"{"status":"ready"}"#, Some("the data (required): `orderId` is missing")),
        (r#"{"orderId":"SECRET"}"#, Some("/orderId (type): it is not of type integer")),
        (r#"{"orderId":0}"#, Some("/orderId (minimum): it is less than 1")),
        (r#"{"orderId":1,"status":"SECRET"}"#, Some("/status (enum): it is none of the values allowed")),
        (
            r#"{"orderId":1,"more":"SECRET"}"#,
            Some("the data (additionalProperties): `more` may not be there"),
        ),
        (r#"{"orderId":1,"lines":[{},{},{}]}"#, Some("/lines (maxItems): it has more than 2 items")),
        (
            r#"{"orderId":1,"lines":[{},{"note/s":"SECRET"}]}"#,
            Some("/lines/1/note~1s (maxLength): it is longer than 3 characters"),
        ),
        (
            r#"{"orderId":1,"lines":[{"note/s":"SEC"}]}"#,
            Some("/lines/0/note~1s (pattern): it does not match the pattern"),
        ),
        (r#"[1]"#, Some("the data (type): it is not of type object")),
    ] {
        assert_eq!(judge(&schema, body).as_deref(), told, "{body}");
    }
}

#[test]
fn no_judgement_holds_a_value_of_the_body() {
    let schemas = [
        json!({"const": 1}),
        json!({"not": {}}),
        json!({"type": ["integer", "null"]}),
        json!({"anyOf": [{"type": "null"}, {"const": 7}]}),
        json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
        json!({"format": "email", "$schema": "http://json-schema.org/draft-07/schema#"}),
        json!({"maxLength": 1}),
        json!({"pattern": "^x$"}),
        json!({"enum": ["x"]}),
        json!({"contentEncoding": "base64", "$schema": "http://json-schema.org/draft-07/schema#"}),
        json!(false),
    ];
    for schema in schemas {
        let told = judge(&schema, r#""SECRET value!""#).unwrap_or_else(|| panic!("{schema} lets it in"));
        assert!(!told.contains("SECRET"), "{schema}: {told}");
    }
}

#[test]
fn what_is_told_is_short_however_long_the_names_of_the_server_are() {
    let long = "n".repeat(100_000);
    let schema = json!({"additionalProperties": {"type": "null"}});
    let told = judge(&schema, &format!(r#"{{"{long}":1}}"#)).expect("it does not fit");
    assert!(told.len() < 400, "{} bytes", told.len());
    let schema = json!({"additionalProperties": false});
    let told = judge(&schema, &format!(r#"{{"{long}":1,"b":1}}"#)).expect("it does not fit");
    assert!(told.len() < 400, "{} bytes", told.len());
}

#[test]
fn nothing_outside_the_file_is_ever_referred_to() {
    for (schema, pointer, names) in [
        (json!({"$ref": "https://example.com/x.json"}), "/$ref", "https://example.com/x.json"),
        (json!({"properties": {"a/b": {"$ref": "other.json#/x"}}}), "/properties/a~1b/$ref", "other.json"),
        (json!({"items": {"$ref": "file:///etc/passwd"}}), "/items/$ref", "file:///etc/passwd"),
        (json!({"allOf": [true, {"$dynamicRef": "//host/x#y"}]}), "/allOf/1/$dynamicRef", "//host/x"),
        (json!({"$schema": "https://example.com/own-draft"}), "/$schema", "https://example.com/own-draft"),
    ] {
        let fault = fault(&schema.to_string());
        assert_eq!(fault.pointer, pointer, "{schema}: {fault:?}");
        assert!(fault.message.contains(names), "{schema}: {fault:?}");
        assert!(fault.advice.contains("$defs"), "what to do: {fault:?}");
    }
}

#[test]
fn references_within_the_file_lead_where_they_say() {
    let schema = json!({
        "$id": "https://example.com/order",
        "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "b"}, "c": {"$ref": "#named"}},
        "$defs": {
            "a": {"const": 1},
            "b": {"$id": "https://example.com/b", "const": 2},
            "c": {"$anchor": "named", "const": 3},
        },
    });
    assert_eq!(judge(&schema, r#"{"a":1,"b":2,"c":3}"#), None);
    for body in [r#"{"a":2}"#, r#"{"b":1}"#, r#"{"c":1}"#] {
        assert!(judge(&schema, body).is_some(), "{body}");
    }
    // What only looks like a reference is none.
    let data = json!({"properties": {"$ref": {"const": 1}}, "enum": [{"$ref": "https://example.com/x"}]});
    assert!(judge(&data, r#"{"$ref":"https://example.com/x"}"#).is_some());
}

#[test]
fn what_is_wrong_with_a_schema_is_told_with_its_place() {
    let told = fault("{\n  \"type\": objekt\n}");
    assert_eq!(told.line, Some((2, 11)), "{told:?}");
    for (schema, pointer) in [
        (r#"{"type":"objekt"}"#, "/type"),
        (r#"{"properties":{"a":{"minimum":"1"}}}"#, "/properties/a/minimum"),
        (r#"{"required":"a"}"#, "/required"),
        (r#"{"properties":{"a":{"pattern":"a("}}}"#, "/properties/a/pattern"),
        (r#"{"pattern":"^(?!x)"}"#, "/pattern"),
        (r##"{"$ref":"#/$defs/nowhere"}"##, ""),
        ("[]", ""),
        ("7", ""),
    ] {
        let told = fault(schema);
        assert_eq!(told.pointer, pointer, "{schema}: {told:?}");
        assert!(!told.message.is_empty() && !told.advice.is_empty(), "{told:?}");
    }
    let deep = format!("{}{}", r#"{"not":"#.repeat(70) + "{}", "}".repeat(70));
    assert!(fault(&deep).message.contains("deeper"));
}

#[test]
fn a_pattern_is_matched_in_linear_time_whatever_comes() {
    let schema = json!({"pattern": "^(a+)+$"});
    let body = format!("\"{}!\"", "a".repeat(100_000));
    assert!(judge(&schema, &body).is_some());
}

#[test]
fn a_schema_that_leads_back_to_itself_ends() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "string"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        json!({"if": {"$ref": "#"}, "then": {"type": "string"}}),
    ] {
        let Ok(judge) = compile(&schema.to_string()) else { continue };
        let _ = judge.misfit(&Payload::Json(r#"{"a":[1,{"b":2}]}"#.into()));
    }
    let tree = json!({"properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}});
    assert_eq!(judge(&tree, r#"{"next":{"next":{"n":1}}}"#), None);
    assert_eq!(
        judge(&tree, r#"{"next":{"next":{"n":"1"}}}"#).as_deref(),
        Some("/next/next/n (type): it is not of type integer")
    );
}

#[test]
fn text_is_judged_as_a_string_and_bytes_are_not_judged() {
    let judge = compile(r#"{"type":"string","maxLength":2}"#).expect("a schema");
    assert_eq!(judge.misfit(&Payload::Text("ab".into())), None);
    assert_eq!(
        judge.misfit(&Payload::Text("abc".into())).map(|misfit| misfit.keyword).as_deref(),
        Some("maxLength")
    );
    let nothing = compile("false").expect("a schema");
    assert_eq!(nothing.misfit(&Payload::Binary([1, 2].as_slice().into())), None);
}
