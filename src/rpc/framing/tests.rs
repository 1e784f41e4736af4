use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, duplex};

use super::{FrameError, Framing, Reader};

/// What a reader makes of `bytes` that come in pieces of the given sizes, again and again.
fn read(bytes: &[u8], pieces: &[usize], limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, mut far) = duplex(64);
        let (bytes, pieces) = (bytes.to_vec(), pieces.to_vec());
        tokio::spawn(async move {
            let mut rest = &bytes[..];
            for size in pieces.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                if far.write_all(piece).await.is_err() || after.is_empty() {
                    return;
                }
                tokio::task::yield_now().await;
                rest = after;
            }
        });
        let mut reader = Reader::new(near, limit);
        let mut found = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(error)),
            }
        }
    })
}

fn message() -> impl Strategy<Value = String> {
    "[a-z{}\"é ]{0,80}".prop_map(|text| format!("{{{text}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// However the bytes are cut into pieces, the same messages come out, in both framings.
    #[test]
    fn pieces_do_not_matter(
        messages in proptest::collection::vec(message(), 0..20),
        pieces in proptest::collection::vec(1_usize..50, 1..10),
        headers in any::<bool>(),
    ) {
        let framing = if headers { Framing::Headers } else { Framing::Lines };
        let mut bytes = Vec::new();
        for message in &messages {
            framing.frame(message, &mut bytes);
        }
        let (found, error) = read(&bytes, &pieces, 1_000);
        prop_assert!(error.is_none(), "{error:?}");
        let sent: Vec<Vec<u8>> = messages.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(found, sent);
    }

    /// A message within the limit is read, one above it is refused, wherever it is cut.
    #[test]
    fn the_limit_is_exact(size in prop_oneof![1_usize..300, 149_usize..153], piece in 1_usize..70, headers in any::<bool>(), crlf in any::<bool>()) {
        let framing = if headers { Framing::Headers } else { Framing::Lines };
        let mut bytes = Vec::new();
        framing.frame(&"x".repeat(size), &mut bytes);
        if crlf && !headers {
            bytes.insert(bytes.len() - 1, b'\r');
        }
        let (found, error) = read(&bytes, &[piece], 150);
        if size <= 150 {
            prop_assert_eq!(found.len(), 1);
            prop_assert!(error.is_none());
        } else {
            prop_assert!(found.is_empty());
            let refused = matches!(error, Some(FrameError::TooLong { limit: 150 }));
            prop_assert!(refused, "{:?}", error);
        }
    }

    /// Any bytes at all end in messages or in an error.
    #[test]
    fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
        let (found, _) = read(&bytes, &[piece], 100);
        prop_assert!(found.iter().all(|message| message.len() <= 100));
    }
}

#[tokio::test]
async fn a_reader_that_is_dropped_in_mid_wait_loses_nothing() {
    let (near, mut far) = duplex(64);
    let mut reader = Reader::new(near, 100);
    far.write_all(b"{\"a\"").await.unwrap();
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = reader.next() => panic!("not whole yet"),
            () = tokio::task::yield_now() => {}
        }
    }
    far.write_all(b":1}\n").await.unwrap();
    assert_eq!(reader.next().await.unwrap(), Some(&b"{\"a\":1}"[..]));
}

#[test]
fn a_gigabyte_that_was_announced_is_refused_unread() {
    let (found, error) = read(b"Content-Length: 1073741824\r\n\r\nabc", &[7], 1_000);
    assert!(found.is_empty() && matches!(error, Some(FrameError::TooLong { .. })), "{error:?}");
}
