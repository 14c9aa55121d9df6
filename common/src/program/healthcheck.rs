//! The health check of a container: the program asks its running instance.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Timeout of the answer.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Requests `path`, such as `/health/ready`, from the program that listens on `listen`.
///
/// # Errors
/// There is no answer, or its status is not 200.
pub async fn healthcheck(listen: SocketAddr, path: &str) -> io::Result<()> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        Ok::<_, io::Error>(reply)
    };
    let reply = tokio::time::timeout(TIME_LIMIT, ask).await??;
    if reply.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let said = reply.lines().last().filter(|line| !line.is_empty()).unwrap_or("nothing").to_owned();
    Err(io::Error::other(format!("{address} says: {said}")))
}
