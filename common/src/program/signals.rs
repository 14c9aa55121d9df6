//! Being told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// A token that the first SIGTERM (as orchestrators send it) or SIGINT (Ctrl-C) cancels. The second ends
/// the process at once: whatever it held comes back to the queue.
///
/// # Errors
/// The system allows no handlers.
pub fn stop_on_signals() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("told to stop: finishing what is open");
        told.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("told to stop again: leaving at once");
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
