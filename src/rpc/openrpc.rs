//! The interface as an OpenRPC document (open-rpc.org, 1.3), made from the very types that are
//! read and written.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::api::{
    CaughtUpNote, ClosingNote, DeliveryNote, EndedNote, EventNote, GapNote, LaggedNote, PROTOCOL, StatusNote,
};
use super::call::Described;
use super::error::{
    ErrorData, INTERNAL, INVALID_PARAMS, INVALID_REQUEST, KINDS, METHOD_NOT_FOUND, PARSE_ERROR,
};
use super::{error, methods};
use crate::model::ErrorKind;

/// What the daemon tells without being asked each time.
struct Notification {
    name: &'static str,
    summary: &'static str,
    params: fn(&mut SchemaGenerator) -> Schema,
}

const fn notification<P: JsonSchema>(name: &'static str, summary: &'static str) -> Notification {
    Notification { name, summary, params: P::json_schema }
}

const NOTIFICATIONS: &[Notification] = &[
    notification::<EventNote>("event", "An event."),
    notification::<CaughtUpNote>("caught_up", "All that was there is told; what follows is new. Comes once."),
    notification::<GapNote>("gap", "Events are missing here, and why."),
    notification::<LaggedNote>("lagged", "Ephemeral events were dropped because the app was slow."),
    notification::<StatusNote>("status", "The link as it is now."),
    notification::<DeliveryNote>("delivery", "A message moved."),
    notification::<EndedNote>("ended", "Nothing further comes on this subscription."),
    notification::<ClosingNote>("closing", "The daemon stops and closes the connection."),
];

/// Refusals that any method may come to.
const GENERAL: [ErrorKind; 3] = [ErrorKind::InvalidParams, ErrorKind::Internal, ErrorKind::ShuttingDown];

/// The document as it stands in the tree, which is what the daemon serves. A test holds it to
/// [`document`]: what makes it is a good part of a megabyte, and has no place in the program.
pub(super) const WRITTEN: &str = include_str!("../../docs/openrpc.json");

/// The document, made anew.
#[must_use]
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let methods: Vec<Value> =
        methods::DESCRIBED.iter().map(|method| described(method, &mut generator)).collect();
    let notifications: Vec<Value> = NOTIFICATIONS
        .iter()
        .map(|told| {
            let params = by_name((told.params)(&mut generator));
            json!({ "name": told.name, "summary": told.summary, "params": params })
        })
        .collect();
    let data = generator.subschema_for::<ErrorData>();
    let errors: Map<String, Value> = KINDS
        .into_iter()
        .map(|kind| {
            let shape =
                json!({ "code": error::code(kind), "message": error::name(kind), "data": data.clone() });
            (error::name(kind).to_owned(), shape)
        })
        .collect();
    let mut schemas = generator.take_definitions(true);
    schemas.sort_keys();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "holdline",
            "version": format!("{PROTOCOL}.0.0"),
            "description": "JSON-RPC 2.0 over the local socket of the holdline daemon. One message a line.",
        },
        "methods": methods,
        "components": { "schemas": schemas, "errors": errors },
        "x-notifications": notifications,
        "x-protocol-errors": {
            "parse_error": PARSE_ERROR,
            "invalid_request": INVALID_REQUEST,
            "method_not_found": METHOD_NOT_FOUND,
            "invalid_params": INVALID_PARAMS,
            "internal": INTERNAL,
        },
    })
}

fn described(method: &Described, generator: &mut SchemaGenerator) -> Value {
    let params = by_name((method.params)(generator));
    let result = (method.result)(generator);
    let errors: Vec<Value> = method
        .errors
        .iter()
        .chain(&GENERAL)
        .map(|kind| json!({ "$ref": format!("#/components/errors/{}", error::name(*kind)) }))
        .collect();
    json!({
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": params,
        "result": { "name": "result", "schema": result },
        "errors": errors,
    })
}

/// The members of an object as OpenRPC wants them: one by one.
fn by_name(object: Schema) -> Vec<Value> {
    let object = object.to_value();
    let required: Vec<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let members = object["properties"].as_object().into_iter().flatten();
    members
        .map(|(name, schema)| {
            json!({ "name": name, "required": required.contains(&name.as_str()), "schema": schema })
        })
        .collect()
}
