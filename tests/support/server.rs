//! A WebSocket server that does as the test tells it, on a free port of this machine.
//!
//! ```ignore
//! let server = ScriptedServer::start().await;
//! let mut peer = server.accept().await;            // the client has dialled and is upgraded
//! assert_eq!(peer.text().await, r#"{"type":"x"}"#); // the next data frame
//! peer.send(r#"{"type":"ack"}"#).await;
//! peer.reset();                                     // the wire is cut
//! ```
//!
//! Each connection is served by a task of its own, which answers pings until it is told not to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::{soon, until};

/// Largest frame it takes: more than the kernel's buffers hold, so that a test can fill them.
const FRAME_MAX: usize = 64 << 20;

/// What a client asked with.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The accept key that answers its key.
    pub fn accept_key(&self) -> String {
        derive_accept_key(self.header("Sec-WebSocket-Key").first().copied().unwrap_or("").as_bytes())
    }
}

/// How an upgrade is answered.
#[derive(Debug, Clone)]
pub enum Upgrade {
    /// 101, with this sub-protocol.
    Accept(Option<String>),
    /// These bytes, whatever they are; then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes in place of the 101; then frames.
    AcceptBy(Vec<u8>),
    /// Never.
    Silence,
}

impl Upgrade {
    /// An HTTP answer other than 101.
    pub fn refuse(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut text = format!("HTTP/1.1 {status} Words of {status}\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        Self::Bytes(format!("{text}\r\n{body}").into_bytes())
    }
}

type Answer = dyn Fn(usize, &Request) -> Upgrade + Send + Sync;
type Reply = dyn Fn(usize, &Message) -> Vec<Message> + Send + Sync;

/// How a server is made.
pub struct Builder {
    tls: Option<TlsAcceptor>,
    answer: Arc<Answer>,
    reply: Arc<Reply>,
}

impl Builder {
    /// Speaks TLS.
    #[must_use]
    pub fn tls(mut self, acceptor: TlsAcceptor) -> Self {
        self.tls = Some(acceptor);
        self
    }

    /// Decides about each upgrade, given the number of the connection (from 1).
    #[must_use]
    pub fn answer(mut self, answer: impl Fn(usize, &Request) -> Upgrade + Send + Sync + 'static) -> Self {
        self.answer = Arc::new(answer);
        self
    }

    /// Replies to data frames by itself, beside what the test sends.
    #[must_use]
    pub fn reply(mut self, reply: impl Fn(usize, &Message) -> Vec<Message> + Send + Sync + 'static) -> Self {
        self.reply = Arc::new(reply);
        self
    }

    /// Listens.
    pub async fn start(self) -> ScriptedServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            tls: self.tls,
            answer: self.answer,
            reply: self.reply,
            arrivals,
            record: Mutex::default(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        ScriptedServer {
            address,
            shared,
            arrived: tokio::sync::Mutex::new(arrived),
            listening: Some(listening),
        }
    }
}

/// The server.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    arrived: tokio::sync::Mutex<mpsc::UnboundedReceiver<Peer>>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    tls: Option<TlsAcceptor>,
    answer: Arc<Answer>,
    reply: Arc<Reply>,
    arrivals: mpsc::UnboundedSender<Peer>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    connections: usize,
    requests: Vec<Request>,
    frames: Vec<(usize, Message)>,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }
}

impl ScriptedServer {
    /// One that accepts everything, in plain text.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// One that is told more first.
    pub fn builder() -> Builder {
        Builder {
            tls: None,
            answer: Arc::new(|_, _| Upgrade::Accept(None)),
            reply: Arc::new(|_, _| Vec::new()),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL by address (`localhost` with TLS, for the certificate's sake).
    pub fn url(&self) -> String {
        let port = self.address.port();
        if self.shared.tls.is_some() {
            format!("wss://localhost:{port}/socket")
        } else {
            format!("ws://127.0.0.1:{port}/socket")
        }
    }

    /// The next client that was upgraded.
    pub async fn accept(&self) -> Peer {
        soon("a client to connect", async { self.arrived.lock().await.recv().await.unwrap() }).await
    }

    /// TCP connections so far, upgraded or not.
    pub fn connections(&self) -> usize {
        self.shared.record().connections
    }

    /// Requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.record().requests.clone()
    }

    /// Data frames so far, with the number of their connection.
    pub fn frames(&self) -> Vec<(usize, Message)> {
        self.shared.record().frames.clone()
    }

    /// Waits until what was received gives something.
    pub async fn received<T>(&self, what: &str, mut look: impl FnMut(&[(usize, Message)]) -> Option<T>) -> T {
        until(what, || look(&self.shared.record().frames)).await
    }

    /// Refuses connections from now on; those that stand, stand.
    pub async fn stop_listening(&mut self) {
        if let Some(task) = self.listening.take() {
            task.abort();
            // The listener is gone once its task is.
            let _ = task.await;
        }
    }

    /// Listens again, on the same port.
    pub async fn listen_again(&mut self) {
        self.stop_listening().await;
        let listener = until("the port to be free again", || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(self.address).ok()?;
            socket.listen(128).ok()
        })
        .await;
        self.listening = Some(tokio::spawn(listen(listener, Arc::clone(&self.shared))));
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        if let Some(task) = &self.listening {
            task.abort();
        }
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        let number = {
            let mut record = shared.record();
            record.connections += 1;
            record.connections
        };
        tokio::spawn(welcome(tcp, number, Arc::clone(&shared)));
    }
}

async fn welcome(tcp: TcpStream, number: usize, shared: Arc<Shared>) -> Option<()> {
    let mut wire = match &shared.tls {
        None => Wire::Plain(tcp),
        Some(acceptor) => Wire::Tls(Box::new(acceptor.accept(tcp).await.ok()?)),
    };
    let request = read_request(&mut wire).await?;
    shared.record().requests.push(request.clone());
    match (shared.answer)(number, &request) {
        Upgrade::Accept(subprotocol) => {
            let mut head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n",
                request.accept_key()
            );
            if let Some(name) = subprotocol {
                head.push_str(&format!("Sec-WebSocket-Protocol: {name}\r\n"));
            }
            wire.write_all(format!("{head}\r\n").as_bytes()).await.ok()?;
        }
        Upgrade::AcceptBy(bytes) => wire.write_all(&bytes).await.ok()?,
        Upgrade::Bytes(bytes) => {
            wire.write_all(&bytes).await.ok()?;
            wire.shutdown().await.ok()?;
            // Until the client hangs up: closing first could tear the answer away.
            let _ = tokio::io::copy(&mut wire, &mut tokio::io::sink()).await;
            return None;
        }
        Upgrade::Silence => {
            let _ = tokio::io::copy(&mut wire, &mut tokio::io::sink()).await;
            return None;
        }
    }
    let config = WebSocketConfig::default().max_frame_size(Some(FRAME_MAX)).max_message_size(Some(FRAME_MAX));
    let socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
    let (orders, ordered) = mpsc::unbounded_channel();
    let (frames, received) = mpsc::unbounded_channel();
    let (ended, end) = oneshot::channel();
    let pings = Arc::new(Mutex::new(VecDeque::new()));
    let service =
        Service { number, socket, ordered, frames, pings: Arc::clone(&pings), shared: Arc::clone(&shared) };
    tokio::spawn(async move {
        let how = service.run().await;
        let _ = ended.send(how);
    });
    let peer = Peer { number, request, orders, received, end: Some(end), pings };
    shared.arrivals.send(peer).ok()
}

async fn read_request(wire: &mut Wire) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some(Request { path, headers })
}

/// How a client's connection ended, as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The client sent a close frame with this code (none: without a code).
    Closed(Option<u16>),
    /// The client hung up without one.
    Lost,
    /// The server did it.
    ByServer,
}

enum Order {
    Send(Message),
    Raw(Vec<u8>),
    Listen(bool),
    Reset,
    Finish,
}

/// One upgraded client. Dropped, the connection goes on being served.
pub struct Peer {
    /// Which connection of the server it is, from 1.
    pub number: usize,
    /// What it asked with.
    pub request: Request,
    orders: mpsc::UnboundedSender<Order>,
    received: mpsc::UnboundedReceiver<Message>,
    end: Option<oneshot::Receiver<Ended>>,
    pings: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Peer {
    /// The next data frame.
    pub async fn frame(&mut self) -> Message {
        soon("a frame from the client", self.received.recv()).await.expect("the client has hung up")
    }

    /// The next data frame, which must be text.
    pub async fn text(&mut self) -> String {
        match self.frame().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("text was expected, not {other:?}"),
        }
    }

    /// The payload of the next ping (or unasked pong) of the client.
    pub async fn ping(&self) -> Vec<u8> {
        until("a control frame from the client", || self.pings.lock().unwrap().pop_front()).await
    }

    /// Sends text.
    pub fn send(&self, text: &str) {
        self.order(Order::Send(Message::text(text)));
    }

    /// Sends any message.
    pub fn send_message(&self, message: Message) {
        self.order(Order::Send(message));
    }

    /// Writes bytes past the WebSocket.
    pub fn send_raw(&self, bytes: impl Into<Vec<u8>>) {
        self.order(Order::Raw(bytes.into()));
    }

    /// Sends a close frame.
    pub fn close(&self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.order(Order::Send(Message::Close(Some(frame))));
    }

    /// Reads nothing more, so answers no ping either.
    pub fn go_silent(&self) {
        self.order(Order::Listen(false));
    }

    /// Reads again.
    pub fn wake_up(&self) {
        self.order(Order::Listen(true));
    }

    /// Cuts the connection: the client sees a reset.
    pub fn reset(&self) {
        self.order(Order::Reset);
    }

    /// Ends the connection without a close frame: the client sees its end.
    pub fn finish(&self) {
        self.order(Order::Finish);
    }

    /// Waits for the end of the connection.
    pub async fn ended(&mut self) -> Ended {
        let end = self.end.take().expect("asked once only");
        soon("the connection to end", end).await.unwrap()
    }

    fn order(&self, order: Order) {
        // A connection that is over obeys no more.
        let _ = self.orders.send(order);
    }
}

struct Service {
    number: usize,
    socket: WebSocketStream<Wire>,
    ordered: mpsc::UnboundedReceiver<Order>,
    frames: mpsc::UnboundedSender<Message>,
    pings: Arc<Mutex<VecDeque<Vec<u8>>>>,
    shared: Arc<Shared>,
}

impl Service {
    async fn run(mut self) -> Ended {
        let mut listening = true;
        let mut obeying = true;
        loop {
            tokio::select! {
                order = self.ordered.recv(), if obeying => match order {
                    Some(Order::Send(message)) => {
                        // That the client has gone is seen by reading.
                        let _ = self.socket.send(message).await;
                    }
                    Some(Order::Raw(bytes)) => {
                        let wire = self.socket.get_mut();
                        let _ = wire.write_all(&bytes).await;
                        let _ = wire.flush().await;
                    }
                    Some(Order::Listen(on)) => listening = on,
                    Some(Order::Reset) => {
                        self.socket.get_ref().tcp().set_zero_linger().unwrap();
                        return Ended::ByServer;
                    }
                    Some(Order::Finish) => return Ended::ByServer,
                    None => obeying = false,
                },
                read = self.socket.next(), if listening => match read {
                    Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                        self.pings.lock().unwrap().push_back(payload.to_vec());
                    }
                    Some(Ok(Message::Close(frame))) => {
                        // The answer goes out with the flush.
                        let _ = self.socket.flush().await;
                        return Ended::Closed(frame.map(|frame| frame.code.into()));
                    }
                    Some(Ok(message)) => {
                        self.shared.record().frames.push((self.number, message.clone()));
                        for reply in (self.shared.reply)(self.number, &message) {
                            let _ = self.socket.send(reply).await;
                        }
                        let _ = self.frames.send(message);
                    }
                    Some(Err(_)) | None => return Ended::Lost,
                },
                // Silent, and nobody is left who could wake it.
                () = std::future::pending(), if !obeying && !listening => {}
            }
        }
    }
}

/// Plain or TLS.
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
