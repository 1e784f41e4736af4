//! What a refused CONNECT means. The server says it in words of its own, and leaves the socket open.

use crate::dialect::declarative::roles::clean;
use crate::dialect::declarative::tape::Doc;
use crate::model::{Failure, Verdict};

/// Words, in lower case, by which a refusal speaks of the sign-in.
const SIGN_IN: [&str; 18] = [
    "auth",
    "token",
    "credential",
    "forbidden",
    "denied",
    "login",
    "log in",
    "logged in",
    "sign in",
    "sign-in",
    "signin",
    "signed in",
    "jwt",
    "password",
    "permission",
    "not allowed",
    "api key",
    "expired",
];
/// What the library itself says of a namespace that is not there.
const NO_NAMESPACE: &str = "invalid namespace";

/// The failure that a CONNECT_ERROR with this payload (none: nothing that could be read) is.
pub(super) fn failure(payload: Option<Doc<'_>>, namespace: &str, further: &[String]) -> Failure {
    let text = |doc: Doc<'_>| doc.string().map_or_else(|| doc.json().to_owned(), |text| text.into_owned());
    let object = payload.filter(|payload| payload.json().starts_with('{'));
    let message = match object {
        Some(object) => object.member("message").map(text),
        None => payload.map(text),
    };
    let message = message.unwrap_or_else(|| "it gave no reason".to_owned());
    let data = object.and_then(|object| object.member("data"));
    let code = data.and_then(|data| {
        let found =
            ["code", "status", "statusCode", "type"].into_iter().find_map(|name| data.member(name))?;
        let scalar = !found.json().starts_with(['{', '[', 'n']);
        scalar.then(|| text(found))
    });
    let all = format!("{} {}", message, code.as_deref().unwrap_or_default()).to_lowercase();
    let code_says = matches!(code.as_deref(), Some("401" | "403"));
    let says =
        SIGN_IN.iter().any(|word| all.contains(word)) || further.iter().any(|word| all.contains(&**word));
    let verdict = if code_says || says {
        Verdict::Unauthorized
    } else if all.starts_with(NO_NAMESPACE) {
        Verdict::Misconfigured
    } else {
        Verdict::Retry { after: None }
    };
    let mut message = clean(&message);
    if namespace != "/" || verdict == Verdict::Misconfigured {
        message = format!("{message} (namespace {namespace})");
    }
    Failure::Ruled { verdict, code: code.map(|code| clean(&code)), message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::failure;
    use crate::dialect::declarative::tape::Tape;
    use crate::model::{LinkState, Verdict};

    fn said(json: &str, namespace: &str) -> (LinkState, String) {
        let mut tape = Tape::default();
        tape.read(json).expect("JSON");
        let failure = failure(Some(tape.doc(json)), namespace, &["banned".to_owned()]);
        (failure.verdict().state(), failure.to_string())
    }

    #[test]
    fn what_speaks_of_the_sign_in_is_a_refused_sign_in() {
        for json in [
            r#"{"message":"Not authorized"}"#,
            r#"{"message":"nope","data":{"code":401}}"#,
            r#"{"message":"jwt malformed"}"#,
            r#""Authentication error""#,
            r#"{"message":"you are BANNED"}"#,
        ] {
            assert_eq!(said(json, "/").0, LinkState::Unauthorized, "{json}");
        }
    }

    #[test]
    fn anything_else_is_tried_again_and_a_namespace_that_is_not_there_is_named() {
        let (state, text) = said(r#"{"message":"server is full"}"#, "/");
        assert_eq!(
            (state, text.as_str()),
            (LinkState::Reconnecting, "the server ended the session: \"server is full\"")
        );
        let (state, text) = said(r#"{"message":"Invalid namespace"}"#, "/admin");
        assert_eq!(state, LinkState::Misconfigured);
        assert!(text.ends_with("\"Invalid namespace (namespace /admin)\""), "{text}");
        let nothing = failure(None, "/", &[]);
        assert_eq!(nothing.verdict(), Verdict::Retry { after: None });
    }
}
