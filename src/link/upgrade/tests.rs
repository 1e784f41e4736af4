//! Whatever comes in answer to an upgrade: never a panic, never a connection that was not granted,
//! and words that stay short.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;
use crate::link::{Auth, Plan, Settings};

/// Longest text a failure may say.
const SAID_MAX: usize = 1024;
const TOKEN: &str = "HLCANARY-0123456789";

/// What a server writes that got `bytes` to say, in pieces of this size, and then hangs up.
fn answered(bytes: &[u8], piece: usize) -> Result<Upgraded, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let target = Target::parse("ws://localhost/socket").unwrap();
        let auth = Auth::Header { name: "Authorization".into(), prefix: "Bearer ".into() };
        let settings = Settings::to(target.clone());
        let token = Secret::new(TOKEN);
        let carried = Carried::put_together(&target, &settings, &auth, Plan::default(), Some(&token));
        let (mut ours, mut theirs) = duplex(4096);
        let serving = async {
            let mut request = [0; 2048];
            let _ = theirs.read(&mut request).await;
            for piece in bytes.chunks(piece.max(1)) {
                if theirs.write_all(piece).await.is_err() {
                    break;
                }
            }
            drop(theirs);
        };
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let (upgraded, ()) = tokio::join!(
            async {
                let upgraded = upgrade(&mut ours, &target, &carried, now, &mut None).await;
                drop(ours);
                upgraded
            },
            serving
        );
        upgraded
    })
}

/// Something like an answer: a status, headers that matter or are odd, a body.
fn odd_answer() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        Just("101".to_owned()),
        Just("101 Switching Protocols".to_owned()),
        (0..1200_u16).prop_map(|status| format!("{status} Words")),
        "[ -~]{0,20}",
    ];
    let name = prop_oneof![
        Just("Upgrade"),
        Just("Connection"),
        Just("Sec-WebSocket-Accept"),
        Just("Sec-WebSocket-Extensions"),
        Just("Sec-WebSocket-Protocol"),
        Just("Retry-After"),
        Just("Location"),
        Just("Content-Length"),
        Just("Transfer-Encoding"),
        Just("X-\u{e9}"),
        Just(""),
    ];
    let value = prop_oneof![
        Just("websocket".to_owned()),
        Just("Upgrade".to_owned()),
        Just("chunked".to_owned()),
        Just("-1".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()),
        Just(TOKEN.to_owned()),
        ".{0,60}",
    ];
    let body = prop_oneof![
        vec(any::<u8>(), 0..300),
        Just(format!("ffffffffffffffff\r\n{TOKEN}").into_bytes()),
        Just(b"5;x\r\nhello\r\n0\r\n\r\n".to_vec()),
        Just(b"<html><title>401 ".repeat(40)),
        Just(TOKEN.repeat(40).into_bytes()),
    ];
    (status, vec((name, value), 0..8), body, any::<bool>()).prop_map(|(status, headers, body, ends)| {
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if ends {
            text.push_str("\r\n");
        }
        [text.into_bytes(), body].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn p12_no_answer_makes_a_panic_a_connection_or_a_long_or_telling_word(
        bytes in prop_oneof![vec(any::<u8>(), 0..400), odd_answer()],
        piece in 1..500_usize,
    ) {
        let Err(failure) = answered(&bytes, piece) else {
            return Err(TestCaseError::fail("nobody can know the answer to our key"));
        };
        let said = format!("{failure} {}", failure.hint());
        prop_assert!(said.len() <= SAID_MAX, "{} bytes: {said}", said.len());
        prop_assert!(!said.contains("HLCANARY"), "{said}");
        prop_assert!(!said.contains(|c: char| c.is_control()), "{said:?}");
        let limits = Duration::from_secs(1)..=Duration::from_secs(3600);
        if let Failure::Refused { retry_after: Some(wait), .. } = failure {
            prop_assert!(limits.contains(&wait), "{wait:?}");
        }
    }
}

#[test]
fn the_right_answer_is_taken_in_pieces_of_any_size() {
    // The key is made anew each time, so the answer is made from the request.
    for piece in [1, 2, 7, 100_000] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let upgraded = runtime.block_on(async {
            let target = Target::parse("ws://localhost/socket").unwrap();
            let settings = Settings::to(target.clone());
            let carried = Carried::put_together(&target, &settings, &Auth::None, Plan::default(), None);
            let (mut ours, mut theirs) = duplex(64);
            let serving = async {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(theirs.read_u8().await.unwrap());
                }
                let request = String::from_utf8(request).unwrap();
                let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().lines().next().unwrap();
                let answer = format!(
                    "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                     Sec-WebSocket-Accept: {}\r\n\r\nfirst bytes",
                    derive_accept_key(key.as_bytes())
                );
                for piece in answer.as_bytes().chunks(piece) {
                    theirs.write_all(piece).await.unwrap();
                }
                theirs
            };
            let now = Timestamp::default();
            let mut date = None;
            let (upgraded, _theirs) =
                tokio::join!(upgrade(&mut ours, &target, &carried, now, &mut date), serving);
            upgraded
        });
        let upgraded = upgraded.unwrap();
        assert_eq!(upgraded.subprotocol, None);
        assert!(b"first bytes".starts_with(&upgraded.rest));
    }
}
