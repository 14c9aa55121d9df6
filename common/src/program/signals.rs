//! Stops the program on signals.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::leave;

/// A shell's exit code for an interrupted program.
const INTERRUPTED: u8 = 130;

/// Returns a token that the first SIGTERM (from orchestrators) or SIGINT (Ctrl-C) cancels. The second one ends the
/// process at once: its jobs go back to the queue.
///
/// Call it first in `main`: the kernel passes signals to the first process of a container only once it has a handler.
/// It needs no runtime: it waits on a thread of its own, which nothing can block. That thread reads no environment, so
/// the environment may still be changed afterwards.
///
/// # Errors
/// The system allows no handlers or no thread.
pub fn stop_on_signals() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let (tell_installed, installed) = sync_channel(1);
    thread::Builder::new().name("signals".to_owned()).spawn(move || wait(&told, &tell_installed))?;
    installed.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that waits for them ended")))?;
    Ok(stop)
}

fn wait(stop: &CancellationToken, tell_installed: &SyncSender<io::Result<()>>) {
    let runtime = match Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(tell_installed, Err(error)),
    };
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = match handlers() {
            Ok(handlers) => handlers,
            Err(error) => return tell(tell_installed, Err(error)),
        };
        tell(tell_installed, Ok(()));
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("told to stop: finishing what is open");
        stop.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("told to stop again: leaving at once");
        leave(INTERRUPTED);
    });
}

fn handlers() -> io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

fn tell(installed: &SyncSender<io::Result<()>>, outcome: io::Result<()>) {
    // It is waited for, and the channel has room.
    let _ = installed.send(outcome);
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
