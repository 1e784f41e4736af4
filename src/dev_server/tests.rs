//! The protocol as a plain client sees it.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Acks, Control, DevServer, Garbage, ORDER_WAY, Options, Scenario};
use crate::model::Secret;

const PATIENCE: Duration = Duration::from_secs(20);

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn dial(server: &DevServer, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{}{path}", server.addr()).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        let stream = TcpStream::connect(server.addr()).await?;
        Ok(Self(client_async(request, stream).await?.0))
    }

    async fn connect(server: &DevServer) -> Self {
        Self::dial(server, "/", &[]).await.expect("the upgrade succeeds")
    }

    async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("the server reads");
    }

    async fn next(&mut self) -> Result<Message, String> {
        match timeout(PATIENCE, self.0.next()).await {
            Ok(Some(Ok(message))) => Ok(message),
            Ok(Some(Err(error))) => Err(error.to_string()),
            Ok(None) => Err("the end".into()),
            Err(_) => panic!("the server is silent"),
        }
    }

    async fn hear(&mut self) -> Value {
        match self.next().await {
            Ok(Message::Text(text)) => serde_json::from_str(&text).expect("valid JSON"),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Everything up to the answer to a ping that is sent now: what is not in it did not come.
    async fn hear_all(&mut self) -> Vec<Value> {
        self.say(json!({"type":"ping"})).await;
        let mut heard = Vec::new();
        loop {
            let frame = self.hear().await;
            if frame["type"] == "pong" {
                return heard;
            }
            heard.push(frame);
        }
    }

    /// The close code, after whatever else still comes.
    async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    async fn resume(&mut self, since: Option<&str>) -> Value {
        self.say(json!({"type":"resume","since":since})).await;
        self.hear().await
    }
}

async fn server(options: Options) -> DevServer {
    DevServer::start(options).await.expect("a free port")
}

fn refused(outcome: Result<Client, Error>) -> Response<Option<Vec<u8>>> {
    match outcome {
        Err(Error::Http(response)) => *response,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the upgrade succeeded"),
    }
}

fn with_token() -> Options {
    Options { token: Some(Secret::new("sesame")), ..Options::default() }
}

#[tokio::test]
async fn the_right_token_is_accepted_as_a_message_and_a_wrong_one_ends_the_connection() {
    let server = server(with_token()).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"auth","token":"sesame"})).await;
    assert_eq!(client.hear().await, json!({"type":"auth_ok"}));

    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"auth","token":"wrong"})).await;
    let answer = client.hear().await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("auth_error"), &json!("bad_token")));
    assert_eq!(client.close_code().await, Some(1008));
    let stats = server.stats();
    assert_eq!((stats.sign_ins, stats.sign_ins_refused), (1, 1));
}

#[tokio::test]
async fn a_message_before_the_sign_in_is_refused_and_not_taken() {
    let server = server(with_token()).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"note","messageId":"1"})).await;
    assert_eq!(client.hear().await["code"], "auth_required");
    assert_eq!(client.close_code().await, Some(1008));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_token_shown_at_the_upgrade_signs_in_and_a_wrong_one_is_a_401() {
    let server = server(with_token()).await;
    let mut client = Client::dial(&server, "/?token=sesame", &[]).await.expect("signed in");
    client.say(json!({"type":"note","messageId":"1"})).await;
    assert_eq!(client.hear().await, json!({"type":"ack","messageId":"1"}));
    let answer = refused(Client::dial(&server, "/", &[("authorization", "Bearer wrong")]).await);
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn the_token_can_change_while_the_server_runs() {
    let server = server(with_token()).await;
    server.control(Control::Token { token: Some("new".into()) });
    assert_eq!(refused(Client::dial(&server, "/?token=sesame", &[]).await).status(), 401);
    assert!(Client::dial(&server, "/?token=new", &[]).await.is_ok());
}

#[tokio::test]
async fn a_message_is_acknowledged_by_id_and_a_numbered_one_by_number() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"note","messageId":"a","text":"hi"})).await;
    assert_eq!(client.hear().await, json!({"type":"ack","messageId":"a"}));
    for no in 1..=500 {
        client.say(json!({"type":"note","messageId":format!("m{no}"),"messageNo":no})).await;
    }
    let mut up_to = 0;
    while up_to < 500 {
        let ack = client.hear().await;
        let next = ack["upTo"].as_u64().expect("a cumulative ack");
        assert!(next > up_to, "acks only rise");
        up_to = next;
    }
    let received = server.received();
    assert_eq!(received.len(), 501);
    assert_eq!(received[0].data(), json!({"text":"hi"}));
    assert!((1..=500).all(|no| received[no].id == Some(format!("m{no}"))), "in order");
}

#[tokio::test]
async fn acks_can_be_single_only_or_left_out() {
    let single = server(Options { acks: Acks::Single, ..Options::default() }).await;
    let mut client = Client::connect(&single).await;
    client.say(json!({"type":"note","messageId":"a","messageNo":1})).await;
    assert_eq!(client.hear().await, json!({"type":"ack","messageId":"a"}));

    let none = server(Options { acks: Acks::None, ..Options::default() }).await;
    let mut client = Client::connect(&none).await;
    client.say(json!({"type":"note","messageId":"a"})).await;
    assert!(client.hear_all().await.is_empty());
    assert_eq!(none.stats().received, 1);
}

#[tokio::test]
async fn a_copy_is_acknowledged_again_and_acted_on_once() {
    let server = server(Options { scenario: Scenario::Echo, ..Options::default() }).await;
    let mut client = Client::connect(&server).await;
    for _ in 0..3 {
        client.say(json!({"type":"note","messageId":"a","n":1})).await;
    }
    let heard = client.hear_all().await;
    assert_eq!(heard.iter().filter(|frame| frame["type"] == "ack").count(), 3);
    assert_eq!(server.stats().events, 1, "one echo");
    assert_eq!(server.received()[0].copies, 3);
    assert_eq!(server.stats().repeated, 2);
}

#[tokio::test]
async fn an_echo_comes_back_as_an_event_and_a_raw_frame_as_it_was() {
    let server = server(Options { scenario: Scenario::Echo, acks: Acks::None, ..Options::default() }).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"note","messageId":"a","messageNo":1,"data":[1,{"x":null}]})).await;
    let event = client.hear().await;
    assert_eq!((&event["type"], &event["data"]), (&json!("note"), &json!([1,{"x":null}])));
    assert!(event["eventId"].is_string());
    for raw in [Message::text("hello"), Message::binary(vec![0, 255])] {
        client.0.send(raw.clone()).await.expect("the server reads");
        assert_eq!(client.next().await, Ok(raw));
    }
}

#[tokio::test]
async fn whoever_resumes_gets_exactly_what_was_missed_in_order() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    let start = client.resume(None).await;
    assert_eq!(start["type"], "resumed");
    let mut position = start["from"].as_str().expect("a position even before the first event").to_owned();
    drop(client);
    for round in 0..3 {
        for n in 0..300 {
            server.push("tick", &json!({"round":round,"n":n}));
        }
        let mut client = Client::connect(&server).await;
        assert_eq!(client.resume(Some(&position)).await, json!({"type":"resumed","from":position}));
        for n in 0..300 {
            let event = client.hear().await;
            assert_eq!(event["data"], json!({"round":round,"n":n}));
            position = event["eventId"].as_str().expect("an id").to_owned();
            client.say(json!({"type":"ack","eventId":position})).await;
        }
        assert!(client.hear_all().await.is_empty(), "nothing twice");
    }
    assert_eq!((server.stats().event_acks, server.stats().events_acked), (900, 900));
}

#[tokio::test]
async fn a_position_no_longer_kept_is_a_gap_and_what_is_kept_follows() {
    let server = server(Options { keep_events: 10, ..Options::default() }).await;
    let mut client = Client::connect(&server).await;
    let position = client.resume(None).await["from"].clone();
    drop(client);
    for n in 1..=30 {
        server.push("tick", &json!(n));
    }
    let mut client = Client::connect(&server).await;
    let gap = client.resume(position.as_str()).await;
    assert_eq!(gap["type"], "gap");
    let heard = client.hear_all().await;
    assert_eq!(
        heard.iter().map(|event| event["data"].as_i64().unwrap_or(0)).collect::<Vec<_>>(),
        (21..=30).collect::<Vec<_>>()
    );
    drop(client);
    let mut client = Client::connect(&server).await;
    assert_eq!(client.resume(gap["from"].as_str()).await["type"], "resumed", "the gap names a position");
    assert_eq!(client.hear_all().await, heard);
}

#[tokio::test]
async fn a_server_that_forgot_tells_a_gap() {
    let server = server(Options::default()).await;
    let position = server.push("tick", &json!(1));
    server.control(Control::Forget {});
    server.push("tick", &json!(2));
    let mut client = Client::connect(&server).await;
    assert_eq!(client.resume(Some(&position)).await["type"], "gap");
    assert_eq!(client.hear().await["data"], 2);
}

#[tokio::test]
async fn a_client_that_sends_no_resume_gets_the_events_since_it_came() {
    let server = server(Options::default()).await;
    server.push("tick", &json!("before"));
    let mut client = Client::connect(&server).await;
    server.until(PATIENCE, |stats| stats.connected == 1).await.expect("it is there");
    server.push("tick", &json!("after"));
    let event = client.hear().await;
    assert_eq!(event["data"], "after", "and no frame `resumed` before it");
}

#[tokio::test]
async fn events_wait_for_a_resume_that_is_about_to_come() {
    let server = server(Options::default()).await;
    let first = server.push("tick", &json!(1));
    let mut client = Client::connect(&server).await;
    server.until(PATIENCE, |stats| stats.connected == 1).await.expect("it is there");
    server.push("tick", &json!(2));
    assert_eq!(client.resume(Some(&first)).await["type"], "resumed");
    assert_eq!(client.hear().await["data"], 2);
    assert!(client.hear_all().await.is_empty());
}

#[tokio::test]
async fn a_client_that_fell_behind_what_is_kept_is_told() {
    let server = server(Options { keep_events: 5, ..Options::default() }).await;
    let mut client = Client::connect(&server).await;
    client.resume(None).await;
    server.control(Control::Silent { ms: None });
    for n in 1..=50 {
        server.push("tick", &json!(n));
    }
    server.control(Control::Speak {});
    assert_eq!(client.hear().await["type"], "gap");
    assert_eq!(client.hear().await["data"], 46);
}

#[tokio::test]
async fn ephemeral_events_have_no_id_and_are_not_replayed() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    let position = client.resume(None).await["from"].clone();
    server.push_ephemeral("typing", &json!({"user":"Mia"}));
    assert_eq!(client.hear().await, json!({"type":"typing","data":{"user":"Mia"}}));
    drop(client);
    let mut client = Client::connect(&server).await;
    assert_eq!(client.resume(position.as_str()).await["type"], "resumed");
    assert!(client.hear_all().await.is_empty());
}

#[tokio::test]
async fn what_was_known_is_still_known_after_the_server_was_down() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"note","messageId":"a"})).await;
    client.hear().await;
    server.go_down().await;
    assert!(client.next().await.is_err(), "cut");
    assert!(TcpStream::connect(server.addr()).await.is_err(), "nobody listens");
    server.come_back().await.expect("the port is still ours");
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"note","messageId":"a"})).await;
    assert_eq!(client.hear().await["type"], "ack");
    assert_eq!(server.received()[0].copies, 2);
}

#[tokio::test]
async fn a_rejected_message_is_answered_with_an_error_before_any_ack_that_covers_it() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    server.control(Control::Reject { times: 1, code: "full".into(), message: "no room".into() });
    for no in 1..=2 {
        client.say(json!({"type":"note","messageId":no.to_string(),"messageNo":no})).await;
    }
    let error = json!({"type":"error","messageId":"1","code":"full","message":"no room"});
    assert_eq!(client.hear().await, error);
    assert_eq!(client.hear().await, json!({"type":"ack","upTo":2}));
    assert_eq!(server.stats().received, 1);
}

#[tokio::test]
async fn a_message_whose_ack_is_withheld_is_not_covered_by_a_later_ack() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    server.control(Control::WithholdAcks { times: Some(1) });
    for no in 1..=2 {
        client.say(json!({"type":"note","messageId":no.to_string(),"messageNo":no})).await;
    }
    assert_eq!(client.hear().await, json!({"type":"ack","messageId":"2"}));
    assert_eq!(server.stats().received, 2);
}

#[tokio::test]
async fn delayed_answers_come_in_order() {
    let server = server(Options { faults: vec![Control::DelayAcks { ms: 400 }], ..Options::default() }).await;
    let mut client = Client::connect(&server).await;
    for id in ["1", "2", "3"] {
        client.say(json!({"type":"note","messageId":id})).await;
    }
    server.until(PATIENCE, |stats| stats.received == 3).await.expect("all came");
    server.control(Control::Clear {});
    client.say(json!({"type":"note","messageId":"4"})).await;
    for id in ["1", "2", "3", "4"] {
        assert_eq!(client.hear().await["messageId"], id);
    }
}

#[tokio::test]
async fn upgrades_are_refused_with_the_status_asked_for_so_many_times() {
    let server = server(Options::default()).await;
    server.control(Control::RefuseUpgrade { status: 429, retry_after: Some(7), times: 2 });
    for _ in 0..2 {
        let answer = refused(Client::dial(&server, "/", &[]).await);
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "7");
    }
    assert!(Client::dial(&server, "/", &[]).await.is_ok());
    assert_eq!(server.stats().upgrades_refused, 2);
}

#[tokio::test]
async fn a_control_frame_is_acknowledged_before_it_ends_the_connection_and_not_repeated() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    for (what, code) in [("close", Some(1012)), ("cut", None)] {
        let control = json!({"type":"dev.control","messageId":what,"messageNo":1,"do":what});
        client.say(control.clone()).await;
        assert_eq!(client.hear().await, json!({"type":"ack","upTo":1}));
        assert_eq!(client.close_code().await, code);
        client = Client::connect(&server).await;
        client.say(control).await;
        assert_eq!(client.hear().await["type"], "ack");
    }
    client.say(json!({"type":"note","messageId":"n"})).await;
    assert_eq!(client.hear().await["messageId"], "n", "still connected");
}

#[tokio::test]
async fn a_control_frame_that_means_nothing_is_an_error() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"dev.control","messageId":"c","do":"explode"})).await;
    let answer = client.hear().await;
    assert_eq!((&answer["code"], &answer["messageId"]), (&json!("bad_control"), &json!("c")));
}

#[tokio::test]
async fn events_are_pushed_by_a_control_frame() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"dev.control","do":"push","event":"tick","count":1000})).await;
    for n in 1..=1000 {
        let event = client.hear().await;
        assert_eq!((&event["type"], &event["data"]), (&json!("tick"), &json!({"n":n})));
    }
}

#[tokio::test]
async fn a_silent_server_answers_nothing_until_it_speaks_again() {
    let server = server(Options::default()).await;
    let mut client = Client::connect(&server).await;
    server.until(PATIENCE, |stats| stats.connected == 1).await.expect("it is there");
    server.control(Control::Silent { ms: None });
    client.say(json!({"type":"note","messageId":"a"})).await;
    client.0.send(Message::Ping("x".into())).await.expect("the socket takes it");
    let mut other = Client::connect(&server).await;
    other.say(json!({"type":"note","messageId":"b"})).await;
    assert_eq!(other.hear().await["messageId"], "b", "later connections are served");
    assert_eq!(server.stats().received, 1, "nothing was read from the first");
    server.control(Control::Speak {});
    let mut heard = [client.next().await, client.next().await];
    heard.sort_by_key(|message| matches!(message, Ok(Message::Text(_))));
    assert_eq!(heard[0], Ok(Message::Pong("x".into())));
    assert_eq!(heard[1], Ok(Message::text(r#"{"type":"ack","messageId":"a"}"#)));
}

#[tokio::test]
async fn garbage_is_what_it_says() {
    let server = server(Options::default()).await;
    for (what, telling) in [(Garbage::Utf8, "UTF-8"), (Garbage::Opcode, "opcode")] {
        let mut client = Client::connect(&server).await;
        client.say(json!({"type":"dev.control","do":"garbage","what":what})).await;
        let error = client.next().await.expect_err("no valid frame");
        assert!(error.to_lowercase().contains(&telling.to_lowercase()), "{what:?}: {error}");
    }
    let mut client = Client::connect(&server).await;
    for what in [Garbage::Json, Garbage::Deep, Garbage::UnknownType] {
        client.say(json!({"type":"dev.control","do":"garbage","what":what})).await;
        let Ok(Message::Text(text)) = client.next().await else { panic!("no text for {what:?}") };
        let parses = serde_json::from_str::<Value>(&text).is_ok();
        assert_eq!(parses, what == Garbage::UnknownType, "{what:?}");
    }
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_hold_up_another() {
    let server = server(Options::default()).await;
    let mut lazy = Client::connect(&server).await;
    lazy.resume(None).await;
    let mut eager = Client::connect(&server).await;
    eager.resume(None).await;
    let data = json!("x".repeat(1000));
    for _ in 0..20_000 {
        server.push("tick", &data);
    }
    for _ in 0..20_000 {
        assert_eq!(eager.hear().await["type"], "tick");
    }
}

#[tokio::test]
async fn orders_go_their_way() {
    let pace = Duration::from_millis(5);
    let server = server(Options { scenario: Scenario::Orders, pace, ..Options::default() }).await;
    let mut client = Client::connect(&server).await;
    client.resume(None).await;
    client.say(json!({"type":"place_order","messageId":"p","orderId":"mine"})).await;
    let mut way = Vec::new();
    for _ in 0..100 {
        let event = client.hear().await;
        if event["type"] == "order_status" && event["data"]["orderId"] == "mine" {
            way.push(event["data"]["status"].as_str().expect("a status").to_owned());
        }
        if way.len() == ORDER_WAY.len() {
            break;
        }
    }
    assert_eq!(way, ORDER_WAY);
}

#[tokio::test]
async fn somebody_types_and_then_answers_in_the_chat() {
    let pace = Duration::from_millis(5);
    let server = server(Options { scenario: Scenario::Chat, pace, ..Options::default() }).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type":"chat","messageId":"1","text":"hi"})).await;
    let mut types = Vec::new();
    while types.last().is_none_or(|last| last != "chat") {
        types.push(client.hear().await["type"].as_str().expect("a type").to_owned());
    }
    types.sort();
    assert_eq!(types, ["ack", "chat", "typing"]);
}

#[tokio::test]
async fn an_address_others_can_reach_has_to_be_allowed() {
    let listen = "0.0.0.0:0".parse().expect("an address");
    let refused = DevServer::start(Options { listen, ..Options::default() }).await;
    assert_eq!(refused.map(|_| ()).map_err(|e| e.kind()), Err(std::io::ErrorKind::PermissionDenied));
}

#[tokio::test]
async fn the_port_is_free_when_stop_returns() {
    let first = server(Options::default()).await;
    let listen = first.addr();
    let mut client = Client::connect(&first).await;
    first.stop().await;
    assert!(client.next().await.is_err());
    let again = DevServer::start(Options { listen, ..Options::default() }).await;
    assert!(again.is_ok());
}
