//! Listens for connections over IPv4 and IPv6.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on an address. `[::]` takes connections of both protocols; on a host without IPv6, those of IPv4.
///
/// # Errors
/// The address is in use, or not this host's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_with(address, open)
}

fn listen_with<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match open(address) {
        Err(error) if is_any_of_ipv6(address) && is_for_want_of_ipv6(&error) => {
            tracing::debug!(%error, "this host has no IPv6");
            open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        opened => opened,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if is_any_of_ipv6(address) {
        // Some hosts have another default.
        socket.set_only_v6(false)?;
    }
    // A process that follows another on its address need not wait until old connections are forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_any_of_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn is_for_want_of_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use tokio::net::TcpStream;

    use super::*;

    fn any(port: u16) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)
    }

    #[tokio::test]
    async fn clients_of_either_protocol_reach_the_address_that_is_any() {
        let listener = listen(any(0)).unwrap();
        let address = listener.local_addr().unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await.unwrap();
        if address.is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).await.unwrap();
        }
    }

    #[test]
    fn a_host_without_ipv6_listens_for_ipv4() {
        let without = |code| {
            move |address: SocketAddr| match address {
                SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(code)),
                SocketAddr::V4(_) => Ok(address),
            }
        };
        let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 5050);
        assert_eq!(listen_with(any(5050), without(libc::EAFNOSUPPORT)).unwrap(), everywhere);
        assert!(listen_with(any(5050), without(libc::EADDRINUSE)).is_err(), "taken is taken");
        let one: SocketAddr = "[::1]:5050".parse().unwrap();
        assert!(listen_with(one, without(libc::EADDRNOTAVAIL)).is_err(), "who names one means that one");
    }
}
