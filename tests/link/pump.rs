use std::time::Duration;

use holdline::link::{
    Auth, COMMANDS, Connection, Dialer, EVENTS, LinkCommand, LinkEvent, Plan, Settings, Target,
};
use holdline::model::{Failure, Frame, Secret};
use tokio_tungstenite::tungstenite::Message;

use crate::support::frames::{self, BINARY, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, frame};
use crate::support::server::{Ended, Peer, ScriptedServer};
use crate::support::{soon, until};

const LIMIT: usize = 100_000;

/// So many frames of [`LIMIT`] fill the channel by their bytes, long before its places are taken.
const FULL: usize = (1 << 20) / LIMIT + 1;
/// Signs of life that may be among them.
const FEW: usize = 8;

fn is_full_by_bytes(connection: &Connection) -> bool {
    (FULL..=FULL + FEW).contains(&connection.events.len())
}

async fn connect_to(server: &ScriptedServer) -> (Connection, Peer) {
    let settings = Settings { max_message: LIMIT, ..Settings::to(Target::parse(&server.url()).unwrap()) };
    let dialer = Dialer::new(settings, Auth::Query { name: "token".into() }).unwrap();
    let token = Secret::new("HLCANARY-0123456789");
    let connection = soon("the dial", dialer.dial(Plan::default(), Some(&token))).await.unwrap();
    (connection, server.accept().await)
}

async fn connect() -> (ScriptedServer, Connection, Peer) {
    let server = ScriptedServer::start().await;
    let (connection, peer) = connect_to(&server).await;
    (server, connection, peer)
}

/// The next event that is more than a sign of life.
async fn next(connection: &mut Connection) -> LinkEvent {
    loop {
        match soon("an event", connection.events.recv()).await.expect("the pump has a last word") {
            LinkEvent::Heard => {}
            event => return event,
        }
    }
}

async fn next_text(connection: &mut Connection) -> String {
    match next(connection).await {
        LinkEvent::Frame(Frame::Text(text)) => text,
        other => panic!("text was expected, not {other:?}"),
    }
}

/// The failure the connection ends with, whatever comes before; nothing may come behind.
async fn down(connection: &mut Connection) -> Failure {
    loop {
        if let LinkEvent::Down(failure) = next(connection).await {
            assert!(soon("the channel to end", connection.events.recv()).await.is_none());
            return failure;
        }
    }
}

async fn write(connection: &Connection, ticket: u64, text: &str) {
    let frame = Frame::Text(text.into());
    connection.commands.send(LinkCommand::Write { ticket, frame }).await.unwrap();
}

#[tokio::test]
async fn frames_go_both_ways_in_order() {
    let (_server, mut connection, mut peer) = connect().await;
    for n in 0..500 {
        write(&connection, n, &format!("out {n}")).await;
    }
    connection
        .commands
        .send(LinkCommand::Write { ticket: 500, frame: Frame::Binary(vec![0, 255]) })
        .await
        .unwrap();
    for n in 0..500 {
        assert_eq!(peer.text().await, format!("out {n}"));
    }
    assert_eq!(peer.frame().await, Message::binary(vec![0, 255]));
    soon("the last ticket", connection.written.wait_for(|ticket| *ticket == 500)).await.unwrap();
    for n in 0..500 {
        peer.send(&format!("in {n}"));
    }
    for n in 0..500 {
        assert_eq!(next_text(&mut connection).await, format!("in {n}"));
    }
}

#[tokio::test]
async fn the_receipt_for_what_is_written_comes_only_after_the_flush() {
    let (_server, mut connection, mut peer) = connect().await;
    peer.go_silent();
    // More than all buffers of the kernel hold.
    write(&connection, 1, &"x".repeat(32 << 20)).await;
    until("the pump to take it", || (connection.commands.capacity() == COMMANDS).then_some(())).await;
    // The peer still speaks, and is heard: a blocked write blocks no reading.
    for _ in 0..3 {
        peer.send("are you there?");
        assert_eq!(next_text(&mut connection).await, "are you there?");
    }
    assert_eq!(*connection.written.borrow(), 0, "it cannot be out yet");
    peer.wake_up();
    soon("the ticket", connection.written.wait_for(|ticket| *ticket == 1)).await.unwrap();
    assert_eq!(peer.text().await.len(), 32 << 20);
}

#[tokio::test]
async fn a_ping_goes_out_behind_what_was_written_and_its_pong_comes_back() {
    let (server, mut connection, mut peer) = connect().await;
    write(&connection, 1, "first").await;
    connection.commands.send(LinkCommand::Ping(b"nonce 1".to_vec())).await.unwrap();
    assert_eq!(peer.ping().await, b"nonce 1");
    assert_eq!(server.frames().len(), 1, "the ping must not overtake the frame");
    assert_eq!(peer.text().await, "first");
    assert!(matches!(next(&mut connection).await, LinkEvent::Pong(nonce) if nonce == b"nonce 1"));
    assert_eq!(*connection.written.borrow(), 1);
}

#[tokio::test]
async fn the_servers_ping_is_answered_while_nobody_takes_the_events() {
    let (_server, mut connection, peer) = connect().await;
    // The channel is full to the last place, and nobody reads it.
    for n in 0..EVENTS {
        peer.send(&format!("{n}"));
    }
    peer.send_message(Message::Ping(b"still there?".to_vec().into()));
    assert_eq!(peer.ping().await, b"still there?");
    for n in 0..EVENTS {
        assert_eq!(next_text(&mut connection).await, n.to_string());
    }
}

#[tokio::test]
async fn when_nobody_takes_the_events_the_socket_is_not_read_and_nothing_is_lost() {
    let (_server, mut connection, peer) = connect().await;
    let text = "y".repeat(LIMIT - 10);
    for n in 0..2 * EVENTS {
        peer.send(&format!("{n:04} {text}"));
    }
    until("the channel to be full", || is_full_by_bytes(&connection).then_some(())).await;
    // Writing goes on and is told, and with each turn the pump could read if it would.
    for ticket in 1..=50 {
        write(&connection, ticket, "out").await;
        soon("the ticket", connection.written.wait_for(|told| *told == ticket)).await.unwrap();
        assert!(is_full_by_bytes(&connection), "{} events", connection.events.len());
    }
    for n in 0..2 * EVENTS {
        let got = next_text(&mut connection).await;
        assert_eq!(&got[..4], format!("{n:04}"));
    }
}

#[tokio::test]
async fn the_end_shows_while_nobody_takes_the_events() {
    let (_server, mut connection, peer) = connect().await;
    for n in 0..EVENTS {
        peer.send(&n.to_string());
    }
    peer.finish();
    // The last word waits for room; that there will be no more writing does not.
    let gone = soon("the lane of tickets to end", connection.written.changed()).await;
    assert!(gone.is_err());
    assert_eq!(connection.events.len(), EVENTS);
    assert_eq!(down(&mut connection).await, Failure::Lost { detail: String::new() });
}

#[tokio::test]
async fn bytes_that_are_no_whole_frame_yet_are_a_sign_of_life() {
    let (_server, mut connection, peer) = connect().await;
    peer.send_raw(frames::header(FIN | TEXT, 1000));
    let event = soon("a sign of life", connection.events.recv()).await;
    assert!(matches!(event, Some(LinkEvent::Heard)), "{event:?}");
    peer.send_raw(vec![b'z'; 1000]);
    assert_eq!(next_text(&mut connection).await.len(), 1000);
}

#[tokio::test]
async fn every_way_of_breaking_the_protocol_ends_the_connection_with_its_code() {
    let whole = |first: u8| frame(first, b"x");
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a reserved bit", whole(FIN | RSV1 | TEXT), 1002),
        ("a reserved opcode", whole(FIN | 0x3), 1002),
        ("a reserved control opcode", whole(FIN | 0xb), 1002),
        ("a masked frame", frames::masked(FIN | TEXT, b"x"), 1002),
        ("a continuation of nothing", whole(FIN | CONTINUATION), 1002),
        ("a new message within another", [whole(TEXT), whole(FIN | TEXT)].concat(), 1002),
        ("a fragmented ping", whole(PING), 1002),
        ("a long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("a close frame of one byte", frame(FIN | frames::CLOSE, &[3]), 1002),
        ("a close code that must not be sent", frames::close(1005, b""), 1002),
        ("a close reason that is no UTF-8", frames::close(1000, &[0xff]), 1007),
        ("a wrong header alone", frames::header(FIN | RSV1 | TEXT, 50_000), 1002),
        ("a mask alone", vec![FIN | TEXT, 0x80], 1002),
        ("a long ping's header alone", vec![FIN | PING, 126], 1002),
        (
            "endless empty fragments",
            [frame(TEXT, b""), frame(CONTINUATION, b"").repeat(1_000_000)].concat(),
            1009,
        ),
        ("bytes that are no frame", b"HTTP/1.1 400 Bad Request\r\n".repeat(9), 1002),
        ("text that is no UTF-8", frame(FIN | TEXT, &[0xff, 0xfe]), 1007),
        ("an overlong encoding", frame(FIN | TEXT, &[0xc0, 0xaf]), 1007),
        ("a surrogate", frame(FIN | TEXT, &[0xed, 0xa0, 0x80]), 1007),
        ("half a character", frame(FIN | TEXT, &[0xe2, 0x82]), 1007),
        (
            "bad UTF-8 over two frames",
            [frame(TEXT, &[0xe2]), frame(FIN | CONTINUATION, &[0x28, 0xa1])].concat(),
            1007,
        ),
        ("a message over the limit", frames::header(FIN | BINARY, LIMIT as u64 + 1), 1009),
        ("an absurd length", frames::header(FIN | BINARY, u64::MAX >> 1), 1009),
        ("an impossible length", frames::header(FIN | BINARY, u64::MAX), 1009),
        (
            "fragments over the limit",
            [frame(BINARY, &vec![0; LIMIT]), frame(FIN | CONTINUATION, b"x")].concat(),
            1009,
        ),
    ];
    for (name, bytes, code) in cases {
        let (_server, mut connection, mut peer) = connect().await;
        // What comes behind must not tear our close frame away.
        peer.send_raw([bytes, frame(FIN | TEXT, b"behind")].concat());
        let failure = down(&mut connection).await;
        match code {
            1002 => assert!(matches!(failure, Failure::Protocol { .. }), "{name}: {failure:?}"),
            1007 => assert_eq!(failure, Failure::InvalidUtf8, "{name}"),
            _ if name.contains("endless") => {
                assert!(matches!(failure, Failure::Protocol { .. }), "{name}: {failure:?}");
            }
            _ => assert_eq!(failure, Failure::TooLarge { limit: LIMIT as u64 }, "{name}"),
        }
        assert_eq!(peer.ended().await, Ended::Closed(Some(code)), "{name}");
    }
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_taken() {
    let (_server, mut connection, peer) = connect().await;
    peer.send_message(Message::binary(vec![7; LIMIT]));
    let LinkEvent::Frame(frame) = next(&mut connection).await else { panic!("a frame") };
    assert_eq!(frame.len(), LIMIT);
}

#[tokio::test]
async fn the_servers_close_is_told_with_its_code_and_reason_and_answered() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4000, 4401, 4999] {
        let (_server, mut connection, mut peer) = connect().await;
        peer.close(code, "bye\r\n\u{202e}bye");
        let wanted = Failure::Closed { code, reason: "bye bye".into(), ruled: None, repeated_policy: false };
        assert_eq!(down(&mut connection).await, wanted);
        assert_eq!(peer.ended().await, Ended::Closed(Some(code)));
    }
}

#[tokio::test]
async fn codes_that_must_not_be_on_the_wire_are_a_broken_protocol() {
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535] {
        let (_server, mut connection, mut peer) = connect().await;
        peer.send_raw(frames::close(code, b""));
        let failure = down(&mut connection).await;
        assert!(matches!(failure, Failure::Protocol { .. }), "{code}: {failure:?}");
        assert_eq!(peer.ended().await, Ended::Closed(Some(1002)));
    }
}

#[tokio::test]
async fn a_gateway_that_closes_with_its_own_code_is_quoted() {
    let (_server, mut connection, peer) = connect().await;
    peer.send_raw(frames::close(1014, b"bad gateway"));
    let failure = down(&mut connection).await;
    assert!(matches!(failure, Failure::Closed { code: 1014, .. }), "{failure:?}");
}

#[tokio::test]
async fn large_frames_fill_the_channel_by_their_bytes_and_all_come_through() {
    let (_server, mut connection, peer) = connect().await;
    for _ in 0..50 {
        peer.send(&"z".repeat(LIMIT));
    }
    until("the channel to be full", || is_full_by_bytes(&connection).then_some(())).await;
    for _ in 0..50 {
        assert!(connection.events.len() <= FULL + FEW, "{} events wait", connection.events.len());
        assert_eq!(next_text(&mut connection).await.len(), LIMIT);
    }
}

#[tokio::test]
async fn a_close_without_a_code_is_1005() {
    let (_server, mut connection, peer) = connect().await;
    peer.send_message(Message::Close(None));
    let wanted = Failure::Closed { code: 1005, reason: String::new(), ruled: None, repeated_policy: false };
    assert_eq!(down(&mut connection).await, wanted);
}

#[tokio::test]
async fn p12_a_close_reason_that_repeats_the_credential_is_told_without_it() {
    let (_server, mut connection, peer) = connect().await;
    peer.close(4401, "token HLCANARY-0123456789 is not known");
    let Failure::Closed { reason, .. } = down(&mut connection).await else { panic!("a close") };
    assert_eq!(reason, "token *** is not known");
}

#[tokio::test]
async fn what_came_before_the_end_is_handed_over_before_it() {
    let (_server, mut connection, peer) = connect().await;
    peer.send("one");
    peer.send("two");
    peer.close(1001, "");
    assert_eq!(next_text(&mut connection).await, "one");
    assert_eq!(next_text(&mut connection).await, "two");
    assert!(matches!(down(&mut connection).await, Failure::Closed { code: 1001, .. }));
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_a_loss() {
    let (_server, mut connection, peer) = connect().await;
    peer.finish();
    assert_eq!(down(&mut connection).await, Failure::Lost { detail: String::new() });

    let (_server, mut connection, peer) = connect().await;
    peer.send_raw(frames::header(FIN | TEXT, 1000));
    peer.finish();
    assert_eq!(down(&mut connection).await, Failure::Lost { detail: String::new() });
}

#[tokio::test]
async fn a_reset_is_a_loss_with_the_words_of_the_system() {
    let (_server, mut connection, peer) = connect().await;
    peer.reset();
    let failure = down(&mut connection).await;
    assert!(matches!(&failure, Failure::Lost { detail } if detail.contains("reset")), "{failure:?}");
}

#[tokio::test]
async fn a_flood_of_control_frames_ends_the_connection() {
    for kind in [PING, PONG] {
        let (_server, mut connection, mut peer) = connect().await;
        peer.send_raw(frame(FIN | kind, b"!").repeat(1000));
        let failure = down(&mut connection).await;
        assert!(matches!(failure, Failure::Protocol { .. }), "{failure:?}");
        assert_eq!(peer.ended().await, Ended::Closed(Some(1008)));
    }
}

#[tokio::test]
async fn hanging_up_writes_what_is_queued_says_goodbye_and_ends_with_the_given_failure() {
    let (_server, mut connection, mut peer) = connect().await;
    write(&connection, 1, "last words").await;
    let failure = Failure::HeartbeatTimeout { silence: Duration::from_secs(30) };
    connection.commands.send(LinkCommand::Close { code: 1001, failure: failure.clone() }).await.unwrap();
    assert_eq!(peer.text().await, "last words");
    assert_eq!(peer.ended().await, Ended::Closed(Some(1001)));
    assert_eq!(*connection.written.borrow(), 1);
    assert_eq!(down(&mut connection).await, failure);
}

#[tokio::test]
async fn hanging_up_on_a_server_that_does_not_answer_ends_all_the_same() {
    let (_server, mut connection, peer) = connect().await;
    peer.go_silent();
    let failure = Failure::StoreStalled { after: Duration::from_secs(60) };
    connection.commands.send(LinkCommand::Close { code: 1001, failure: failure.clone() }).await.unwrap();
    assert_eq!(down(&mut connection).await, failure);
}

#[tokio::test]
async fn hanging_up_works_while_the_server_reads_nothing() {
    let (_server, mut connection, peer) = connect().await;
    peer.go_silent();
    for ticket in 1..=32 {
        write(&connection, ticket, &"x".repeat(1 << 20)).await;
    }
    let failure = Failure::HeartbeatTimeout { silence: Duration::from_secs(30) };
    connection.commands.send(LinkCommand::Close { code: 1001, failure: failure.clone() }).await.unwrap();
    assert_eq!(down(&mut connection).await, failure);
}

#[tokio::test]
async fn a_dropped_connection_ends_at_once_even_while_it_writes() {
    let (_server, connection, mut peer) = connect().await;
    peer.go_silent();
    // As many as wait for the socket, and as many as wait for them.
    for ticket in 0..(2 * COMMANDS as u64) {
        let frame = Frame::Text("x".repeat(1 << 18));
        let sent = connection.commands.try_send(LinkCommand::Write { ticket, frame });
        if sent.is_err() {
            tokio::task::yield_now().await;
        }
    }
    drop(connection);
    peer.wake_up();
    assert_eq!(peer.ended().await, Ended::Lost);
}
