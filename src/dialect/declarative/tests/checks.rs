//! Every fault of a file is named, with line and rule.

use super::super::{check, examine};
use crate::dialect::declarative::spec::Vars;
use crate::dialect::{Grade, Options};

/// Code and line of everything that is wrong; the file begins with `dialect = 1` as line 1.
fn found(text: &str) -> Vec<(&'static str, usize)> {
    check(&format!("dialect = 1\n{text}"), "test.toml")
        .into_iter()
        .map(|problem| (problem.code, problem.line))
        .collect()
}

const EVENT: &str = "in = [{ as = \"event\", type = \"/t\" }]\n";

#[test]
fn faults_of_single_values_are_named() {
    for (text, code, line) in [
        ("abuot = \"x\"", "unknown_key", 3),
        ("about = 1", "bad_value", 3),
        ("codec = \"jsn\"", "bad_value", 3),
        ("window = 0", "bad_value", 3),
        ("heartbeat = { evry = \"3s\" }", "unknown_key", 3),
        ("heartbeat = { every = \"3 parsecs\" }", "bad_value", 3),
        ("connect = { query = { a = 2020-01-01 } }", "bad_value", 3),
        ("vars = { type = 1 }", "bad_value", 3),
        ("start = [{ send = \"$nobody\" }]", "unset_hole", 3),
        ("start = [{ send = \"$type\" }]", "unset_hole", 3),
        ("start = [{ send = \"$in\" }]", "unset_hole", 3),
        ("start = [{ send = \"$counter:x\" }]", "bad_hole", 3),
        ("start = [{ send = \"a ${counter\" }]", "bad_hole", 3),
        ("start = [{ send = \"a ${}\" }]", "bad_hole", 3),
        ("start = [{ send = \"$counter|frob\" }]", "unknown_filter", 3),
        ("start = [{ send = \"$counter|add:x\" }]", "bad_hole", 3),
        ("start = [{ send = \"$counter|json:x\" }]", "bad_hole", 3),
        ("start = [{ send = \"$counter/~2\" }]", "bad_pointer", 3),
        ("start = [{ send = { \"...\" = 1 } }]", "bad_value", 3),
        ("start = [{ }]", "bad_value", 3),
        ("start = [{ send = 1, fail_as = \"nope\" }]", "bad_value", 3),
        ("start = [{ send = 1, on_timeout = \"nope\" }]", "bad_value", 3),
        ("start = [{ send = 1, ok = { close = 1 } }]", "mixed_condition", 3),
        ("start = [{ send = 1, if = { \"/a\" = 1 } }]", "mixed_condition", 3),
        ("start = [{ send = 1, ok = { \"/a\" = 1, raw = \"x\" } }]", "mixed_condition", 3),
        ("start = [{ send = 1, ok = { a = 1 } }]", "bad_pointer", 3),
        ("start = [{ send = 1, ok = [] }]", "bad_value", 3),
        ("start = [{ send = 1, ok = { \"/a\" = {} } }]", "bad_value", 3),
        ("start = [{ send = 1, ok = { \"/a\" = { exist = true } } }]", "unknown_key", 3),
        ("start = [{ send = 1, ok = { \"/a\" = [[1]] } }]", "bad_value", 3),
        ("start = [{ each = [1], send = 1 }]", "bad_value", 3),
        ("out = [{ frame = 1, confirm = \"maybe\" }]", "bad_value", 3),
        ("out = [{ }]", "bad_value", 3),
    ] {
        let found = found(&format!("{EVENT}{text}"));
        assert!(found.contains(&(code, line)), "{text}: {found:?}");
    }
}

#[test]
fn faults_of_rules_are_named_with_the_rule() {
    for (rule, code) in [
        ("{ as = \"evnt\", type = \"t\" }", "bad_value"),
        ("{ when = { \"/a\" = 1 } }", "bad_value"),
        ("{ as = \"event\" }", "bad_value"),
        ("{ as = \"ping\", type = \"/t\" }", "key_of_other_role"),
        ("{ as = \"ping\", tpye = \"/t\" }", "unknown_key"),
        ("{ as = \"ping\", forget = [\"nobody\"] }", "bad_value"),
        ("{ as = \"ping\", reply = \"$outer\" }", "unset_hole"),
        ("{ as = \"event\", type = \"$token\" }", "unset_hole"),
        ("{ as = \"event\", type = \"t\", when = { close = 1 } }", "key_of_other_role"),
        ("{ as = \"retry\", when = { status = 1 }, capture = { a = \"/a\" } }", "key_of_other_role"),
        ("{ as = \"retry\", when = { close = 1 }, reply = \"x\" }", "key_of_other_role"),
        ("{ as = \"event\", type = \"t\", each = \"/a\", when = { raw = \"x\" } }", "key_of_other_role"),
        ("{ as = \"accepted\", when = { \"/a\" = 1 }, reply_to = \"/a\" }", "reply_without_out"),
        ("{ as = \"ping\", when = { \"/x\" = 1, \"/t\" = \"a\" } }", "unreachable_rule"),
    ] {
        let text = format!(
            "dialect = 1\nin = [\n{{ as = \"event\", type = \"t\", when = {{ \"/t\" = {{ prefix = \"a\" }} }} }},\n{rule},\n]"
        );
        let problems = check(&text, "test.toml");
        let hit = problems.iter().find(|problem| problem.code == code);
        let hit = hit.unwrap_or_else(|| panic!("{rule}: {problems:?}"));
        assert_eq!((hit.line, hit.rule.as_deref()), (4, Some("in[2]")), "{rule}");
        assert!(!hit.message.is_empty() && hit.file == "test.toml");
    }
}

#[test]
fn a_rule_is_unreachable_only_where_earlier_ones_take_all_of_it() {
    let unreachable = |first: &str, second: &str| {
        let text = format!(
            "in = [{{ as = \"ping\", when = {first} }}, {{ as = \"event\", type = \"t\", when = {second} }}]"
        );
        found(&text).iter().any(|(code, _)| *code == "unreachable_rule")
    };
    for (first, second, wanted) in [
        (r#"{ "/a" = "x" }"#, r#"{ "/a" = "x", "/b" = 1 }"#, true),
        (r#"{ "/a" = "x", "/b" = 1 }"#, r#"{ "/a" = "x" }"#, false),
        (r#"{ "/a" = ["x", "y"] }"#, r#"{ "/a" = "y" }"#, true),
        (r#"{ "/a" = "x" }"#, r#"{ "/a" = ["x", "y"] }"#, false),
        (r#"{ "/a" = { exists = true } }"#, r#"{ "/a" = 1 }"#, true),
        (r#"{ "/a" = { exists = false } }"#, r#"{ "/a" = 1 }"#, false),
        (r#"{ "/a" = { prefix = "x" } }"#, r#"{ "/a" = { prefix = "xy" } }"#, true),
        (r#"{ "/a" = { min = 3 } }"#, r#"{ "/a" = 4 }"#, true),
        (r#"{ "/a" = { min = 3 } }"#, r#"{ "/a" = { min = 2 } }"#, false),
        (r#"{ "/a" = { not = "x" } }"#, r#"{ "/a" = "y" }"#, true),
        (r#"[{ "/a" = 1 }, { "/b" = 1 }]"#, r#"[{ "/b" = 1 }, { "/a" = 1, "/c" = 1 }]"#, true),
        (r#"[{ "/a" = 1 }, { "/b" = 1 }]"#, r#"[{ "/b" = 1 }, { "/c" = 1 }]"#, false),
    ] {
        assert_eq!(unreachable(first, second), wanted, "{first} before {second}");
    }
}

#[test]
fn faults_of_the_whole_are_named() {
    for (text, code) in [
        ("start = [{ send = [\"$token\"], ok = { \"/ok\" = true } }]", "blind_sign_in"),
        ("out = [{ frame = [\"$token\"] }]", "blind_sign_in"),
        ("out = [{ frame = [\"$id\"], confirm = \"reply\" }]", "confirm_without_rule"),
        ("connect = { query = { c = \"$cursor\" } }", "cursor_unset"),
        ("start = [{ send = 1, ok = { \"/ok\" = true }, cursor = \"/c\" }]", "cursor_unused"),
    ] {
        let found = found(&format!("{EVENT}{text}"));
        assert!(found.iter().any(|(found, _)| *found == code), "{text}: {found:?}");
    }
}

#[test]
fn doubts_are_warnings() {
    for (text, code) in [
        (
            "in = [{ as = \"event\", type = \"t\", cursor = \"/c\" }]\nconnect = { query = { c = \"$cursor\" } }",
            "no_baseline",
        ),
        ("in = [{ as = \"event\", type = \"t\" }]\nheartbeat = { send = \"x\" }", "pong_missing"),
        ("in = [{ as = \"ping\" }]", "no_event"),
        ("in = [{ as = \"event\", type = \"t\" }]\nvars = { a = 1 }", "unused_name"),
        (
            "in = [{ as = \"event\", type = \"$a\", capture = { a = \"/a\" } }]\nstart = [{ send = \"$a\" }]",
            "late_capture",
        ),
        (
            "in = [{ as = \"event\", when = { \"/0/t\" = \"e\" }, type = \"/0/t\", data = \"/0/d\" }]",
            "first_of_batch",
        ),
        ("vars = { a = { required = true } }\nin = [{ as = \"event\", type = \"$a\" }]", "required_default"),
        (
            "in = [{ as = \"event\", type = \"t\", keep = { s = \"/s\" } }]\nstart = [{ send = 1, ok = { \"/ok\" = 1 }, forget = [\"s\"] }, { send = \"$s\" }]",
            "forgotten_name",
        ),
        (
            "in = [{ as = \"event\", type = \"t\", keep = { s = \"/s\" } }]\nout = [{ frame = [\"$s\"] }]\nstart = [{ send = 1, ok = { \"/ok\" = 1 }, forget = [\"s\"] }]",
            "forgotten_name",
        ),
    ] {
        let problems = check(&format!("dialect = 1\n{text}"), "test.toml");
        let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
        assert_eq!((problem.code, problem.severity), (code, Grade::Warning), "{text}");
    }
}

#[test]
fn what_only_looks_like_a_mistake_is_no_warning() {
    let keep = "in = [{ as = \"event\", type = \"t\", keep = { s = \"/s\" } }]\n";
    for text in [
        // One message that is a list; and a batch whose other items are looked at too.
        "in = [{ as = \"event\", when = { \"/0\" = \"e\" }, type = \"/0\", data = \"/1\" }]".to_owned(),
        "in = [{ as = \"event\", when = { \"/0/t\" = \"e\" }, type = \"/0/t\", data = \"/1/d\" }]".to_owned(),
        "codec = \"json-or-array\"\nin = [{ as = \"event\", type = \"/0/t\" }]".to_owned(),
        "vars = { a = { required = true, more = 1 } }\nin = [{ as = \"event\", type = \"$a\" }]".to_owned(),
        // Asked for, set again, or used before.
        format!(
            "{keep}start = [{{ send = 1, forget = [\"s\"] }}, {{ if = {{ \"$s\" = {{ exists = true }} }}, send = \"$s\" }}]"
        ),
        format!(
            "{keep}start = [{{ send = 1, forget = [\"s\"] }}, {{ send = 1, ok = {{ \"/s\" = 1 }}, keep = {{ s = \"/s\" }} }}, {{ send = \"$s\" }}]"
        ),
        format!("{keep}start = [{{ send = \"$s\" }}, {{ send = 1, forget = [\"s\"] }}]"),
    ] {
        assert_eq!(check(&format!("dialect = 1\n{text}"), "t"), [], "{text}");
    }
}

/// A file as its author has it, with what each check is to say of it: line, column, rule, and what
/// to do. The caret stands under the first character of what is meant.
#[test]
fn every_check_names_the_place_the_rule_and_a_way_out() {
    for (code, marked, rule, advice) in [
        ("bad_value", "codec = ^\"jsn\"", None, "did you mean `json`?"),
        ("unknown_key", "[connect]\n^subprotocol = [\"x\"]", None, "did you mean `subprotocols`?"),
        ("bad_pointer", "[[in]]\nas = \"event\"\ntype = ^\"/a~2\"", Some("in[1]"), ""),
        ("bad_hole", "[[start]]\nsend = ^\"$now!\"", Some("start[1]"), "a hole is `$name`"),
        ("unknown_filter", "[[start]]\nsend = ^\"$now|jsn\"", Some("start[1]"), "did you mean `json`?"),
        ("unset_hole", "[[out]]\nframe = { t = ^\"$typ\" }", Some("out[1]"), "did you mean `$type`?"),
        (
            "unset_hole",
            "require = [\"topics\"]\n[[subscribe]]\neach = \"$topics\"\nsend = { t = ^\"$each\" }",
            Some("subscribe[1]"),
            "the item of the list is `$item`",
        ),
        (
            "unset_hole",
            "require = [\"topics\"]\n[[subscribe]]\neach = \"$topics\"\nsend = 1\n[[subscribe]]\nsend = { t = ^\"$topic\" }",
            Some("subscribe[2]"),
            "did you mean `$topics`?",
        ),
        (
            "mixed_condition",
            "[[in]]\nas = \"ping\"\nwhen = { \"/a\" = 1, ^close = 1 }",
            Some("in[1]"),
            "write two rules",
        ),
        (
            "key_of_other_role",
            "[[in]]\nas = \"ping\"\nseq = ^\"/n\"",
            Some("in[1]"),
            "`seq` belongs to event",
        ),
        (
            "unreachable_rule",
            "[[in]]\nas = \"event\"\ntype = \"/t\"\nwhen = { \"/t\" = { exists = true } }\n^[[in]]\nas = \"ping\"\nwhen = { \"/t\" = \"ping\" }",
            Some("in[2]"),
            "put the narrower rule first",
        ),
        (
            "blind_sign_in",
            "[[start]]\nsend = 1\n^[[start]]\nsend = [\"$token\"]\nok = { \"/ok\" = true }",
            Some("start[2]"),
            "add `fail` to the step",
        ),
        ("blind_sign_in", "^[[in]]\nas = \"ping\"\nreply = [\"$token\"]", Some("in[1]"), "add `fail`"),
        ("blind_sign_in", "^heartbeat = { send = [\"$token\"] }", None, "add `fail`"),
        (
            "reply_without_out",
            "^[[in]]\nas = \"accepted\"\nreply_to = \"/id\"",
            Some("in[1]"),
            "add an `[[out]]`",
        ),
        (
            "confirm_without_rule",
            "^[[out]]\nframe = 1\nconfirm = \"reply\"",
            Some("out[1]"),
            "`as = \"accepted\"`",
        ),
        (
            "cursor_unset",
            "[^connect]\nquery = { since = \"$cursor\" }",
            None,
            "give the event rule a `cursor`",
        ),
        ("cursor_unset", "^[[subscribe]]\nsend = [\"$cursor\"]", Some("subscribe[1]"), "give the event rule"),
        (
            "cursor_unused",
            "^[[in]]\nas = \"event\"\ntype = \"t\"\ncursor = \"/c\"",
            None,
            "put `$cursor` into",
        ),
        (
            "no_baseline",
            "^[[start]]\nsend = [\"$cursor\"]\n[[in]]\nas = \"event\"\ntype = \"t\"\ncursor = \"/c\"",
            Some("start[1]"),
            "`cursor = { initial = … }`",
        ),
        (
            "late_capture",
            "^[[start]]\nsend = \"$a\"\n[[in]]\nas = \"event\"\ntype = \"t\"\ncapture = { a = \"/a\" }",
            Some("start[1]"),
            "`|default:…`",
        ),
        (
            "late_capture",
            "[^connect]\nquery = { a = \"$a\" }\n[[in]]\nas = \"event\"\ntype = \"t\"\ncapture = { a = \"/a\" }",
            None,
            "`|default:…`",
        ),
        (
            "pong_missing",
            "about = \"x\"\n^heartbeat = { send = \"x\" }",
            None,
            "add a rule with `as = \"pong\"`",
        ),
        (
            "required_default",
            "vars = { ^room = { required = true } }\n[[start]]\nsend = \"$room\"",
            None,
            "write `require = [\"room\"]`",
        ),
        (
            "first_of_batch",
            "[[in]]\nas = \"retry\"\nwhen = { close = 4000 }\n^[[in]]\nas = \"event\"\ntype = \"/0/t\"",
            Some("in[2]"),
            "`codec = \"json-or-array\"`",
        ),
        (
            "forgotten_name",
            "[[start]]\nsend = 1\nok = { \"/s\" = 1 }\ncapture = { s = \"/s\" }\n^[[start]]\nsend = 1\nok = { \"/ok\" = 1 }\nforget = [\"s\"]\n[[subscribe]]\nsend = \"$s\"",
            Some("start[2]"),
            "a rule for the frame that refuses",
        ),
        ("unused_name", "vars = { ^a = 1 }", None, "use `$a`, or take it away"),
        ("no_event", "about = \"x\"\n^in = [{ as = \"ping\" }]", None, "add a rule with `as = \"event\"`"),
    ] {
        let before = &marked[..marked.find('^').expect("a caret")];
        let text = format!("dialect = 1\n{}", marked.replacen('^', "", 1));
        let wanted = (
            before.matches('\n').count() + 2,
            before.rsplit('\n').next().unwrap().chars().count() + 1,
            rule.map(str::to_owned),
        );
        let problems = check(&text, "test.toml");
        let hit = problems.iter().find(|problem| problem.code == code);
        let hit = hit.unwrap_or_else(|| panic!("{code} of {text}: {problems:?}"));
        assert_eq!((hit.line, hit.column, hit.rule.clone()), wanted, "{code} of {text}");
        assert!(hit.advice.contains(advice), "{code} of {text}: {}", hit.advice);
    }
}

/// What is marked in the line below a problem is what is wrong, and all of it.
#[test]
fn the_line_of_a_problem_is_shown_with_the_key_the_value_or_the_header_marked() {
    for (text, marked) in [
        ("codec = \"jsn\" # or raw", "\"jsn\""),
        ("codec = 'js\"n'", "'js\"n'"),
        ("codec = \"j\\\"n\"", "\"j\\\"n\""),
        ("window = -1.5", "-1.5"),
        ("window = [1, \"]\"] # none", "[1, \"]\"]"),
        ("in = [{ as = \"event\", typ = \"/t\", type = \"/t\" }]", "typ"),
        ("connect.subprotocol.x = 1", "subprotocol"),
        ("[connect]\nsubprotocol = [\"x\"]", "subprotocol"),
        ("[[in]]\ntype = \"t\"", "[[in]]"),
        (
            "in = [\n  { type = \"t\", when = { \"/a\" = 1 } }, # first\n]",
            "{ type = \"t\", when = { \"/a\" = 1 } }",
        ),
        ("[[start]]\nsend = \"\"\"$now! # and\nmore\"\"\"", "\"\"\"$now! # and"),
        ("about = \"世界\"\nvars = { \"世\" = 1, a = 1979-05-27 }", "1979-05-27"),
    ] {
        let text = format!("dialect = 1\n{text}");
        let problems = check(&text, "t");
        let excerpts: Vec<_> =
            problems.iter().filter_map(|it| Some(it.excerpt.as_ref()?.under(it.line))).collect();
        let line = text.lines().find(|line| line.contains(marked)).expect("there");
        let begin = line.find(marked).expect("there");
        let wide = |text: &str| text.chars().map(|c| if c > '\u{2e80}' { 2 } else { 1 }).sum::<usize>();
        let carets = format!("| {}{}", " ".repeat(wide(&line[..begin])), "^".repeat(wide(marked)));
        let shows = |excerpt: &&String| excerpt.contains(marked) && excerpt.ends_with(&carets);
        assert!(excerpts.iter().any(|it| shows(&it)), "{text}\n{marked}\n{}", excerpts.join("\n"));
    }
}

/// What only the configuration decides is told with its place in the file as well.
#[test]
fn what_the_configuration_lacks_is_told_with_the_place_that_wants_it() {
    let load = |text: &str, token| {
        let loaded =
            super::super::load(&format!("dialect = 1\n{EVENT}{text}"), "t", Vars::new(), &Options { token });
        let problem = loaded.map(|_| ()).unwrap_err().remove(0);
        (problem.code, problem.line, problem.rule)
    };
    let required = "require = [\"room\"]\nstart = [{ send = \"$room\" }]";
    assert_eq!(load(required, None), ("required_var", 3, None));
    let step = "[[start]]\nsend = [\"$token\"]\nok = { \"/ok\" = 1 }\nfail = { \"/ok\" = 0 }";
    assert_eq!(load(step, Some(false)), ("token_not_given", 3, Some("start[1]".to_owned())));
    assert_eq!(load("[connect]\nquery = { t = \"$token\" }", Some(false)), ("token_not_given", 3, None));
}

#[test]
fn what_is_said_of_a_close_has_no_words_but_its_own() {
    for rule in [
        "{ as = \"unauthorized\", when = { close = 4401 }, message = \"expired\" }",
        "{ as = \"unavailable\", when = { status = 418 }, code = \"teapot\" }",
    ] {
        let problems = check(&format!("dialect = 1\nin = [{rule}, {{ as = \"event\", type = \"t\" }}]"), "t");
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!((problem.code, problem.rule.as_deref()), ("key_of_other_role", Some("in[1]")));
    }
}

#[test]
fn limits_are_errors() {
    let rules = "in = [".to_owned() + &"{ as = \"event\", type = \"t\" },".repeat(129) + "]";
    let steps = "start = [".to_owned() + &"{ send = 1 },".repeat(33) + "]";
    let outs = "out = [".to_owned() + &"{ frame = 1 },".repeat(17) + "]";
    let deep = format!("start = [{{ send = {}1{} }}]", "[".repeat(20), "]".repeat(20));
    let alternatives = format!("start = [{{ send = 1, ok = [{}] }}]", "{ \"/a\" = 1 },".repeat(17));
    let filters = format!("start = [{{ send = \"$counter{}\" }}]", "|json".repeat(9));
    let large = format!("about = \"{}\"", "x".repeat(64 * 1024));
    for text in [rules, steps, outs, deep, alternatives, filters, large] {
        assert!(found(&text).iter().any(|(code, _)| *code == "limit"), "{}", &text[..40]);
    }
}

#[test]
fn toml_that_is_none_is_told_with_its_line() {
    assert_eq!(found("about = "), [("bad_toml", 2)]);
    assert_eq!(check("about = \"x\"", "t")[0].code, "bad_value");
}

#[test]
fn a_problem_reads_well_and_names_the_nearest_key() {
    let problems = check("dialect = 1\nin = [{ as = \"event\", typ = \"/t\", type = \"/t\" }]", "my.toml");
    assert_eq!(
        problems[0].to_string(),
        "my.toml:2:23: error[unknown_key] in[1]: there is no key `typ` here; did you mean `type`?"
    );
    let json = serde_json::to_value(&problems[0]).unwrap();
    assert_eq!((json["severity"].as_str(), json["line"].as_u64()), (Some("error"), Some(2)));
}

#[test]
fn the_configuration_must_set_what_is_required_and_nothing_unknown() {
    let text =
        "dialect = 1\nvars = { a = 1 }\nrequire = [\"b\"]\nin = [{ as = \"event\", type = \"${a}${b}\" }]";
    let load = |vars: &[(&str, &str)]| {
        let vars: Vars = vars.iter().map(|(name, json)| ((*name).into(), (*json).into())).collect();
        let loaded = super::super::load(text, "t", vars, &Options::default());
        loaded.map(|_| ()).map_err(|problems| problems.iter().map(|problem| problem.code).collect::<Vec<_>>())
    };
    assert_eq!(load(&[("b", "2")]), Ok(()));
    assert_eq!(load(&[("a", "2")]), Err(vec!["required_var"]));
    assert_eq!(load(&[("b", "2"), ("c", "2")]), Err(vec!["unknown_key"]));
}

#[test]
fn a_credential_that_goes_elsewhere_is_an_error_only_where_the_dialect_cannot_do_without() {
    let load = |text: &str| {
        let text = format!("dialect = 1\n{EVENT}{text}");
        super::super::load(&text, "t", Vars::new(), &Options { token: Some(false) }).map(|_| ())
    };
    let send = "send = [\"$token\"], ok = { \"/ok\" = true }, fail = { \"/ok\" = false }";
    let problems = load(&format!("start = [{{ {send} }}]")).unwrap_err();
    assert_eq!(problems[0].code, "token_not_given");
    assert_eq!(load(&format!("start = [{{ if = {{ \"$token\" = {{ exists = true }} }}, {send} }}]")), Ok(()));
}

#[test]
fn the_discriminator_is_the_pointer_most_rules_compare() {
    let text = "dialect = 1\nin = [{ as = \"ping\", when = { \"/t\" = \"a\", \"/x\" = 1 } }, { as = \"event\", type = \"t\", when = { \"/t\" = \"b\" } }]";
    assert_eq!(examine(text, "t").discriminator.as_deref(), Some("/t"));
}

/// The tables at the end of the page for authors have every word there is, and no other.
#[test]
fn the_short_tables_for_authors_have_each_role_codec_and_key() {
    use super::super::compile::{HEARTBEAT_KEYS, STEP_KEYS};
    use super::super::spec::{Codec, Role};
    use std::collections::BTreeSet;

    let page = include_str!("../../../../docs/dialects.md");
    let (_, page) = page.split_once("\n## In short\n").expect("the section");
    let (page, _) = page.split_once("\n## ").expect("one behind it");
    let tables: Vec<BTreeSet<&str>> = page
        .split("\n\n")
        .filter(|block| block.starts_with('|'))
        .map(|table| {
            let cells = table.lines().skip(2).filter_map(|row| row.split('|').nth(1));
            cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
        })
        .collect();
    let all: [&[&str]; 4] = [&Role::NAMES, &Codec::NAMES, &STEP_KEYS, &HEARTBEAT_KEYS];
    assert_eq!(tables, all.map(|words| words.iter().copied().collect::<BTreeSet<_>>()));
}
