//! The settings of a worker.

use std::env;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use common::config::{FleetConfig, ModelsConfig, WrongSetting, parse_seconds};
use common::ids::WorkerId;
use common::telemetry::{LogConfig, LogFormat};

use crate::models::ModelLimits;
use crate::pipeline::PipelineLimits;
use crate::pipeline::batch::BatchLimits;
use engine::Calls;
use images::decode::DecodeLimits;
use tensorflow_engine::{Messages, Prepared, Settings, Tile, Winograd, prepare};

/// The settings of a worker, in a process of its own or together with the API.
#[derive(Debug, Clone, Args)]
#[group(id = "worker")]
pub struct Config {
    /// Most images in one call of the model (WORKER_MAX_BATCH_SIZE, default 32, on a GPU 64). Each core of a CPU takes
    /// two of them at a time. On a GPU a higher value takes more GPU memory and gains little.
    #[arg(long, env = "WORKER_MAX_BATCH_SIZE")]
    pub max_batch_size: Option<NonZeroUsize>,

    /// How long an image waits for others to fill its batch while the model is free, in microseconds
    /// (WORKER_MAX_QUEUE_DELAY_MICROSECONDS, default 0). With 0, batches still grow under load. A higher value makes
    /// larger batches and adds to the latency of every answer.
    #[arg(long, env = "WORKER_MAX_QUEUE_DELAY_MICROSECONDS", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=3_600_000_000))]
    pub max_queue_delay_microseconds: u64,

    /// Most model calls at once (WORKER_INFERENCE_THREADS, default the number of cores). On a CPU one per core is
    /// fastest; fewer leave cores to other processes. On a GPU at most 2 calls of one model run at once, regardless of
    /// this value.
    #[arg(long, env = "WORKER_INFERENCE_THREADS")]
    pub inference_threads: Option<NonZeroUsize>,

    /// Most images that are decoded and preprocessed at once (WORKER_DECODE_THREADS, default the number of cores).
    /// Fewer leave cores to the model.
    #[arg(long, env = "WORKER_DECODE_THREADS")]
    pub decode_threads: Option<NonZeroUsize>,

    /// Most parts of jobs that the worker holds at once (WORKER_PREFETCH, default a quarter of the batch size and two
    /// for each core, on a GPU two for each image of a batch). A higher value fills larger batches with small requests.
    /// A lower one spreads a burst more evenly over the workers, takes less memory (a part has up to a few MiB), and
    /// loses less work when a worker crashes.
    #[arg(long, env = "WORKER_PREFETCH", value_parser = clap::value_parser!(u16).range(1..))]
    pub prefetch: Option<u16>,

    /// Largest image that is decoded, in pixels (WORKER_MAX_IMAGE_PIXELS, default 64000000). Decoding
    /// takes up to 16 bytes of memory for each.
    #[arg(long, env = "WORKER_MAX_IMAGE_PIXELS", default_value_t = DecodeLimits::default().max_pixels,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub max_image_pixels: u64,

    /// Most memory for decoding large images at once, in bytes (WORKER_MAX_DECODE_BYTES, default 768 MiB). Each pixel
    /// counts as 16 bytes, the most that any format takes. Images below 4 megapixels do not count, and an image above
    /// the limit is decoded alone. A lower value fits a smaller container, a higher one decodes photographs on more
    /// cores.
    #[arg(long, env = "WORKER_MAX_DECODE_BYTES", default_value_t = 768 << 20)]
    pub max_decode_bytes: u64,

    /// Most models in memory that jobs requested by name (WORKER_MAX_EXTRA_MODELS, default 2). Beyond it the least
    /// recently used one is evicted. A higher value takes more memory, a lower one reloads more often.
    #[arg(long, env = "WORKER_MAX_EXTRA_MODELS", default_value_t = 2)]
    pub max_extra_models: usize,

    /// How long a model that was swapped out stays in memory for jobs that were accepted before, in seconds
    /// (WORKER_MODEL_DRAIN, default 600, the deadline of a job). A lower value frees memory sooner. For a job that
    /// comes later the model is loaded again, if the package still exists.
    #[arg(long, env = "WORKER_MODEL_DRAIN", default_value = "600", value_parser = parse_seconds)]
    pub model_drain: Duration,

    /// How long the current jobs may take once the worker is told to stop, in seconds (WORKER_STOP_GRACE, default 30).
    /// Unfinished jobs go back to the queue.
    #[arg(long, env = "WORKER_STOP_GRACE", default_value = "30", value_parser = parse_seconds)]
    pub worker_stop_grace: Duration,

    /// Name of this host in the list of workers (HOSTNAME, default `worker`).
    #[arg(long, env = "HOSTNAME", default_value = "worker")]
    pub worker_host: String,

    /// The TensorFlow library.
    #[command(flatten)]
    pub library: LibraryConfig,
}

/// The location and the settings of the TensorFlow library.
#[derive(Debug, Clone, Args)]
pub struct LibraryConfig {
    /// Folder with `libtensorflow.so`, or that of Python's package `tensorflow` (TENSORFLOW_DIR, default: `.cache/tensorflow`,
    /// the Python environment that the program is installed in, the active one and the system's library folders are
    /// searched).
    #[arg(long, env = "TENSORFLOW_DIR")]
    pub tensorflow_dir: Option<PathBuf>,

    /// Which of TensorFlow's own messages are suppressed (TF_CPP_MIN_LOG_LEVEL, default 2, which leaves errors, and 3
    /// where LOG_FORMAT is `json`: they are plain text on standard error). 0 shows everything, for example why no GPU is
    /// found; 3 shows nothing.
    #[arg(long, env = "TF_CPP_MIN_LOG_LEVEL", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub tensorflow_log_level: Option<u8>,

    /// Whether a GPU computes float32 in TensorFloat-32 (NVIDIA_TF32_OVERRIDE, default 0). 1 is twice as fast, and
    /// scores may differ from Keras's by a hundredth of the largest.
    #[arg(long, env = "NVIDIA_TF32_OVERRIDE", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub tensor_float_32: u8,

    /// When a CPU computes 3×3 convolutions with Winograd's method (WORKER_WINOGRAD, default `auto`): `auto`, where a
    /// measurement during loading finds it faster, or `never`. It saves up to a third of the time. Scores may differ in
    /// the sixth digit between workers and between batches. `always` is for tests.
    #[arg(long, env = "WORKER_WINOGRAD", value_enum, default_value_t = WhereWinograd::Auto)]
    pub winograd: WhereWinograd,
}

/// When Winograd's method is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WhereWinograd {
    /// Where it is faster.
    Auto,
    /// Never.
    Never,
    /// Always where it is possible.
    Always,
}

impl LibraryConfig {
    /// Returns the settings with which the library is opened.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            folder: self.tensorflow_dir.clone(),
            python_environments: active_python_environments(),
            messages: match self.tensorflow_log_level {
                Some(0) => Messages::All,
                Some(1) => Messages::Warnings,
                Some(2) | None => Messages::Errors,
                Some(_) => Messages::Nothing,
            },
            tensor_float_32: self.tensor_float_32 != 0,
            winograd: match self.winograd {
                WhereWinograd::Auto => Winograd::WhereQuicker,
                WhereWinograd::Never => Winograd::Never,
                WhereWinograd::Always => Winograd::Always(Tile::Four),
            },
            ..Settings::default()
        }
    }
}

impl Config {
    /// Creates a new id for a worker on this host.
    #[must_use]
    pub fn worker_id(&self) -> WorkerId {
        WorkerId::random(&self.worker_host)
    }

    /// Returns the most unacknowledged parts at a time, for engines with these calls.
    #[must_use]
    pub fn prefetch(&self, calls: &Calls) -> u16 {
        self.prefetch.unwrap_or_else(|| u16::try_from(calls.parts_in_hand).unwrap_or(u16::MAX))
    }

    /// Returns the sizes of the pipeline, for engines with these calls.
    #[must_use]
    pub fn pipeline_limits(&self, calls: &Calls) -> PipelineLimits {
        let threads = |wanted: Option<NonZeroUsize>| wanted.map_or_else(engine::cores, NonZeroUsize::get);
        PipelineLimits {
            batch: BatchLimits {
                max_images: self.max_batch_size.map_or(calls.batch_size, NonZeroUsize::get),
                max_delay: Duration::from_micros(self.max_queue_delay_microseconds),
            },
            inference_threads: threads(self.inference_threads),
            decode_threads: threads(self.decode_threads),
            decode_bytes: self.max_decode_bytes,
            decode: DecodeLimits { max_pixels: self.max_image_pixels, ..DecodeLimits::default() },
        }
    }

    /// Returns TensorFlow's settings, for a program with logs of this format.
    #[must_use]
    pub fn tensorflow(&self, logs: LogFormat) -> Settings {
        let settings = self.library.settings();
        let messages = match (logs, self.library.tensorflow_log_level) {
            (LogFormat::Json, None) => Messages::Nothing,
            (LogFormat::Json, Some(_)) | (LogFormat::Text, _) => settings.messages,
        };
        Settings { cores: self.inference_threads, max_batch_size: self.max_batch_size, messages, ..settings }
    }

    /// Finds the TensorFlow library and writes its settings to the environment. Must be called before other threads
    /// exist than the one that waits for signals; see [`prepare`].
    ///
    /// # Errors
    /// There is no library.
    pub fn library(&self, logs: LogFormat) -> Result<Prepared, WrongSetting> {
        prepare(&self.tensorflow(logs))
            .map_err(|error| WrongSetting { variable: "TENSORFLOW_DIR", fault: error.to_string() })
    }

    /// Returns how many models are kept, and how long.
    #[must_use]
    pub fn model_limits(&self) -> ModelLimits {
        ModelLimits {
            drain_for: self.model_drain,
            max_extra_models: self.max_extra_models,
            ..ModelLimits::default()
        }
    }
}

/// Returns the active Python environments of the shell.
fn active_python_environments() -> Vec<PathBuf> {
    ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(env::var_os).map(PathBuf::from).collect()
}

/// Takes classification jobs from RabbitMQ, runs Keras models with TensorFlow, and stores the answers in
/// Redis.
///
/// Ends with 0 when it was told to stop and finished its jobs, with 3 when jobs were left unfinished for
/// others, with 1 when it could not work, and with 2 when a setting is wrong.
#[derive(Debug, Parser)]
#[command(name = "classifier-worker", version)]
pub struct Program {
    /// How it works.
    #[command(flatten)]
    pub worker: Config,

    /// Where jobs come from and results go to.
    #[command(flatten)]
    pub fleet: FleetConfig,

    /// Where the packages are.
    #[command(flatten)]
    pub models: ModelsConfig,

    /// What it says.
    #[command(flatten)]
    pub log: LogConfig,

    /// Address of `/metrics`, `/health/live` and `/health/ready` (WORKER_LISTEN, default `127.0.0.1:0`: a
    /// free port, which the log names). Several workers on one host need one each.
    #[arg(long = "worker-listen", env = "WORKER_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Ask the worker that listens at this address whether it is ready, and end with 0 or 1: the health
    /// check of a container.
    #[arg(long)]
    pub healthcheck: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(words: &[&str]) -> Result<Program, clap::Error> {
        Program::try_parse_from(std::iter::once(&"classifier-worker").chain(words))
    }

    #[test]
    fn settings_reach_the_parts_that_they_are_for() {
        let config = program(&[
            "--max-batch-size=8",
            "--max-queue-delay-microseconds=1500",
            "--inference-threads=3",
            "--decode-threads=5",
            "--max-image-pixels=77",
            "--max-decode-bytes=99",
            "--model-drain=1.5",
            "--tensorflow-log-level=3",
            "--tensor-float-32=1",
            "--winograd=never",
        ])
        .unwrap()
        .worker;
        let calls = Calls { batch_size: 64, parts_in_hand: 128, ..Calls::default() };
        let limits = config.pipeline_limits(&calls);
        assert_eq!(limits.batch.max_images, 8);
        assert_eq!(limits.batch.max_delay, Duration::from_micros(1500));
        assert_eq!((limits.inference_threads, limits.decode_threads), (3, 5));
        assert_eq!((limits.decode.max_pixels, limits.decode_bytes), (77, 99));
        assert_eq!(config.model_limits().drain_for, Duration::from_millis(1500));
        let library = config.tensorflow(LogFormat::Text);
        assert_eq!((library.messages, library.tensor_float_32), (Messages::Nothing, true));
        assert_eq!(library.winograd, Winograd::Never);
        assert_eq!(library.cores.map(NonZeroUsize::get), Some(3));
        assert_eq!(config.prefetch(&calls), 128);
        assert_eq!(program(&["--prefetch=7"]).unwrap().worker.prefetch(&calls), 7);
        assert_eq!(program(&[]).unwrap().worker.pipeline_limits(&calls).batch.max_images, 64);
    }

    #[test]
    fn json_logs_are_free_of_tensorflows_text_unless_a_setting_wants_it() {
        for (words, logs, expected) in [
            (&[][..], LogFormat::Text, Messages::Errors),
            (&[], LogFormat::Json, Messages::Nothing),
            (&["--tensorflow-log-level=2"], LogFormat::Json, Messages::Errors),
        ] {
            let found = program(words).unwrap().worker.tensorflow(logs).messages;
            assert_eq!(found, expected, "{words:?} {logs:?}");
        }
    }

    #[test]
    fn what_is_no_size_or_no_choice_is_refused() {
        for word in [
            "--max-batch-size=0",
            "--inference-threads=0",
            "--decode-threads=0",
            "--prefetch=0",
            "--max-image-pixels=0",
            "--worker-stop-grace=0",
            "--tensor-float-32=2",
            "--winograd=1",
            "--tensorflow-log-level=4",
        ] {
            assert!(program(&[word]).is_err(), "{word}");
        }
    }
}
