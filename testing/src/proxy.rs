//! A TCP proxy before a server that simulates network faults: it drops packets in one direction or both, delays them,
//! resets connections, and redirects to another server.
//!
//! Dropped data arrives later, when packets pass again, as TCP retransmits it. Until then connections stay open, new
//! ones seem to be accepted, and neither end notices that the other has left.

use std::net::{SocketAddr, TcpListener as Bound};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::process::{free_port, wait_for};

/// The fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// All packets pass.
    Pass,
    /// No packet passes.
    Drop,
    /// Packets to the server are dropped, its answers pass.
    DropToServer,
    /// Packets to the server pass, its answers are dropped.
    DropFromServer,
    /// Packets are delayed by this time.
    Delay(Duration),
    /// New connections are refused; open ones continue.
    Refuse,
}

/// The fault in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Passes(Duration),
    Held,
}

impl Traffic {
    fn to_server(self) -> Flow {
        match self {
            Self::Drop | Self::DropToServer => Flow::Held,
            Self::Pass | Self::DropFromServer | Self::Refuse => Flow::Passes(Duration::ZERO),
            Self::Delay(delay) => Flow::Passes(delay),
        }
    }

    fn of_server(self) -> Flow {
        match self {
            Self::Drop | Self::DropFromServer => Flow::Held,
            Self::Pass | Self::DropToServer | Self::Refuse => Flow::Passes(Duration::ZERO),
            Self::Delay(delay) => Flow::Passes(delay),
        }
    }
}

/// A proxy of a test. Dropping it ends its connections.
pub struct Proxy {
    port: u16,
    inside: Arc<Inside>,
    accepting: JoinHandle<()>,
}

struct Inside {
    traffic: watch::Sender<Traffic>,
    server: watch::Sender<u16>,
    listens: watch::Sender<bool>,
    reset: broadcast::Sender<()>,
    open: AtomicUsize,
    accepted: AtomicUsize,
}

impl Proxy {
    /// Starts one before the server that listens on this port.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn start(server: u16) -> Self {
        let port = free_port();
        let inside = Arc::new(Inside {
            traffic: watch::Sender::new(Traffic::Pass),
            server: watch::Sender::new(server),
            listens: watch::Sender::new(false),
            reset: broadcast::Sender::new(1),
            open: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        });
        let accepting = runtime().spawn(accept(port, Arc::clone(&inside)));
        let proxy = Self { port, inside, accepting };
        proxy.wait_until_it_listens(true);
        proxy
    }

    /// Returns the port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the fault.
    pub fn set(&self, traffic: Traffic) {
        self.inside.traffic.send_replace(traffic);
        self.wait_until_it_listens(traffic != Traffic::Refuse);
    }

    /// Sets the port of the server for new connections.
    pub fn lead_to(&self, server: u16) {
        self.inside.server.send_replace(server);
    }

    /// Resets every connection at both ends.
    pub fn reset(&self) {
        // Without connections there are no receivers.
        let _ = self.inside.reset.send(());
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inside.open.load(Ordering::SeqCst)
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.inside.accepted.load(Ordering::SeqCst)
    }

    fn wait_until_it_listens(&self, listens: bool) {
        wait_for("the proxy does as it is told", || *self.inside.listens.borrow() == listens);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

/// Outlives every test, so that none has to end it.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().thread_name("proxies").build().expect("there are threads")
    })
}

async fn accept(port: u16, inside: Arc<Inside>) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut traffic = inside.traffic.subscribe();
    loop {
        let bound = Bound::bind(address).expect("the port is free");
        bound.set_nonblocking(true).expect("a socket can be set up");
        let listener = TcpListener::from_std(bound).expect("the runtime takes it");
        inside.listens.send_replace(true);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        // Subscribed before it runs, so that it sees every later reset.
                        let reset = inside.reset.subscribe();
                        inside.accepted.fetch_add(1, Ordering::SeqCst);
                        tokio::spawn(connection(client, reset, Arc::clone(&inside)));
                    }
                }
                _ = traffic.wait_for(|traffic| *traffic == Traffic::Refuse) => break,
            }
        }
        drop(listener);
        inside.listens.send_replace(false);
        if traffic.wait_for(|traffic| *traffic != Traffic::Refuse).await.is_err() {
            return;
        }
    }
}

async fn connection(client: TcpStream, mut reset: broadcast::Receiver<()>, inside: Arc<Inside>) {
    inside.open.fetch_add(1, Ordering::SeqCst);
    tokio::select! {
        () = pass_on(client, &inside) => {}
        // The sockets close with unread data, which the other ends see as a reset.
        _ = reset.recv() => {}
    }
    inside.open.fetch_sub(1, Ordering::SeqCst);
}

async fn pass_on(client: TcpStream, inside: &Inside) {
    let (mut to_server, mut from_server) = (inside.traffic.subscribe(), inside.traffic.subscribe());
    if until_passing(&mut to_server, Traffic::to_server).await.is_none() {
        return;
    }
    let port = *inside.server.borrow();
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
        // The other ends see a reset, and no orderly end, if both are dropped at once.
        let _ = stream.set_zero_linger();
    }
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    // If either end closes, both directions end as soon as the other end can see it.
    tokio::select! {
        () = pump(client_reads, server_writes, (&mut to_server, Traffic::to_server)) => {}
        () = pump(server_reads, client_writes, (&mut from_server, Traffic::of_server)) => {}
    }
}

/// Tells the tasks of one direction what to do.
type Direction<'a> = (&'a mut watch::Receiver<Traffic>, fn(Traffic) -> Flow);

/// Forwards the data of one end, until it ends and the other end has seen it.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, (traffic, direction): Direction<'_>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        let Some(delay) = until_passing(traffic, direction).await else { return };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match read {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).await.is_ok() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Waits until packets pass in this direction, and returns their delay. `None` if the proxy is gone.
async fn until_passing(
    traffic: &mut watch::Receiver<Traffic>,
    direction: fn(Traffic) -> Flow,
) -> Option<Duration> {
    let now = traffic.wait_for(|traffic| direction(*traffic) != Flow::Held).await.ok()?;
    match direction(*now) {
        Flow::Passes(delay) => Some(delay),
        Flow::Held => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net;
    use std::thread;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);

    /// A server that echoes each byte.
    fn echo() -> u16 {
        let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
                });
            }
        });
        port
    }

    fn client(proxy: &Proxy) -> net::TcpStream {
        let stream = net::TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Sends a byte and returns whether it came back soon; an error means that the connection has ended.
    fn comes_back(stream: &mut net::TcpStream, byte: u8) -> std::io::Result<bool> {
        use std::io::ErrorKind::{TimedOut, WouldBlock};

        stream.write_all(&[byte])?;
        match stream.read_exact(&mut [0]) {
            Ok(()) => Ok(true),
            Err(error) if [WouldBlock, TimedOut].contains(&error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[test]
    fn what_is_dropped_comes_later_and_a_reset_ends_what_is_open() {
        let proxy = Proxy::start(echo());
        let mut old = client(&proxy);
        assert!(comes_back(&mut old, 1).unwrap());
        for cut in [Traffic::Drop, Traffic::DropToServer, Traffic::DropFromServer] {
            proxy.set(cut);
            assert!(!comes_back(&mut old, 2).unwrap(), "{cut:?}");
            let mut new = client(&proxy);
            assert!(!comes_back(&mut new, 3).unwrap(), "{cut:?}");
            proxy.set(Traffic::Pass);
            for stream in [&mut old, &mut new] {
                stream.read_exact(&mut [0]).unwrap();
                assert!(comes_back(stream, 4).unwrap(), "{cut:?}");
            }
        }
        proxy.reset();
        assert!(comes_back(&mut old, 5).is_err());
        assert!(comes_back(&mut client(&proxy), 6).unwrap());
    }

    #[test]
    fn it_refuses_new_connections_and_leads_them_to_another_server() {
        let proxy = Proxy::start(echo());
        let mut old = client(&proxy);
        assert!(comes_back(&mut old, 1).unwrap());
        proxy.set(Traffic::Refuse);
        assert!(net::TcpStream::connect(("127.0.0.1", proxy.port())).is_err());
        assert!(comes_back(&mut old, 2).unwrap());
        proxy.set(Traffic::Pass);
        proxy.lead_to(free_port());
        assert!(comes_back(&mut client(&proxy), 3).is_err(), "nobody is there");
        assert!(comes_back(&mut old, 4).unwrap(), "it leads where it led");
        assert_eq!((proxy.open(), proxy.accepted()), (1, 2));
    }
}
