//! Threads that TensorFlow's operations run on, for as long as the process lives.
//!
//! oneDNN compiles an operation for a shape when it first runs, and TensorFlow caches the result per thread. A new thread
//! for each run would compile each time, which takes a fifth of a run. What is compiled in a run on one core also runs on
//! one core later, so runs over all cores have a thread of their own.

use std::sync::{Arc, OnceLock};

use rayon::ThreadPool;

use engine::EngineError;

/// The threads. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Threads {
    one_core: Arc<ThreadPool>,
    all_cores: Arc<ThreadPool>,
}

impl Threads {
    /// Returns the threads of the process, as many as there are cores.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn get(cores: usize) -> Result<Self, EngineError> {
        static THREADS: OnceLock<Result<Threads, EngineError>> = OnceLock::new();
        THREADS
            .get_or_init(|| {
                let one_core = pool(cores, "one-core")?;
                Ok(Self { one_core, all_cores: pool(1, "all-cores")? })
            })
            .clone()
    }

    /// Runs the same work on this thread and on some others, and waits for all.
    pub(super) fn side_by_side(
        &self,
        threads: usize,
        work: impl Fn() -> Result<(), EngineError> + Sync,
    ) -> Result<(), EngineError> {
        if threads <= 1 {
            return work();
        }
        let others = std::sync::Mutex::new(Ok(()));
        let own = self.one_core.in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| {
                    if let Err(error) = work() {
                        *others.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Err(error);
                    }
                });
            }
            work()
        });
        own.and(others.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Runs the work on the thread of the runs over all cores.
    pub(super) fn over_all_cores<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.all_cores.install(work)
    }
}

fn pool(threads: usize, name: &'static str) -> Result<Arc<ThreadPool>, EngineError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(move |number| format!("{name}-{number}"))
        .build()
        .map(Arc::new)
        .map_err(|error| EngineError(format!("the threads to compute on could not be started: {error}")))
}
