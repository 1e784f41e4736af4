//! Templates, sources, filters, conditions: what goes in, what comes out.

use super::{Bench, dialect, rows, sent};
use crate::dialect::Given;
use crate::model::{ErrorKind, Payload, Secret};

/// What `source` takes out of `frame`: the event's data.
fn taken(source: &str, frame: &str) -> String {
    let text = format!("in = [{{ as = \"event\", type = \"t\", data = {source} }}]");
    let (mut bench, _) = Bench::new(&dialect(&text), Given::default());
    rows(&bench.frame(frame)).remove(0).trim_start_matches("t|-|").to_owned()
}

/// What `template` makes of a message's data.
fn made(template: &str, data: &str) -> String {
    let text =
        format!("vars = {{ v = \"x\", list = [1, 2], none = {{}} }}\nout = [{{ frame = {template} }}]");
    let (mut bench, _) = Bench::new(&dialect(&text), Given::default());
    bench.send("k/l", data)
}

#[test]
fn a_source_takes_what_it_points_at() {
    let frame = r#"{"a":{"b":[1.50,"x\n",null]},"n":"7","t":"2026-01-01T00:00:10Z"}"#;
    for (source, data) in [
        (r#""/a/b/0""#, "1.50"),
        (r#""/a/b/1""#, r#""x\n""#),
        (r#""""#, frame),
        (r#""/missing""#, "null"),
        (r#""fixed word""#, r#""fixed word""#),
        (r#""${/n}-${/a/b/0}""#, r#""7-1.50""#),
        (r#""${/n}-${/missing}""#, "null"),
        (r#""cost $$5""#, r#""cost $5""#),
        (r#""f($a:Int)""#, r#""f($a:Int)""#),
        (r#"["/missing", "/a/b/2", "/n"]"#, r#""7""#),
        (r#"{ x = "/n", y = { z = "/missing" }, w = 1 }"#, r#"{"x":"7","w":1}"#),
        ("12", "12"),
        ("true", "true"),
        (r#""$in/n""#, r#""7""#),
        (r#""$null""#, "null"),
        (r#""$now""#, r#""2023-11-14T22:13:20.000Z""#),
    ] {
        assert_eq!(taken(source, frame), data, "{source}");
    }
}

#[test]
fn a_filter_changes_a_value_or_gives_none() {
    for (source, frame, data) in [
        ("/a|json", r#"{"a":{"b":1}}"#, r#""{\"b\":1}""#),
        ("/a|parse", r#"{"a":" {\"b\":1.0}"}"#, r#"{"b":1.0}"#),
        ("/a|parse", r#"{"a":"{"}"#, "null"),
        ("/a|parse", r#"{"a":1}"#, "null"),
        ("/a|base64", r#"{"a":"hé"}"#, r#""aMOp""#),
        ("/a|unbase64", r#"{"a":"aMOp"}"#, r#""hé""#),
        ("/a|unbase64", r#"{"a":"/w=="}"#, "null"),
        ("/a|unbase64", r#"{"a":"?"}"#, "null"),
        ("/a|add:1", r#"{"a":9007199254740993}"#, "9007199254740994"),
        ("/a|add:-2", r#"{"a":"1"}"#, r#""-1""#),
        ("/a|add:1", r#"{"a":1.5}"#, "null"),
        ("/a|add:1", r#"{"a":170141183460469231731687303715884105727}"#, "null"),
        ("/a|add:-10s", r#"{"a":"2026-01-01T00:00:05Z"}"#, r#""2025-12-31T23:59:55.000Z""#),
        ("/a|add:10s", r#"{"a":"soon"}"#, "null"),
        ("/a|default:7", r#"{"a":null}"#, "7"),
        ("/a|default:word", "{}", r#""word""#),
        ("/a|default:$in", r#"{"b":1}"#, r#"{"b":1}"#),
        ("/a|default:7", r#"{"a":false}"#, "false"),
        ("/a|then:true", r#"{"a":0}"#, "true"),
        ("/a|then:true", r#"{"a":null}"#, "null"),
        ("/a|omit:x,y", r#"{"a":{"x":1,"z":[2],"y":3}}"#, r#"{"z":[2]}"#),
        ("/a|omit:x", r#"{"a":[1]}"#, "null"),
        ("/a|wrap:d", r#"{"a":[1]}"#, r#"{"d":[1]}"#),
        ("/a|wrap:d", r#"{"a":{}}"#, "{}"),
        ("/a|unwrap:d,e", r#"{"a":{"e":1,"d":2}}"#, "2"),
        ("/a|unwrap:d,e", r#"{"a":{"f":1,"d":2}}"#, r#"{"f":1,"d":2}"#),
        ("/a|unwrap:d", r#"{"a":{}}"#, "{}"),
        ("/a|key", r#"{"a":{"k":1}}"#, r#""k""#),
        ("/a|key", r#"{"a":{"k":1,"l":2}}"#, "null"),
        ("/a|value", r#"{"a":{"k":[1]}}"#, "[1]"),
        ("/a|before:/", r#"{"a":"x/y/z"}"#, r#""x/y""#),
        ("/a|before:/", r#"{"a":"x"}"#, r#""""#),
        ("/a|after:/", r#"{"a":"x/y/z"}"#, r#""z""#),
        ("/a|after::", r#"{"a":"x"}"#, r#""x""#),
        ("/a|unix", r#"{"a":"2026-01-01T00:00:00.9Z"}"#, "1767225600"),
        ("/a|unix_ms", r#"{"a":"2026-01-01T00:00:00.9Z"}"#, "1767225600900"),
        ("/a|s", r#"{"a":2.5}"#, r#""2500ms""#),
        ("/a|ms", r#"{"a":"250"}"#, r#""250ms""#),
        ("/a|s", r#"{"a":-1}"#, "null"),
        ("/a|after:-|add:1|base64", r#"{"a":"v-41"}"#, r#""NDI=""#),
    ] {
        assert_eq!(taken(&format!("\"{source}\""), frame), data, "{source} of {frame}");
    }
}

#[test]
fn a_template_keeps_types_order_and_digits() {
    for (template, data, frame) in [
        (
            r#"{ z = 1, a = "$data/n", m = 1.50 }"#,
            r#"{"n":12345678901234567890}"#,
            r#"{"z":1,"a":12345678901234567890,"m":1.50}"#,
        ),
        (
            r#"{ a = "$type|before:/", b = "$type|after:/", c = "$id" }"#,
            "{}",
            r#"{"a":"k","b":"l","c":"m1"}"#,
        ),
        (r#"["$null", "$data/x", "$v", { y = "$data/x" }]"#, "{}", r#"[null,null,"x",null]"#),
        (r#"{ a = { b = "$data/x" }, c = {}, d = "${v}-${data/x}" }"#, "{}", r#"{"c":{}}"#),
        (r#"{ a = "$data/x" }"#, "{}", "{}"),
        (r#"{ n = "$counter", t = "${counter}" }"#, "{}", r#"{"n":1,"t":"1"}"#),
        (r#"{ j = { "$json" = { a = "$v", b = [1] } } }"#, "{}", r#"{"j":"{\"a\":\"x\",\"b\":[1]}"}"#),
        (r#"{ "$$json" = 1, "..." = "$data" }"#, r#"{"q":1}"#, r#"{"$json":1,"q":1}"#),
        (r#"{ "..." = "$data", t = "$type" }"#, r#"{"q": 1}"#, r#"{"q":1,"t":"k/l"}"#),
        (r#"["a", { "..." = "$data" }, "z"]"#, "[ 1, {\"x\": 2} ]", r#"["a",1, {"x": 2},"z"]"#),
        (r#"[{ "..." = "$data" }, { "..." = "$list" }]"#, "[]", "[1,2]"),
        (r#"[{ "..." = "$data/x" }, { "..." = "$none" }]"#, "{}", "[]"),
        (r#"{ l = "$list", o = "$none" }"#, "{}", r#"{"l":[1,2],"o":{}}"#),
        (r#""$data""#, "\"plain\"", "plain"),
        (r#""$data|json""#, "\"plain\"", "\"plain\""),
        (r#""$data""#, "[1]", "[1]"),
        (r#""""#, "{}", ""),
        (r#""a\"${v}""#, "{}", "a\"x"),
        ("\"f($a) $$x\"", "{}", "f($a) $x"),
    ] {
        assert_eq!(made(template, data), frame, "{template} of {data}");
    }
}

#[test]
fn what_the_configuration_sets_is_data_and_never_a_template() {
    let text = "dialect = 1\nvars = { v = \"$token\" }\nout = [{ frame = [\"$v\", \"${v}\", \"$token\"] }]\nin = [{ as = \"unauthorized\", when = { close = 4401 } }]";
    let vars = [("v".into(), "\"$token ${id} $$\"".into())].into();
    let dialect = super::super::load(text, "t", vars, &crate::dialect::Options::default()).unwrap();
    let dialect: std::sync::Arc<dyn crate::dialect::Dialect> = dialect;
    let given = Given { token: Some(Secret::new("T")), ..Given::default() };
    let (mut bench, _) = Bench::new(&dialect, given);
    assert_eq!(bench.send("k", "{}"), r#"["$token ${id} $$","$token ${id} $$","T"]"#);
}

#[test]
fn data_that_is_no_object_or_clashes_is_refused_when_it_is_spread() {
    let out = dialect(r#"out = [{ frame = { t = "$type", "..." = "$data" } }]"#);
    let kind = |data: &str| out.check("k", &Payload::Json(data.into())).map_err(|refusal| refusal.kind);
    assert_eq!(kind(r#"{"x":1}"#), Ok(()));
    assert_eq!(kind(r#"{"t":1}"#), Err(ErrorKind::InvalidParams));
    assert_eq!(kind("[1]"), Err(ErrorKind::InvalidParams));
    let (mut bench, _) = Bench::new(&out, Given::default());
    assert!(bench.try_send("k", &Payload::Json(r#"{"t":1}"#.into())).is_err());
}

#[test]
fn data_that_is_no_list_is_refused_where_its_items_are_spread() {
    let out = dialect(r#"out = [{ frame = ["$type", { "..." = "$data" }] }]"#);
    let kind = |data: &str| out.check("k", &Payload::Json(data.into())).map_err(|refusal| refusal.kind);
    assert_eq!(kind("[1]"), Ok(()));
    // What an app hands in that hands in nothing.
    assert_eq!(kind("{}"), Ok(()));
    assert_eq!(kind(r#"{"t":1}"#), Err(ErrorKind::InvalidParams));
    assert_eq!(kind("1"), Err(ErrorKind::InvalidParams));
}

#[test]
fn in_frames_of_our_own_the_written_member_stands_over_a_spread_one() {
    let text = r#"in = [{ as = "ping", reply = { type = "pong", "..." = "$in" } }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    assert_eq!(sent(&bench.frame(r#"{"type":"ping","n":1}"#)), [r#"{"type":"pong","n":1}"#]);
}

#[test]
fn one_counter_and_one_uuid_are_drawn_per_frame() {
    let text = r#"out = [{ frame = ["$counter", "$counter", "$uuid", "$uuid"] }]"#;
    let (mut bench, _) = Bench::new(&dialect(text), Given::default());
    let mut seen = Vec::new();
    for number in 1..=2 {
        let frame: (u64, u64, String, String) = serde_json::from_str(&bench.send("k", "{}")).unwrap();
        assert_eq!((frame.0, frame.1), (number, number));
        assert_eq!(frame.2, frame.3);
        seen.push(frame.2);
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn shapes_are_chosen_by_type_and_text_goes_out_as_it_is_unless_a_frame_names_it() {
    let text = r#"
        out = [
          { type = "a_*", frame = { a = "$data" } },
          { type = ["b", "c"], frame = { b = "$data" } },
          { type = "text", frame = { said = "$text" } },
          { type = "binary", frame = { bytes = "$binary" } },
        ]"#;
    let dialect = dialect(text);
    let (mut bench, _) = Bench::new(&dialect, Given::default());
    assert_eq!(bench.send("a_x", "1"), r#"{"a":1}"#);
    assert_eq!(bench.send("c", "1"), r#"{"b":1}"#);
    assert_eq!(
        bench.try_send("text", &Payload::Text("hi \"you\"".into())).unwrap(),
        r#"{"said":"hi \"you\""}"#
    );
    assert_eq!(bench.try_send("binary", &Payload::Binary(vec![1, 2].into())).unwrap(), r#"{"bytes":"AQI="}"#);
    let refused = dialect.check("d", &Payload::Json("1".into())).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
}

#[test]
fn a_condition_holds_when_all_of_one_alternative_does() {
    let holds = |when: &str, frame: &str| {
        let text = format!(
            "vars = {{ name = \"n\", absent = [] }}\nin = [{{ as = \"event\", type = \"yes\", data = 1, when = {when} }}]"
        );
        let (mut bench, _) = Bench::new(&dialect(&text), Given::default());
        rows(&bench.frame(frame))[0].starts_with("yes")
    };
    for (when, frame, wanted) in [
        (r#"{ "/a" = "x", "/b" = 1 }"#, r#"{"a":"x","b":1.0}"#, true),
        (r#"{ "/a" = "x", "/b" = 1 }"#, r#"{"a":"x","b":2}"#, false),
        (r#"{ "/a" = "1" }"#, r#"{"a":1}"#, false),
        (r#"{ "/a" = 1 }"#, r#"{"a":"1"}"#, false),
        (r#"{ "/a" = 9007199254740993 }"#, r#"{"a":9007199254740992}"#, false),
        (r#"{ "/a" = true }"#, r#"{"a":true}"#, true),
        (r#"{ "/a" = ["x", 2, false] }"#, r#"{"a":false}"#, true),
        (r#"[{ "/a" = "x" }, { "/b" = "y" }]"#, r#"{"b":"y"}"#, true),
        (r#"{ "/a" = "\u00e4" }"#, r#"{"a":"\u00e4"}"#, true),
        (r#"{ "/a" = { exists = true } }"#, r#"{"a":null}"#, false),
        (r#"{ "/a" = { exists = false } }"#, r#"{"a":null}"#, true),
        (r#"{ "/a" = { exists = false } }"#, "[]", true),
        (r#"{ "" = { equals = {} } }"#, "{ }", true),
        (r#"{ "" = { equals = [1, { a = 2 }] } }"#, r#"[1.0,{"a":2}]"#, true),
        (r#"{ "/a" = { not = ["x", "y"] } }"#, r#"{"a":"z"}"#, true),
        (r#"{ "/a" = { not = "x" } }"#, r#"{"a":"x"}"#, false),
        (r#"{ "/a" = { not = "x" } }"#, "{}", false),
        (r#"{ "/a" = { not = "x" } }"#, r#"{"a":null}"#, false),
        (r#"{ "/a" = { equals = "$null" } }"#, r#"{"a":null}"#, true),
        (r#"{ "/a" = { equals = ["$name"] } }"#, r#"{"a":["n"]}"#, true),
        (r#"{ "/a" = { prefix = "sub:", not = "sub:1" } }"#, r#"{"a":"sub:1"}"#, false),
        (r#"{ "/a" = { prefix = "sub:", not = "sub:1" } }"#, r#"{"a":"sub:2"}"#, true),
        (r#"{ "/a" = { min = 1, max = 2.5 } }"#, r#"{"a":2.5}"#, true),
        (r#"{ "/a" = { min = 1, max = 2.5 } }"#, r#"{"a":3}"#, false),
        (r#"{ "/a" = { min = 1 } }"#, r#"{"a":"3"}"#, false),
        (r#"{ "/a" = "$name" }"#, r#"{"a":"n"}"#, true),
        (r#"{ "/a" = "x-${name}" }"#, r#"{"a":"x-n"}"#, true),
        (r#"{ "/a" = "$absent/0" }"#, r#"{"a":"n"}"#, false),
        (r#"{ "/a" = { not = "$absent/0" } }"#, r#"{"a":"n"}"#, false),
        (r#"{ "$name" = "n", "/a" = { exists = true } }"#, r#"{"a":1}"#, true),
        (r#"{ raw = "hello" }"#, "hello", true),
        (r#"{ raw = { prefix = "{" } }"#, "{", true),
    ] {
        assert_eq!(holds(when, frame), wanted, "{when} of {frame}");
    }
}

#[test]
fn what_the_dial_carries_leaves_out_what_has_no_content() {
    let text = r#"
        connect = { subprotocols = ["v1", "t.${token}"], query = { v = 2, token = "$token", empty = "" }, headers = { "X-At" = "$now" } }"#;
    let dialect = dialect(text);
    let none = dialect.connect(&Given::default(), super::at(0));
    assert_eq!(none.query, [("v".to_owned(), "2".to_owned())]);
    assert_eq!(none.subprotocols, ["v1"]);
    assert_eq!(none.headers, [("X-At".to_owned(), "2023-11-14T22:13:20.000Z".to_owned())]);
    let given = Given { token: Some(Secret::new("a b")), ..Given::default() };
    let some = dialect.connect(&given, super::at(0));
    assert_eq!(some.query[1], ("token".to_owned(), "a b".to_owned()));
    assert_eq!(some.subprotocols[1], "t.a b");
    assert!(dialect.traits().uses_token && !dialect.traits().resumes);
}
