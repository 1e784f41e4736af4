//! Packets as they stand in frames: Engine.IO 4 outside, Socket.IO 5 within.

/// Most digits of an acknowledgement's number.
const MAX_DIGITS: usize = 19;

/// What a text frame is to Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine<'a> {
    Open(&'a str),
    Close,
    Ping(&'a str),
    Pong,
    Message(&'a str),
    /// Part of a change of transports, or nothing at all.
    Noop,
    Unknown,
}

/// Reads the outer packet.
pub(super) fn engine(text: &str) -> Engine<'_> {
    match text {
        "1" => Engine::Close,
        "2" | "2probe" => Engine::Ping(&text[1..]),
        "3" | "3probe" => Engine::Pong,
        "5" | "6" => Engine::Noop,
        _ if text.starts_with("0{") => Engine::Open(&text[1..]),
        _ if text.starts_with('4') => Engine::Message(&text[1..]),
        _ => Engine::Unknown,
    }
}

/// What an inner packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
    BinaryEvent,
    BinaryAck,
}

/// An inner packet whose JSON is not looked into yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    /// Binary frames that follow.
    pub(super) attachments: usize,
    pub(super) namespace: &'a str,
    /// The acknowledgement that is asked for, or given: digits.
    pub(super) id: Option<&'a str>,
    /// JSON, or nothing.
    pub(super) json: &'a str,
}

/// Reads the inner packet.
///
/// # Errors
/// What is wrong with it.
pub(super) fn packet(text: &str) -> Result<Packet<'_>, &'static str> {
    let Some((kind, mut rest)) = text.split_at_checked(1) else {
        return Err("it is empty");
    };
    let kind = match kind {
        "0" => Kind::Connect,
        "1" => Kind::Disconnect,
        "2" => Kind::Event,
        "3" => Kind::Ack,
        "4" => Kind::ConnectError,
        "5" => Kind::BinaryEvent,
        "6" => Kind::BinaryAck,
        _ => return Err("its type is none of Socket.IO's"),
    };
    let mut attachments = 0;
    if matches!(kind, Kind::BinaryEvent | Kind::BinaryAck) {
        let count = rest.split_once('-').filter(|(count, _)| is_number(count));
        let Some((count, behind)) = count else {
            return Err("it does not say how many attachments follow");
        };
        attachments = count.parse().map_err(|_| "it does not say how many attachments follow")?;
        rest = behind;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits > MAX_DIGITS {
        return Err("the number of its acknowledgement is too long");
    }
    let (id, json) = rest.split_at(digits);
    Ok(Packet { kind, attachments, namespace, id: (digits > 0).then_some(id), json })
}

fn is_number(text: &str) -> bool {
    (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The beginning of a packet of ours, up to its JSON.
pub(super) fn head(kind: Kind, attachments: usize, namespace: &str, id: Option<&str>) -> String {
    let mut text = String::from("4");
    text.push(match kind {
        Kind::Connect => '0',
        Kind::Disconnect => '1',
        Kind::Event => '2',
        Kind::Ack => '3',
        Kind::ConnectError => '4',
        Kind::BinaryEvent => '5',
        Kind::BinaryAck => '6',
    });
    if attachments > 0 {
        text.push_str(&attachments.to_string());
        text.push('-');
    }
    if namespace != "/" {
        text.push_str(namespace);
        text.push(',');
    }
    text.push_str(id.unwrap_or_default());
    text
}

/// Whether a text looks like the offset of an adapter we know: in memory (seven digits to the base
/// of 64, a time between 2022 and 2048, perhaps with a point and a counter), in a Redis stream
/// (milliseconds, hyphen, counter), in MongoDB (24 hexadecimal digits).
pub(super) fn is_offset(text: &str) -> bool {
    let (time, counter) = text.split_once('.').map_or((text, "0"), |(time, counter)| (time, counter));
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let in_memory = time.len() == 7
        && matches!(time.as_bytes()[0], b'O'..=b'Z')
        && time.bytes().chain(counter.bytes()).all(base64)
        && (1..=4).contains(&counter.len());
    let in_redis = text.split_once('-').is_some_and(|(millis, counter)| {
        (12..=15).contains(&millis.len()) && is_number(millis) && is_number(counter)
    });
    let in_mongo = text.len() == 24 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    in_memory || in_redis || in_mongo
}

#[cfg(test)]
mod tests {
    use super::{Kind, Packet, engine, head, is_offset, packet};

    #[test]
    fn packets_are_read_as_the_protocol_writes_them() {
        let plain = Packet { kind: Kind::Event, attachments: 0, namespace: "/", id: None, json: r#"["a"]"# };
        for (text, wanted) in [
            (r#"2["a"]"#, plain),
            (r#"212["a"]"#, Packet { id: Some("12"), ..plain }),
            (r#"2/admin,["a"]"#, Packet { namespace: "/admin", ..plain }),
            (r#"2/admin,456["a"]"#, Packet { namespace: "/admin", id: Some("456"), ..plain }),
            (
                r#"52-/admin,0["a"]"#,
                Packet {
                    kind: Kind::BinaryEvent,
                    attachments: 2,
                    namespace: "/admin",
                    id: Some("0"),
                    ..plain
                },
            ),
            ("1/admin,", Packet { kind: Kind::Disconnect, namespace: "/admin", json: "", ..plain }),
            ("1/admin", Packet { kind: Kind::Disconnect, namespace: "/admin", json: "", ..plain }),
            ("0", Packet { kind: Kind::Connect, json: "", ..plain }),
        ] {
            assert_eq!(packet(text), Ok(wanted), "{text}");
            if text != "1/admin" {
                let again = head(wanted.kind, wanted.attachments, wanted.namespace, wanted.id) + wanted.json;
                assert_eq!(again, format!("4{text}"));
            }
        }
    }

    #[test]
    fn what_is_no_packet_says_so_and_nothing_panics() {
        for text in
            ["", "7", "ä", "5[]", "5-[]", "5x-[]", "599999999999999999999-[]", "212345678901234567890[]"]
        {
            assert!(packet(text).is_err(), "{text}");
            let _ = engine(text);
        }
    }

    #[test]
    fn offsets_of_known_adapters_are_told_from_words() {
        for text in ["PgWoJyS", "PgWoJyS.0", "Pe-_9zA.1a", "1678439571234-0", "64f0c9e5a1b2c3d4e5f60718"] {
            assert!(is_offset(text), "{text}");
        }
        for text in ["message", "connect", "", "hello you", "12-3", "PgWoJy", "PgWoJyS.", "2023-01-01", "xyz"]
        {
            assert!(!is_offset(text), "{text}");
        }
    }
}
