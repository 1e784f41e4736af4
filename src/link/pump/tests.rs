use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::link::stream::Counted;

/// A pump with short patience, and the bare socket it talks to.
async fn pump(patience: Patience) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let upgraded = Upgraded { subprotocol: None, rest: Vec::new() };
    let stream = ServerStream::Plain(Counted::new(ours));
    let connection = start(stream, upgraded, 1 << 20, Quoter::default(), patience, Clock::start()).await;
    (connection, theirs)
}

/// More in one frame than the kernel's buffers hold for a server that reads little.
const FLOOD: usize = 12 << 20;

async fn flood(connection: &Connection) {
    let frame = Frame::Binary(vec![0; FLOOD]);
    connection.commands.send(LinkCommand::Write { ticket: 1, frame }).await.unwrap();
}

#[tokio::test]
async fn a_server_that_reads_nothing_for_long_is_given_up() {
    let write = Duration::from_millis(200);
    let (mut connection, _theirs) = pump(Patience { write, ..Patience::default() }).await;
    flood(&connection).await;
    let mut last = None;
    while let Some(event) = timeout(Duration::from_secs(20), connection.events.recv()).await.unwrap() {
        last = Some(event);
    }
    assert!(
        matches!(last, Some(LinkEvent::Down(Failure::WriteStalled { after })) if after == write),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_server_that_reads_slowly_is_not_given_up() {
    let write = Duration::from_millis(1500);
    let (mut connection, mut theirs) = pump(Patience { write, ..Patience::default() }).await;
    flood(&connection).await;
    // In steps that each take far less than the patience, and all together more.
    let reading = async {
        let mut step = vec![0; 1 << 19];
        for _ in 0..FLOOD / step.len() {
            theirs.read_exact(&mut step).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // The header is still in there.
        let _ = theirs.read(&mut step).await;
    };
    let written = async { connection.written.wait_for(|ticket| *ticket == 1).await.is_ok() };
    let both = async { tokio::join!(reading, written) };
    let (_, written) = timeout(Duration::from_secs(120), both).await.unwrap();
    assert!(written);
}

#[tokio::test]
async fn waiting_for_the_other_sides_close_has_an_end() {
    let close = Duration::from_millis(50);
    let (mut connection, _theirs) = pump(Patience { close, ..Patience::default() }).await;
    let failure = Failure::HeartbeatTimeout { silence: Duration::from_secs(1) };
    connection.commands.send(LinkCommand::Close { code: 1001, failure: failure.clone() }).await.unwrap();
    let event = timeout(Duration::from_secs(20), connection.events.recv()).await.unwrap();
    assert!(matches!(event, Some(LinkEvent::Down(told)) if told == failure));
}

#[tokio::test]
async fn signs_of_life_are_told_at_most_once_a_second() {
    let (mut connection, mut theirs) = pump(Patience::default()).await;
    // A frame that drips, byte by byte, each its own packet, and is whole at the end.
    theirs.set_nodelay(true).unwrap();
    theirs.write_all(&[0x81, 60]).await.unwrap();
    for _ in 0..60 {
        theirs.write_all(b"a").await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut heard = 0;
    loop {
        match timeout(Duration::from_secs(20), connection.events.recv()).await.unwrap() {
            Some(LinkEvent::Heard) => heard += 1,
            Some(LinkEvent::Frame(Frame::Text(text))) => break assert_eq!(text.len(), 60),
            other => panic!("{other:?}"),
        }
    }
    assert!(heard <= 2, "told {heard} times");
}

#[tokio::test]
async fn dropping_the_connection_closes_the_socket() {
    let (connection, mut theirs) = pump(Patience::default()).await;
    drop(connection);
    let end = timeout(Duration::from_secs(20), theirs.read(&mut [0])).await.unwrap();
    assert_eq!(end.unwrap(), 0);
}
