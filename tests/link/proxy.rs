use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdline::link::{Auth, Connection, Dialer, Plan, Settings, SetupError, Target};
use holdline::model::{ConnectFault, Failure, Proxy, ProxyFault, ProxyKind, ProxySignIn, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::server::ScriptedServer;
use crate::support::soon;

const TOKEN: &str = "HLCANARY-token";
const PASSWORD: &str = "HLCANARY pass/word";

/// A step of a conversation as the proxy holds it.
#[derive(Clone)]
enum Step {
    /// Reads so many bytes.
    Read(usize),
    /// Reads the head of a request.
    ReadHead,
    /// Writes this.
    Write(Vec<u8>),
    /// Writes this for ever, as fast as it is taken.
    Flood(&'static [u8]),
    /// Writes a byte at a time, with this pause.
    Drip(&'static [u8], Duration),
    /// Connects through to this server.
    Through(std::net::SocketAddr),
    /// Says nothing more until the other side hangs up.
    Hang,
}

/// A proxy that holds each conversation in these steps. What it was told is kept.
struct ScriptedProxy {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl ScriptedProxy {
    async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(converse(tcp, steps.clone(), Arc::clone(&kept)));
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }

    fn proxy(&self, kind: ProxyKind, sign_in: bool) -> Proxy {
        let sign_in =
            sign_in.then(|| ProxySignIn { user: Secret::new("kim"), password: Secret::new(PASSWORD) });
        Proxy { kind, host: "127.0.0.1".into(), port: self.port, sign_in }
    }
}

async fn converse(mut tcp: TcpStream, steps: Vec<Step>, heard: Arc<Mutex<Vec<u8>>>) -> Option<()> {
    let hear = |bytes: &[u8]| heard.lock().unwrap().extend_from_slice(bytes);
    for step in steps {
        match step {
            Step::Read(count) => {
                let mut bytes = vec![0; count];
                tcp.read_exact(&mut bytes).await.ok()?;
                hear(&bytes);
            }
            Step::ReadHead => {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tcp.read_u8().await.ok()?);
                }
                hear(&head);
            }
            Step::Write(bytes) => tcp.write_all(&bytes).await.ok()?,
            Step::Flood(bytes) => loop {
                tcp.write_all(bytes).await.ok()?;
            },
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    tcp.write_u8(*byte).await.ok()?;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Through(server) => {
                let mut server = TcpStream::connect(server).await.ok()?;
                copy_bidirectional(&mut tcp, &mut server).await.ok()?;
            }
            Step::Hang => drop(tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await),
        }
    }
    tcp.shutdown().await.ok()?;
    // Until the other side hangs up: closing first could tear the answer away.
    tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await.ok().map(drop)
}

fn settings(url: &str, proxy: Proxy, timeout: Duration) -> Settings {
    Settings {
        proxy: Some(proxy),
        connect_timeout: timeout,
        allow_plaintext: true,
        ..Settings::to(Target::parse(url).unwrap())
    }
}

async fn dial(settings: Settings) -> Result<Connection, Failure> {
    let dialer = Dialer::new(settings, Auth::Query { name: "token".into() }).unwrap();
    soon("the dial to end", dialer.dial(Plan::default(), Some(&Secret::new(TOKEN)))).await
}

/// What the proxy's failure is told as. It never tells what the proxy was shown.
async fn fault(url: &str, kind: ProxyKind, sign_in: bool, steps: Vec<Step>) -> ProxyFault {
    let scripted = ScriptedProxy::start(steps).await;
    let proxy = scripted.proxy(kind, sign_in);
    let failure = dial(settings(url, proxy.clone(), Duration::from_millis(1_500))).await.unwrap_err();
    let shown = format!("{failure} {failure:?} {}", failure.hint());
    assert!(!shown.contains("HLCANARY") && !shown.contains("a2lt"), "{shown}");
    assert!(failure.to_string().contains(&proxy.host_and_port()), "{failure}");
    assert!(!failure.hint().is_empty(), "{failure}");
    assert!(!String::from_utf8_lossy(&scripted.heard()).contains(TOKEN), "the token went to the proxy");
    let Failure::Proxy { fault, .. } = failure else { panic!("{failure:?}") };
    fault
}

const NOWHERE: &str = "ws://nobody.invalid:81/socket";

fn answer(text: &str) -> Vec<Step> {
    vec![Step::ReadHead, Step::Write(text.as_bytes().to_vec())]
}

#[tokio::test]
async fn connect_carries_the_servers_name_and_opens_the_way() {
    let server = ScriptedServer::start().await;
    let steps = vec![
        Step::ReadHead,
        Step::Write(b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n".to_vec()),
        Step::Through(server.address()),
    ];
    let scripted = ScriptedProxy::start(steps).await;
    for sign_in in [false, true] {
        scripted.heard.lock().unwrap().clear();
        let proxy = scripted.proxy(ProxyKind::Http, sign_in);
        dial(settings(NOWHERE, proxy, Duration::from_secs(10))).await.unwrap();
        let heard = String::from_utf8(scripted.heard()).unwrap();
        assert!(
            heard.starts_with("CONNECT nobody.invalid:81 HTTP/1.1\r\nHost: nobody.invalid:81\r\n"),
            "{heard}"
        );
        // The base64 of "kim:HLCANARY pass/word".
        let shown = heard.contains("Proxy-Authorization: Basic a2ltOkhMQ0FOQVJZIHBhc3Mvd29yZA==\r\n");
        assert_eq!(shown, sign_in, "{heard}");
        assert!(!heard.contains(TOKEN), "the token is for the server alone: {heard}");
    }
    let request = &server.requests()[0];
    assert_eq!(request.header("Host"), ["nobody.invalid:81"]);
    assert!(request.header("Proxy-Authorization").is_empty());
    assert!(request.path.contains(TOKEN));
}

#[tokio::test]
async fn each_answer_to_connect_has_its_meaning() {
    let reach = |detail: &str| ProxyFault::CannotReach { detail: detail.into(), retry_after: None };
    let page = "<html><head><title>403 Filtered</title></head><body>no</body></html>";
    let cases = [
        ("407 Proxy Authentication Required\r\n\r\n", false, ProxyFault::SignInWanted),
        ("407 Proxy Authentication Required\r\n\r\n", true, ProxyFault::SignInRefused),
        ("401 Unauthorized\r\n\r\n", true, ProxyFault::SignInRefused),
        (
            &format!("403 No\r\nContent-Length: {}\r\n\r\n{page}", page.len()),
            false,
            ProxyFault::Denied("HTTP 403 \"Filtered\"".into()),
        ),
        (
            "405 Method Not Allowed\r\n\r\n",
            false,
            ProxyFault::Denied("HTTP 405 \"Method Not Allowed\"".into()),
        ),
        ("502 Bad Gateway\r\n\r\n", false, reach("HTTP 502 \"Bad Gateway\"")),
        ("504 \r\n\r\n", false, reach("HTTP 504")),
        (
            "503 Busy\r\nRetry-After: 30\r\n\r\n",
            false,
            ProxyFault::CannotReach {
                detail: "HTTP 503 \"Busy\"".into(),
                retry_after: Some(Duration::from_secs(30)),
            },
        ),
        (
            "302 Found\r\nLocation: http://portal/\r\n\r\n",
            false,
            ProxyFault::Broken("HTTP 302 \"Found\"".into()),
        ),
        (
            "200 OK\r\n\r\n\x16\x03",
            false,
            ProxyFault::Broken("it sent more than the answer to CONNECT".into()),
        ),
        (
            "403 No\r\n\r\nkim HLCANARY pass/word a2ltOkhMQ0FOQVJZIHBhc3Mvd29yZA==",
            true,
            ProxyFault::Denied("HTTP 403 \"kim *** ***\"".into()),
        ),
    ];
    for (text, sign_in, wanted) in cases {
        let fault = fault(NOWHERE, ProxyKind::Http, sign_in, answer(&format!("HTTP/1.1 {text}"))).await;
        assert_eq!(fault, wanted, "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_ends_the_dial_within_its_bounds() {
    type Fits = fn(&ProxyFault) -> bool;
    let cases: Vec<(ProxyKind, Vec<Step>, Fits)> = vec![
        (ProxyKind::Http, vec![Step::Write(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())], |it| {
            matches!(it, ProxyFault::Broken(_))
        }),
        (ProxyKind::Http, vec![Step::ReadHead], |it| matches!(it, ProxyFault::Broken(_))),
        (ProxyKind::Http, vec![Step::ReadHead, Step::Write(b"HTTP/1.1 200".to_vec())], |it| {
            matches!(it, ProxyFault::Broken(_))
        }),
        (
            ProxyKind::Http,
            vec![
                Step::Write(b"HTTP/1.1 200 OK\r\n".to_vec()),
                Step::Flood(b"X-Filler: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
            ],
            |it| matches!(it, ProxyFault::Broken(why) if why.contains("65536")),
        ),
        (ProxyKind::Http, vec![Step::Hang], |it| matches!(it, ProxyFault::Silent { .. })),
        (
            ProxyKind::Http,
            vec![Step::Drip(
                b"HTTP/1.1 200 Connection established by drops\r\n\r\n",
                Duration::from_millis(100),
            )],
            |it| matches!(it, ProxyFault::Silent { .. }),
        ),
        (ProxyKind::Socks5, vec![Step::Hang], |it| matches!(it, ProxyFault::Silent { .. })),
        (ProxyKind::Socks5, vec![Step::Write(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())], |it| {
            matches!(it, ProxyFault::Broken(_))
        }),
        (
            ProxyKind::Socks5,
            vec![Step::Read(3)],
            |it| matches!(it, ProxyFault::Broken(why) if why.contains("hung up")),
        ),
        (ProxyKind::Socks5, vec![Step::Read(3), Step::Write(vec![5, 2])], |it| {
            matches!(it, ProxyFault::Broken(_))
        }),
        (ProxyKind::Socks5, vec![Step::Read(3), Step::Write(vec![5, 1])], |it| {
            matches!(it, ProxyFault::Broken(_))
        }),
        (
            ProxyKind::Socks5,
            vec![Step::Read(3), Step::Write(vec![5, 0]), Step::Read(21), Step::Write(vec![5, 0, 0, 9])],
            |it| matches!(it, ProxyFault::Broken(_)),
        ),
        (
            ProxyKind::Socks5,
            vec![
                Step::Read(3),
                Step::Write(vec![5, 0]),
                Step::Read(21),
                Step::Write(vec![5, 0, 0, 3, 255, 1]),
                Step::Hang,
            ],
            |it| matches!(it, ProxyFault::Silent { .. }),
        ),
    ];
    for (number, (kind, steps, fits)) in cases.into_iter().enumerate() {
        let fault = fault(NOWHERE, kind, false, steps).await;
        assert!(fits(&fault), "case {number}: {fault:?}");
    }
}

#[tokio::test]
async fn socks_carries_the_servers_name_and_opens_the_way() {
    let server = ScriptedServer::start().await;
    let bound: [&[u8]; 3] = [
        &[1, 127, 0, 0, 1, 0, 80],
        &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80],
        &[3, 2, b'a', b'b', 0, 80],
    ];
    for bound in bound {
        let request = 7 + "nobody.invalid".len();
        let mut reply = vec![5, 0, 0];
        reply.extend_from_slice(bound);
        let steps = vec![
            Step::Read(4),
            Step::Write(vec![5, 2]),
            Step::Read(3 + 3 + PASSWORD.len()),
            Step::Write(vec![1, 0]),
            Step::Read(request),
            Step::Write(reply),
            Step::Through(server.address()),
        ];
        let scripted = ScriptedProxy::start(steps).await;
        dial(settings(NOWHERE, scripted.proxy(ProxyKind::Socks5, true), Duration::from_secs(10)))
            .await
            .unwrap();
        let mut wanted = vec![5, 2, 0, 2, 1, 3];
        wanted.extend(b"kim");
        wanted.push(PASSWORD.len() as u8);
        wanted.extend(PASSWORD.as_bytes());
        wanted.extend([5, 1, 0, 3, 14]);
        wanted.extend(b"nobody.invalid\x00\x51");
        assert_eq!(scripted.heard(), wanted);
    }
}

#[tokio::test]
async fn socks_takes_an_address_as_an_address() {
    for (url, wanted) in [
        ("ws://192.0.2.7/", vec![1, 192, 0, 2, 7, 0, 80]),
        ("ws://[2001:db8::7]/", vec![4, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 80]),
    ] {
        let steps = vec![
            Step::Read(3),
            Step::Write(vec![5, 0]),
            Step::Read(3 + wanted.len()),
            Step::Write(vec![5, 5, 0, 1]),
        ];
        let scripted = ScriptedProxy::start(steps).await;
        dial(settings(url, scripted.proxy(ProxyKind::Socks5, false), Duration::from_secs(5)))
            .await
            .unwrap_err();
        assert_eq!(scripted.heard()[6..], wanted, "{url}");
    }
}

#[tokio::test]
async fn each_answer_of_socks_has_its_meaning() {
    for reply in 1..=9 {
        let steps = vec![
            Step::Read(3),
            Step::Write(vec![5, 0]),
            Step::Read(7 + "nobody.invalid".len()),
            Step::Write(vec![5, reply, 0, 1, 0, 0, 0, 0, 0, 0]),
        ];
        let fault = fault(NOWHERE, ProxyKind::Socks5, false, steps).await;
        let said = format!("SOCKS {reply}");
        let fits = match &fault {
            ProxyFault::CannotReach { detail, .. } => {
                [1, 3, 4, 5, 6].contains(&reply) && detail.contains(&said)
            }
            ProxyFault::Denied(detail) => [2, 7, 8].contains(&reply) && detail.contains(&said),
            ProxyFault::Broken(detail) => reply == 9 && detail.contains(&said),
            _ => false,
        };
        assert!(fits, "{reply}: {fault:?}");
    }
    let none_fits = || vec![Step::Read(3), Step::Write(vec![5, 255])];
    assert_eq!(fault(NOWHERE, ProxyKind::Socks5, false, none_fits()).await, ProxyFault::SignInWanted);
    let fault_of_method = fault(NOWHERE, ProxyKind::Socks5, true, none_fits()).await;
    assert!(matches!(fault_of_method, ProxyFault::Denied(_)), "{fault_of_method:?}");
    let refused =
        vec![Step::Read(4), Step::Write(vec![5, 2]), Step::Read(6 + PASSWORD.len()), Step::Write(vec![1, 1])];
    assert_eq!(fault(NOWHERE, ProxyKind::Socks5, true, refused).await, ProxyFault::SignInRefused);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_told_as_the_proxy() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = |host: &str, port| Proxy { kind: ProxyKind::Http, host: host.into(), port, sign_in: None };
    let failure =
        dial(settings(NOWHERE, proxy("127.0.0.1", free.port()), Duration::from_secs(5))).await.unwrap_err();
    let wanted =
        Failure::Proxy { proxy: free.to_string(), fault: ProxyFault::Connect(ConnectFault::Refused) };
    assert_eq!(failure, wanted);
    let failure =
        dial(settings(NOWHERE, proxy("proxy.invalid", 3128), Duration::from_secs(5))).await.unwrap_err();
    // Without a resolver, or without a network, the machine cannot know.
    let Failure::Proxy { proxy, fault } = failure else { panic!("{failure:?}") };
    assert_eq!(proxy, "proxy.invalid:3128");
    assert!(
        matches!(
            fault,
            ProxyFault::NameNotFound
                | ProxyFault::NameLookup(_)
                | ProxyFault::Connect(ConnectFault::NoNetwork)
        ),
        "{fault:?}"
    );
}

#[tokio::test]
async fn plain_text_goes_through_a_proxy_of_this_machine_only() {
    let proxy = |host: &str| Proxy { kind: ProxyKind::Socks5, host: host.into(), port: 1080, sign_in: None };
    let made = |url: &str, host: &str| {
        let settings =
            Settings { allow_plaintext: false, ..settings(url, proxy(host), Duration::from_secs(1)) };
        Dialer::new(settings, Auth::None).map(drop)
    };
    assert!(made("ws://localhost/", "localhost").is_ok());
    assert!(made("wss://example.com/", "proxy.example").is_ok());
    assert!(matches!(made("ws://localhost/", "proxy.example"), Err(SetupError::PlaintextProxy { .. })));
    assert!(matches!(made("ws://example.com/", "localhost"), Err(SetupError::Plaintext { .. })));
}
