//! `[types."…"] schema`: the file is read and understood when the configuration is, or refused with
//! the line of the key, the file, and the place in it.

use holdline::model::Payload;

use crate::bench::{Home, with_server};

const KEY: &str = "[types.order]\nschema = \"order.json\"\n";

fn home(schema: &str) -> Home {
    let home = Home::with(&with_server(KEY));
    home.file(".config/holdline/order.json", schema.as_bytes());
    home
}

#[test]
fn a_schema_is_found_beside_the_configuration_and_judges_from_then_on() {
    let home = home(r#"{"required":["id"]}"#);
    let config = home.load().unwrap_or_else(|problems| panic!("{}", home.rendered(&problems)));
    let rule = config.types.find("order").expect("the rule");
    let schema = rule.schema.as_ref().expect("its schema");
    assert_eq!(schema.misfit(&Payload::Json(r#"{"id":1}"#.into())), None);
    let misfit = schema.misfit(&Payload::Json("{}".into())).expect("it does not fit");
    assert_eq!(misfit.to_string(), "the data (required): `id` is missing");
}

#[test]
fn what_is_wrong_with_a_schema_is_told_with_line_file_place_and_a_way_out() {
    for (schema, code, says, advice) in [
        ("{\"type\": objekt}", "bad_schema", "order.json:1:10: it is not JSON", "JSON document"),
        (
            r#"{"properties":{"n":{"type":"whole"}}}"#,
            "bad_schema",
            "order.json, at /properties/n/type: ",
            "draft",
        ),
        (
            r#"{"items":{"$ref":"https://example.com/item.json"}}"#,
            "bad_schema",
            "order.json, at /items/$ref: the reference `https://example.com/item.json` leads out of this file",
            "$defs",
        ),
        (r#"{"$ref":"item.json"}"#, "bad_schema", "the reference `item.json` leads out", "$defs"),
        (r#"{"pattern":"(?=x)"}"#, "bad_schema", "order.json, at /pattern: ", "look-around"),
    ] {
        let home = home(schema);
        let problems = home.load().expect_err("refused");
        let told = home.rendered(&problems);
        let problem = &problems[0];
        assert_eq!(
            (problem.code, problem.key.as_deref(), problem.line, problem.exit),
            (code, Some("types.order.schema"), Some(3), 78),
            "{told}"
        );
        assert!(problem.message.contains(says) && problem.hint.contains(advice), "{told}");
    }
}

#[test]
fn a_schema_that_cannot_be_read_is_refused_without_waiting_for_it() {
    let home = Home::with(&with_server(KEY));
    let problem = home.load().expect_err("refused").remove(0);
    assert_eq!((problem.code, problem.line), ("missing_file", Some(3)), "{problem:?}");
    assert!(problem.message.contains("order.json"), "{problem:?}");

    let path = home.path().join(".config/holdline/order.json");
    std::fs::create_dir(&path).expect("a folder");
    let problem = home.load().expect_err("refused").remove(0);
    assert!(problem.message.contains("is a folder"), "{problem:?}");
    std::fs::remove_dir(&path).expect("gone");

    home.file(".config/holdline/order.json", " ".repeat(1024 * 1024 + 1).as_bytes());
    assert_eq!(home.load().expect_err("refused")[0].code, "too_large");
    home.file(".config/holdline/order.json", b"{\"title\":\"\xff\"}");
    assert_eq!(home.load().expect_err("refused")[0].code, "not_utf8");

    #[cfg(unix)]
    {
        crate::bench::mode(&home.file(".config/holdline/order.json", b"{}"), 0o622);
        let problem = home.load().expect_err("refused").remove(0);
        assert_eq!((problem.code, problem.exit), ("unsafe", 77), "others could let anything in: {problem:?}");
    }
}

#[test]
fn a_reload_sees_a_schema_whose_content_changed() {
    let home = home(r#"{"required":["id"]}"#);
    let before = home.load().expect("loaded");
    assert!(before.compare(&home.load().expect("loaded")).changed.is_empty());
    home.file(".config/holdline/order.json", br#"{"required":["no"]}"#);
    let difference = before.compare(&home.load().expect("loaded"));
    assert_eq!(difference.changed, ["types.order.schema"]);
    assert!(!difference.reconnect && difference.needs_restart.is_empty());
}
