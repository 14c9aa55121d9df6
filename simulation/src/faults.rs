//! Injects the faults of a plan.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::link::Life;
use crate::plan::{Fault, Kind, Server, Who};
use crate::process::{ApiProcess, Ties, WorkerProcess};
use crate::world::World;

/// Silence after which broker and client end a connection.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Messages out of a hundred that are lost on a bad link.
const LOST: u64 = 20;

/// The longest delay of a message.
const LATEST: Duration = Duration::from_secs(40);

/// Waits for a fault's time and injects it, from its begin to its end.
pub async fn happen(world: Arc<World>, fault: Fault) {
    if let Kind::Restored(back) = fault.kind {
        keep_for_later(&world, &fault, back);
    }
    sleep_until(world.trace.moment(fault.at)).await;
    world.trace.note(|| format!("fault: {:?} for {:?}", fault.kind, fault.span));
    let (store, broker) = (&world.store, &world.broker);
    let over = Instant::now() + fault.span;
    match fault.kind {
        Kind::Restart(Server::Store) | Kind::Restored(_) => store.door.shut_until(over),
        Kind::Restart(Server::Broker) => {
            broker.door.shut_until(over);
            broker.disconnect_all();
        }
        Kind::Emptied => {
            store.door.shut_until(over);
            store.restore(crate::store::state::State::default());
        }
        Kind::StoreRefuses => {
            store.refuse(true);
            sleep(fault.span).await;
            store.refuse(false);
        }
        Kind::Failover => {
            world.everybody().iter().for_each(|ties| ties.to_store.change(|weather| weather.stale = true));
        }
        Kind::Alarm => {
            broker.alarm(true);
            sleep(fault.span).await;
            broker.alarm(false);
        }
        Kind::Nacks => {
            broker.nack(true);
            sleep(fault.span).await;
            broker.nack(false);
        }
        Kind::QueueDeleted => broker.delete_queue(),
        Kind::Link(who, server, cut) => {
            let ties = world.ties(who);
            ties.to(server).change(|weather| weather.cut = Some(cut));
            silence(&world, &ties, fault.span, server == Server::Broker).await;
            ties.to(server).change(|weather| weather.cut = None);
        }
        Kind::Lossy(who) => {
            let ties = world.ties(who);
            each(&ties, |weather| weather.lossy = LOST);
            sleep(fault.span).await;
            each(&ties, |weather| weather.lossy = 0);
        }
        Kind::Late(who) => {
            let ties = world.ties(who);
            each(&ties, |weather| weather.late = LATEST);
            // If heartbeats are late as well, the broker ends the connection, and its parts go back.
            ties.to(Server::Broker).change(|weather| weather.late = HEARTBEAT);
            sleep(fault.span).await;
            each(&ties, |weather| weather.late = Duration::ZERO);
        }
        Kind::StreamEnds(worker, with_channel) => {
            broker.end_streams(world.ties(Who::Worker(worker)).connection, with_channel);
        }
        Kind::Frozen(who) => {
            let ties = world.ties(who);
            ties.pulse.set(Life::Frozen);
            silence(&world, &ties, fault.span, true).await;
            ties.pulse.set(Life::Runs);
        }
        Kind::Killed(who) => replace(&world, who, fault.span).await,
        Kind::Clocks(seconds) => world.set_clocks(seconds),
    }
}

/// The store's state from some time before the fault is saved for it.
fn keep_for_later(world: &Arc<World>, fault: &Fault, back: Duration) {
    let back = u64::try_from(back.as_millis()).unwrap_or(0);
    let (world, at) = (Arc::clone(world), fault.at);
    tokio::spawn(async move {
        sleep_until(world.trace.moment(at.saturating_sub(back))).await;
        let state = world.store.state();
        sleep_until(world.trace.moment(at)).await;
        world.store.restore(state);
    });
}

/// Waits; if that is longer than a heartbeat, the broker ends the connection.
async fn silence(world: &World, ties: &Ties, span: Duration, of_the_broker: bool) {
    if !of_the_broker || span < HEARTBEAT {
        return sleep(span).await;
    }
    sleep(HEARTBEAT).await;
    world.broker.disconnect(ties.connection);
    sleep(span.saturating_sub(HEARTBEAT)).await;
    world.broker.disconnect(ties.connection);
}

fn each(ties: &Ties, change: impl Fn(&mut crate::link::Weather)) {
    ties.to_broker.change(&change);
    ties.to_store.change(&change);
}

/// Kills a process; another replaces it at the end of the fault.
async fn replace(world: &Arc<World>, who: Who, span: Duration) {
    let connection = world.ties(who).connection;
    match who {
        Who::Api(index) => world.api(index).kill(),
        Who::Worker(index) => world.worker(index).kill(),
    }
    // The system of its host ends its connections, or the heartbeat does.
    sleep(span / 2).await;
    world.broker.disconnect(connection);
    sleep(span.saturating_sub(span / 2)).await;
    if world.ties(who).connection != connection {
        // It was killed twice, and has been replaced.
        return;
    }
    match who {
        Who::Api(index) => world.set_api(index, ApiProcess::start(world)),
        Who::Worker(index) => world.set_worker(index, WorkerProcess::start(world)),
    }
}
