//! The clients of the storm, and their checks.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::dice::Dice;
use crate::fleet::client::{Answer, Client, Image, images};
use crate::fleet::programs::eventually;

pub(super) const CLIENTS: usize = 4;

/// A job that an operator may have deleted is polled for this long, and then sent again.
const GIVE_UP: Duration = Duration::from_secs(20);

/// A swap that answered 200.
#[derive(Clone)]
pub(super) struct Swapped {
    pub(super) generation: u64,
    pub(super) model: &'static str,
}

/// Its state.
#[derive(Default)]
pub(super) struct Tally {
    jobs: AtomicUsize,
    images: AtomicUsize,
    polled: AtomicUsize,
    lost: AtomicUsize,
    /// Requests that are sent from now on must be answered by this swap's model or a later one.
    floor: Mutex<Option<Swapped>>,
    losses: Mutex<Losses>,
    silence: Mutex<Silence>,
}

/// Times at which an operator deleted accepted work.
#[derive(Default)]
struct Losses {
    /// Counts their beginnings and ends.
    count: usize,
    last: Option<Instant>,
}

/// The longest time without an answer to any client.
#[derive(Default)]
struct Silence {
    last_answer: Option<Instant>,
    longest: Duration,
}

impl Tally {
    /// Notes that an operator deletes jobs, answers or swaps until the second call.
    pub(super) fn loss(&self) {
        let mut losses = self.losses.lock().unwrap();
        losses.count += 1;
        losses.last = Some(Instant::now());
    }

    pub(super) fn swapped(&self, swap: Option<Swapped>) {
        *self.floor.lock().unwrap() = swap;
    }

    /// Returns for how long no client has had an answer.
    pub(super) fn silence(&self) -> Duration {
        let last_answer = self.silence.lock().unwrap().last_answer;
        last_answer.map_or(Duration::ZERO, |last| last.elapsed())
    }

    fn losses(&self) -> usize {
        self.losses.lock().unwrap().count
    }

    /// Returns whether a job that was sent after `losses` of them may be given up.
    fn is_given_up(&self, losses: usize) -> bool {
        let now = self.losses.lock().unwrap();
        now.count != losses && now.last.is_some_and(|last| last.elapsed() > GIVE_UP)
    }

    fn answered(&self, images: usize, polled: bool) {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        self.images.fetch_add(images, Ordering::Relaxed);
        self.polled.fetch_add(usize::from(polled), Ordering::Relaxed);
        let mut silence = self.silence.lock().unwrap();
        if let Some(last) = silence.last_answer.replace(Instant::now()) {
            silence.longest = silence.longest.max(last.elapsed());
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} jobs with {} images ({} polled), {} lost by an operator and sent again, {:.1} s at most without an \
             answer",
            get(&self.jobs),
            get(&self.images),
            get(&self.polled),
            get(&self.lost),
            self.silence.lock().unwrap().longest.as_secs_f64()
        )
    }
}

/// One client: batches of 1 to 64 images, each finished before the next. Returns the violations.
pub(super) async fn ask(
    client: Client,
    mut dice: Dice,
    (number, jobs): (usize, usize),
    tally: Arc<Tally>,
) -> Vec<String> {
    let all = images();
    let mut faults = Vec::new();
    let mut turn = 0;
    while turn < jobs {
        let count = if dice.below(4) == 0 { 1 + dice.below(64) } else { 1 + dice.below(8) };
        let batch: Vec<Image> = (0..count).map(|_| all[dice.below(all.len())].clone()).collect();
        let wait = dice.choose(&["respond-async", "wait=1", "wait=20"]);
        let (floor, losses) = (tally.floor.lock().unwrap().clone(), tally.losses());
        let answer = client.insist_unless(number + turn, &batch, wait, || tally.is_given_up(losses)).await;
        let fault = match answer {
            Ok(answer) => judge(&client, &answer, &batch, floor).await,
            Err(fault) => Some(Violation::Promise(fault)),
        };
        match fault {
            None => tally.answered(count, wait == "respond-async"),
            // This only excuses lost jobs; a wrong answer is never excused.
            Some(Violation::Promise(_)) if tally.losses() != losses => {
                tally.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Some(Violation::Promise(fault) | Violation::Wrong(fault)) => faults.push(fault),
        }
        turn += 1;
    }
    faults
}

enum Violation {
    /// A broken promise, which an operator's deletion may excuse.
    Promise(String),
    /// A wrong answer, which nothing excuses.
    Wrong(String),
}

/// Checks an answer to a request that was sent when `floor` was the last finished swap.
async fn judge(
    client: &Client,
    answer: &Answer,
    batch: &[Image],
    floor: Option<Swapped>,
) -> Option<Violation> {
    if let Some(fault) = answer.fault(batch) {
        let fault = if answer.is_lost() { Violation::Promise(fault) } else { Violation::Wrong(fault) };
        return Some(fault);
    }
    let (generation, model) = (answer.generation(), answer.body["response"]["model"].as_str().unwrap());
    if let Some(floor) = floor
        && (generation < floor.generation || generation == floor.generation && model != floor.model)
    {
        let Swapped { generation: swapped, model: to } = floor;
        return Some(Violation::Promise(format!(
            "accepted after swap {swapped} to {to}, answered by {model} of generation {generation}"
        )));
    }
    // Later polls of any process must return the same answer.
    let id = answer.header("x-prediction-id");
    let again = eventually("the prediction can be read again", || client.poll(batch.len(), id, "0")).await;
    (again.body != answer.body)
        .then(|| Violation::Promise(format!("{id} has two answers: {} and {}", answer.body, again.body)))
}
