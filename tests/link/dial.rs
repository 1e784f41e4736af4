use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdline::link::{Auth, Connection, Dialer, LinkEvent, Plan, Settings, Target};
use holdline::model::{ConnectFault, CredentialFault, Failure, Secret};
use tokio::net::{TcpListener, TcpSocket};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::server::{Request, ScriptedServer, Upgrade};
use crate::support::{soon, until};

const TOKEN: &str = "HLCANARY-0123456789.abcdefghijklmnop";

fn settings(url: &str) -> Settings {
    Settings { connect_timeout: Duration::from_secs(5), ..Settings::to(Target::parse(url).unwrap()) }
}

async fn dial(settings: Settings, auth: Auth, plan: Plan) -> Result<Connection, Failure> {
    let dialer = Dialer::new(settings, auth).unwrap();
    soon("the dial to end", dialer.dial(plan, Some(&Secret::new(TOKEN)))).await
}

async fn dial_plainly(url: &str) -> Result<Connection, Failure> {
    dial(settings(url), Auth::None, Plan::default()).await
}

async fn failure_of(answer: Upgrade) -> Failure {
    let server = ScriptedServer::builder().answer(move |_, _| answer.clone()).start().await;
    dial_plainly(&server.url()).await.expect_err("the upgrade must not succeed")
}

fn header(name: &str) -> Auth {
    Auth::Header { name: name.into(), prefix: "Bearer ".into() }
}

/// The answer a proper server gives, with lines replaced or added by the test.
fn proper_answer(request: &Request, lines: &[&str]) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        request.accept_key()
    );
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    format!("{text}\r\n").into_bytes()
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_as_such() {
    let settings = Settings { allow_plaintext: true, ..settings("ws://nonexistent.invalid/") };
    let failure = dial(settings, Auth::None, Plan::default()).await.unwrap_err();
    // Without a resolver, or without a network, the machine cannot know.
    let fine = matches!(&failure, Failure::NameNotFound { host } | Failure::NameLookup { host, .. } if host == "nonexistent.invalid")
        || matches!(&failure, Failure::Connect { fault: ConnectFault::NoNetwork, .. });
    assert!(fine, "{failure:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = dial_plainly(&format!("ws://{address}/")).await.unwrap_err();
    assert_eq!(failure, Failure::Connect { target: address.to_string(), fault: ConnectFault::Refused });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_that_does_not_answer_times_out_while_connecting() {
    // A full backlog drops what comes next, as a firewall would.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        held.push(connected.unwrap());
    }
    let settings =
        Settings { connect_timeout: Duration::from_secs(1), ..settings(&format!("ws://{address}/")) };
    let failure = dial(settings, Auth::None, Plan::default()).await.unwrap_err();
    assert_eq!(failure, Failure::Connect { target: address.to_string(), fault: ConnectFault::Timeout });
}

#[tokio::test]
async fn a_server_that_never_answers_the_upgrade_times_out_there() {
    let server = ScriptedServer::builder().answer(|_, _| Upgrade::Silence).start().await;
    let after = Duration::from_secs(1);
    let settings = Settings { connect_timeout: after, ..settings(&server.url()) };
    let failure = dial(settings, Auth::None, Plan::default()).await.unwrap_err();
    assert_eq!(failure, Failure::HandshakeTimeout { after });
}

#[tokio::test]
async fn a_status_other_than_101_is_told_with_the_words_of_the_server() {
    for status in [200, 400, 401, 403, 404, 426, 429, 500, 501, 502, 503] {
        let failure = failure_of(Upgrade::refuse(status, &[], "no\r\n\u{1b}[31mway")).await;
        let wanted = Failure::Refused { status, retry_after: None, detail: "no [31mway".into(), ruled: None };
        assert_eq!(failure, wanted);
    }
}

#[tokio::test]
async fn a_page_instead_of_an_answer_is_told_by_its_status_text() {
    let failure = failure_of(Upgrade::refuse(502, &[], "<!DOCTYPE html><html>proxy page</html>")).await;
    let Failure::Refused { detail, .. } = failure else { panic!("{failure:?}") };
    assert_eq!(detail, "Words of 502");
}

#[tokio::test]
async fn a_chunked_refusal_is_quoted_without_its_framing() {
    let answer = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nno entry\r\n0\r\n\r\n";
    let failure = failure_of(Upgrade::Bytes(answer.into())).await;
    let Failure::Refused { status: 403, detail, .. } = failure else { panic!("{failure:?}") };
    assert_eq!(detail, "no entry");
}

#[tokio::test]
async fn retry_after_is_taken_over_within_its_limits() {
    for (text, wanted) in [
        ("30", Some(30)),
        ("0", Some(1)),
        ("-1", Some(1)),
        ("86400", Some(3600)),
        ("Fri, 01 Jan 2100 00:00:00 GMT", Some(3600)),
        ("Sat, 01 Jan 2000 00:00:00 GMT", Some(1)),
        ("later", None),
    ] {
        let failure = failure_of(Upgrade::refuse(503, &[("retry-after", text)], "")).await;
        let Failure::Refused { retry_after, .. } = failure else { panic!("{failure:?}") };
        assert_eq!(retry_after, wanted.map(Duration::from_secs), "{text}");
    }
}

#[tokio::test]
async fn a_retry_after_that_is_a_date_is_meant_on_the_servers_own_clock() {
    // The server's clock stands in 1994, or ours is that far ahead.
    let headers =
        [("date", "Sun, 06 Nov 1994 08:49:00 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:51:00 GMT")];
    let failure = failure_of(Upgrade::refuse(429, &headers, "")).await;
    let Failure::Refused { retry_after, .. } = failure else { panic!("{failure:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(120)));
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("ws://{}/elsewhere?token=1", canary.local_addr().unwrap());
    for status in [301, 302, 303, 307, 308] {
        let place = place.clone();
        let server = ScriptedServer::builder()
            .answer(move |_, _| Upgrade::refuse(status, &[("Location", &place)], "moved"))
            .start()
            .await;
        let auth = header("Authorization");
        let failure = dial(settings(&server.url()), auth, Plan::default()).await.unwrap_err();
        let Failure::Refused { status: told, detail, .. } = failure else { panic!("{failure:?}") };
        assert_eq!(told, status);
        assert!(detail.ends_with("/elsewhere"), "the place without its query: {detail}");
    }
    let came = tokio::time::timeout(Duration::from_millis(50), canary.accept()).await;
    assert!(came.is_err(), "somebody followed a redirect");
}

#[tokio::test]
async fn an_answer_that_breaks_the_handshake_is_no_connection() {
    type Answer = Box<dyn Fn(&Request) -> Vec<u8> + Send + Sync>;
    let cases: Vec<(&str, Answer)> = vec![
        (
            "accept key",
            Box::new(|request| {
                let right = request.accept_key();
                String::from_utf8(proper_answer(request, &[]))
                    .unwrap()
                    .replace(&right, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
                    .into()
            }),
        ),
        (
            "no accept key",
            Box::new(|_| b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec()),
        ),
        (
            "no upgrade",
            Box::new(|request| {
                String::from_utf8(proper_answer(request, &[]))
                    .unwrap()
                    .replace("Upgrade: websocket\r\n", "")
                    .into()
            }),
        ),
        (
            "no connection",
            Box::new(|request| {
                String::from_utf8(proper_answer(request, &[]))
                    .unwrap()
                    .replace("Connection: Upgrade\r\n", "")
                    .into()
            }),
        ),
        (
            "extension",
            Box::new(|request| proper_answer(request, &["Sec-WebSocket-Extensions: permessage-deflate"])),
        ),
        ("sub-protocol", Box::new(|request| proper_answer(request, &["Sec-WebSocket-Protocol: unasked"]))),
        (
            "two sub-protocols",
            Box::new(|request| {
                proper_answer(request, &["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"])
            }),
        ),
        ("no HTTP", Box::new(|_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("HTTP/2", Box::new(|_| b"HTTP/2 101 X\r\n\r\n".to_vec())),
        ("broken head", Box::new(|_| b"HTTP/1.1 abc\r\n\r\n".to_vec())),
        ("half a head", Box::new(|_| b"HTTP/1.1 101 Swi".to_vec())),
        ("nothing", Box::new(|_| Vec::new())),
        (
            "huge head",
            Box::new(|_| {
                let mut bytes = b"HTTP/1.1 101 X\r\n".to_vec();
                bytes.extend(
                    b"X-Filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"
                        .repeat(2000),
                );
                bytes
            }),
        ),
        ("too many headers", Box::new(|request| proper_answer(request, &vec!["X-A: b"; 500]))),
    ];
    for (name, answer) in cases {
        let server =
            ScriptedServer::builder().answer(move |_, request| Upgrade::Bytes(answer(request))).start().await;
        let settings = Settings { subprotocols: vec!["a".into(), "b".into()], ..settings(&server.url()) };
        let failure = dial(settings, Auth::None, Plan::default()).await.expect_err(name);
        // That there was no answer at all says something else to a person.
        let told = match name {
            "nothing" => matches!(failure, Failure::Unanswered { .. }),
            _ => matches!(failure, Failure::Handshake { .. }),
        };
        assert!(told, "{name}: {failure:?}");
    }
}

#[tokio::test]
async fn a_server_may_pick_one_of_the_offered_sub_protocols_or_none() {
    for choice in [Some("v2".to_owned()), None] {
        let answer = Upgrade::Accept(choice.clone());
        let server = ScriptedServer::builder().answer(move |_, _| answer.clone()).start().await;
        let settings = Settings { subprotocols: vec!["v1".into()], ..settings(&server.url()) };
        let plan = Plan { subprotocols: vec!["v2".into()], ..Plan::default() };
        let connection = dial(settings, Auth::None, plan).await.unwrap();
        assert_eq!(connection.subprotocol, choice);
        assert_eq!(server.requests()[0].header("Sec-WebSocket-Protocol"), ["v2, v1"]);
    }
}

#[tokio::test]
async fn frames_that_come_with_the_answer_are_not_lost() {
    let server = ScriptedServer::builder()
        .answer(|_, request| {
            let mut bytes = proper_answer(request, &[]);
            bytes.extend(crate::support::frames::frame(0x81, b"early"));
            Upgrade::AcceptBy(bytes)
        })
        .start()
        .await;
    let mut connection = dial_plainly(&server.url()).await.unwrap();
    let event = soon("the first frame", connection.events.recv()).await;
    assert!(matches!(event, Some(LinkEvent::Frame(holdline::model::Frame::Text(text))) if text == "early"));
}

#[tokio::test]
async fn the_request_carries_path_query_headers_and_the_credential() {
    let server = ScriptedServer::start().await;
    let settings = Settings {
        headers: vec![("X-App".into(), Secret::new("dashboard"))],
        ..settings(&format!("{}?v=1", server.url()))
    };
    let plan = Plan {
        query: vec![("since".into(), "a b".into())],
        headers: vec![("X-Cursor".into(), "7".into())],
        subprotocols: Vec::new(),
    };
    let _connection = dial(settings, header("Authorization"), plan).await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(request.path, "/socket?v=1&since=a%20b");
    assert_eq!(request.header("Host"), [server.address().to_string()]);
    assert_eq!(request.header("X-App"), ["dashboard"]);
    assert_eq!(request.header("X-Cursor"), ["7"]);
    assert_eq!(request.header("Authorization"), [format!("Bearer {TOKEN}")]);
    assert!(request.header("Sec-WebSocket-Extensions").is_empty());
    assert!(request.header("Sec-WebSocket-Protocol").is_empty());
}

#[tokio::test]
async fn a_credential_that_would_add_a_header_is_not_sent() {
    let server = ScriptedServer::start().await;
    let dialer = Dialer::new(settings(&server.url()), header("X-Key")).unwrap();
    let failure = dialer.dial(Plan::default(), Some(&Secret::new("abc\r\nX-Admin: yes"))).await.unwrap_err();
    let Failure::NoCredential(CredentialFault { text, .. }) = failure else { panic!("{failure:?}") };
    assert!(text.contains("X-Key") && !text.contains("abc"), "{text}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn p12_the_credential_is_in_no_error_whatever_the_server_repeats() {
    let auths = [
        Auth::Query { name: "token".into() },
        header("Authorization"),
        Auth::Basic { username: "me".into() },
        Auth::Cookie { name: "sid".into() },
        Auth::Subprotocol { name: "bearer.{token}".into() },
    ];
    for auth in auths {
        // The whole request comes back: in the body, in the status text, as a redirect.
        for status in [302, 400, 401] {
            let server = ScriptedServer::builder()
                .answer(move |_, request| {
                    let all = format!("{} {:?}", request.path, request.headers);
                    let said = &all[all.find("HLCANARY").unwrap_or(0)..];
                    Upgrade::refuse(status, &[("Location", &request.path)], said)
                })
                .start()
                .await;
            let failure = dial(settings(&server.url()), auth.clone(), Plan::default()).await.unwrap_err();
            let shown = format!("{failure} {failure:?} {}", failure.hint());
            assert!(!shown.contains("HLCANARY") && !shown.contains("0123456789"), "{auth:?}: {shown}");
            let basic = "bWU6SExDQU5BUlk";
            assert!(!shown.contains(basic), "{auth:?}: {shown}");
        }
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn p12_dialling_logs_no_credential_at_any_level() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::trace!("the log works");
    let server = ScriptedServer::start().await;
    for auth in [Auth::Query { name: "token".into() }, header("Authorization")] {
        let connection = dial(settings(&server.url()), auth, Plan::default()).await;
        connection.unwrap();
    }
    let dialer = Dialer::new(settings(&server.url()), header("Authorization")).unwrap();
    tracing::trace!(?dialer, "shown");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log works"));
    assert!(!log.contains("HLCANARY"), "{log}");
}

#[tokio::test]
async fn a_dial_that_is_given_up_hangs_up() {
    let server = ScriptedServer::builder().answer(|_, _| Upgrade::Silence).start().await;
    let url = server.url();
    let dialling = tokio::spawn(async move { dial_plainly(&url).await.map(drop) });
    until("the request to arrive", || (!server.requests().is_empty()).then_some(())).await;
    dialling.abort();
    assert!(dialling.await.unwrap_err().is_cancelled());
}
