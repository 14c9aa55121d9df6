//! A connection to Redis that can be redirected, lose an answer, or become silent while it stays open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use testing::RedisServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

pub(super) struct Line {
    port: u16,
    state: Arc<State>,
    listening: AbortHandle,
}

#[derive(Default)]
struct State {
    leads_to: AtomicU16,
    /// Connections with smaller numbers than this are silent.
    silent_below: AtomicU64,
    made: AtomicU64,
    loses_answer: AtomicBool,
}

impl Line {
    pub(super) async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        state.leads_to.store(server.port(), Ordering::SeqCst);
        let listening = tokio::spawn(listen(listener, Arc::clone(&state))).abort_handle();
        Self { port, state, listening }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// New connections lead to another server; existing ones stay.
    pub(super) fn lead_to(&self, server: &RedisServer) {
        self.state.leads_to.store(server.port(), Ordering::SeqCst);
    }

    /// Existing connections become silent; they stay open.
    pub(super) fn fall_silent(&self) {
        self.state.silent_below.store(self.state.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// The next answer is lost with its connection.
    pub(super) fn lose_next_answer(&self) {
        self.state.loses_answer.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_lost_it(&self) -> bool {
        !self.state.loses_answer.load(Ordering::SeqCst)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let number = state.made.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let port = state.leads_to.load(Ordering::SeqCst);
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let is_silent = || number < state.silent_below.load(Ordering::SeqCst);
            let there = async {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    if !is_silent() && to_server.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
            };
            let back = async {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                    if state.loses_answer.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if !is_silent() && to_client.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! { () = there => {}, () = back => {} }
        });
    }
}
