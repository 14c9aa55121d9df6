//! The settings of the API. [`common::config`] has those that it shares with the workers.

mod keys;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use common::config::parse_seconds;
use common::rollout::RolloutTiming;

pub use self::keys::{ClientModels, Key, Keys};
pub use crate::prefix::Prefix;

/// Settings of one API process.
#[derive(Debug, Clone, Args)]
#[group(id = "api")]
pub struct Config {
    /// Address to listen on (API_LISTEN, default `[::]:5050`, which takes IPv4 as well, and where there is no IPv6 only
    /// that). Port 0 chooses a free port.
    #[arg(long, env = "API_LISTEN", default_value = "[::]:5050")]
    pub listen: SocketAddr,

    /// The keys that clients send as `X-API-Key`, separated by commas (X_API_KEY, no default). Several keys are valid
    /// at once, so that keys can be changed without an outage. A key may have a name: `mobile:KEY,batch:KEY2`. Each
    /// name is one client, and no other client can read its predictions. All keys without a name are one client. Write
    /// a key that contains a colon as `:KEY`.
    #[arg(long = "api-key", env = "X_API_KEY", hide_env_values = true, default_value = "")]
    pub api_keys: Keys,

    /// The keys that may change the fleet, separated by commas (X_ADMIN_API_KEY, default none). If set, `X_API_KEY` can
    /// only predict and read. If not, every key can do everything. They may have names.
    #[arg(long = "admin-api-key", env = "X_ADMIN_API_KEY", hide_env_values = true, default_value = "")]
    pub admin_api_keys: Keys,

    /// The packages that clients may request with `?model=`, separated by commas, or `all` (API_CLIENT_MODELS, default
    /// none). Clients may also request every package that one of the last 32 swaps made active. Applies only where
    /// there is an admin key: loading a package takes memory and time from all clients.
    #[arg(long, env = "API_CLIENT_MODELS", default_value = "")]
    pub client_models: ClientModels,

    /// The path prefix of all routes, as clients see it, where a proxy strips it (API_PATH_PREFIX, default none). A
    /// request's `X-Forwarded-Prefix` takes precedence. `Location`, `status_url` and the pages contain the prefix.
    #[arg(long, env = "API_PATH_PREFIX", default_value = "")]
    pub path_prefix: Prefix,

    /// Largest request body, in bytes (API_MAX_BODY_BYTES, default 64 MiB). A higher value allows larger requests, each
    /// of which takes more memory.
    #[arg(long, env = "API_MAX_BODY_BYTES", default_value_t = 64 << 20)]
    pub max_body_bytes: usize,

    /// Most images in one request (API_MAX_IMAGES, default 1024).
    #[arg(long, env = "API_MAX_IMAGES", default_value_t = 1024)]
    pub max_images: usize,

    /// Largest image file, in bytes (API_MAX_IMAGE_BYTES, default 10 MiB). At most 14 MiB: an image travels in one
    /// message, and RabbitMQ accepts at most 16 MiB.
    #[arg(long = "max-encoded-image-bytes", env = "API_MAX_IMAGE_BYTES", default_value_t = 10 << 20)]
    pub max_image_bytes: usize,

    /// Most pixels in all images of one request together, according to their headers (API_MAX_REQUEST_PIXELS, default
    /// 640000000, fifty photographs). A single-colour image has few bytes and takes a core as long as any other image
    /// of its size. A higher value lets one request occupy the workers for longer.
    #[arg(long, env = "API_MAX_REQUEST_PIXELS", default_value_t = 640_000_000,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub max_request_pixels: u64,

    /// Most pixels in large images of one client that this process has queued and that are not classified yet
    /// (API_MAX_CLIENT_PIXELS, default 640000000, fifty photographs). A client's only request may exceed it, and images
    /// below 4 megapixels do not count. Beyond it the client gets 429 and other clients are served. A higher value lets
    /// a client with photographs use more workers at once, and delay other clients for longer.
    #[arg(long, env = "API_MAX_CLIENT_PIXELS", default_value_t = 640_000_000,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub max_client_pixels: u64,

    /// Largest answer to a prediction, in bytes (API_MAX_ANSWER_BYTES, default 32 MiB). The default holds a thousand
    /// scores for each of 500 images. A request with a larger answer is refused before it is queued, if this process
    /// can read the package. At most four answers of this size, or smaller ones with as many bytes together, are built
    /// and sent at once; further ones get 429. Building an answer takes about three times its bytes.
    #[arg(long, env = "API_MAX_ANSWER_BYTES", default_value_t = 32 << 20)]
    pub max_answer_bytes: usize,

    /// Most request bytes in memory at once (API_MAX_BYTES_IN_FLIGHT, default 256 MiB). Beyond it a request gets 429. A
    /// request takes about twice its body while it is read and queued.
    #[arg(long, env = "API_MAX_BYTES_IN_FLIGHT", default_value_t = 256 << 20)]
    pub max_bytes_in_flight: usize,

    /// Most images in one part of a job (API_PART_MAX_IMAGES, default 16). A lower value spreads a request over more
    /// workers, a higher one fills each worker's batches better.
    #[arg(long, env = "API_PART_MAX_IMAGES", default_value_t = 16)]
    pub part_max_images: usize,

    /// Most bytes of images in one part of a job (API_PART_MAX_BYTES, default 4 MiB). A larger image is a part of its
    /// own.
    #[arg(long, env = "API_PART_MAX_BYTES", default_value_t = 4 << 20)]
    pub part_max_bytes: usize,

    /// How long a request waits for its prediction if the client does not say, in seconds (API_DEFAULT_WAIT, default
    /// 30). After it the client gets 202 and asks again.
    #[arg(long, env = "API_DEFAULT_WAIT", default_value = "30", value_parser = parse_seconds)]
    pub default_wait: Duration,

    /// Longest wait that a client may request, in seconds (API_MAX_WAIT, default 300). Proxies between client and
    /// server often cut a connection earlier.
    #[arg(long, env = "API_MAX_WAIT", default_value = "300", value_parser = parse_seconds)]
    pub max_wait: Duration,

    /// How long a request waits for a swap of the model if the client does not say, in seconds (API_SWAP_WAIT, default
    /// 120).
    #[arg(long, env = "API_SWAP_WAIT", default_value = "120", value_parser = parse_seconds)]
    pub swap_wait: Duration,

    /// Age at which an unfinished job is given up, in seconds (API_JOB_DEADLINE, default 600). A lower value drops
    /// abandoned work sooner, a higher one survives longer outages.
    #[arg(long, env = "API_JOB_DEADLINE", default_value = "600", value_parser = parse_seconds)]
    pub job_deadline: Duration,

    /// How long the answer of a finished job is kept, in seconds (API_JOB_RETENTION, default 3600). A higher value
    /// takes more memory of the store.
    #[arg(long, env = "API_JOB_RETENTION", default_value = "3600", value_parser = parse_seconds)]
    pub job_retention: Duration,

    /// How long an answer is kept that was already sent to its client, in seconds (API_ANSWERED_RETENTION, default 60,
    /// at most API_JOB_RETENTION). Applies to answers without an idempotency key in which every image was classified.
    /// Each takes at least 2 kB of the store's memory. One of more than 1 MiB is kept shorter in proportion, for at least
    /// 2 seconds.
    #[arg(long, env = "API_ANSWERED_RETENTION", default_value = "60", value_parser = parse_seconds)]
    pub answered_retention: Duration,

    /// How long the workers have to load a new model, in seconds (API_PREPARE_LIMIT, default 120). After it the swap is
    /// rolled back.
    #[arg(long, env = "API_PREPARE_LIMIT", default_value = "120", value_parser = parse_seconds)]
    pub prepare_limit: Duration,

    /// Timeout for receiving the head of a request, also on a kept-alive connection, in seconds (API_HEAD_TIMEOUT,
    /// default 60). A lower value frees idle connections sooner.
    #[arg(long, env = "API_HEAD_TIMEOUT", default_value = "60", value_parser = parse_seconds)]
    pub head_timeout: Duration,

    /// Timeout for receiving the body of a request, in seconds (API_BODY_TIMEOUT, default 120). A lower value protects
    /// better against slow-client attacks, a higher one tolerates slow clients.
    #[arg(long, env = "API_BODY_TIMEOUT", default_value = "120", value_parser = parse_seconds)]
    pub body_timeout: Duration,

    /// Timeout for sending an answer, in seconds (API_WRITE_TIMEOUT, default 60). A lower value frees the connections
    /// of clients that do not read sooner, a higher one tolerates slow clients.
    #[arg(long, env = "API_WRITE_TIMEOUT", default_value = "60", value_parser = parse_seconds)]
    pub write_timeout: Duration,

    /// Most connections at once (API_MAX_CONNECTIONS, default 8192). Further ones wait to be accepted. The number is
    /// lower where the system's hard limit of open files requires it. The soft limit is raised to the hard limit.
    #[arg(long, env = "API_MAX_CONNECTIONS", default_value_t = 8192)]
    pub max_connections: usize,

    /// Most requests that wait for a result at once (API_MAX_WAITING, default 4096). Further ones are answered at once,
    /// with 202 where there is no result yet. At most three quarters of the connections wait, regardless of this value.
    #[arg(long, env = "API_MAX_WAITING", default_value_t = 4096)]
    pub max_waiting: usize,

    /// How long open requests may take once the process is told to stop, in seconds (API_STOP_GRACE, default 30).
    /// Waiting requests get 202 shortly before it ends.
    #[arg(long, env = "API_STOP_GRACE", default_value = "30", value_parser = parse_seconds)]
    pub stop_grace: Duration,

    /// How long the process still accepts requests once it is told to stop, in seconds (API_STOP_DELAY, default 0; 5 in
    /// the containers). Meanwhile it is not ready. Behind a load balancer, choose more than the balancer needs to
    /// notice: otherwise the last requests are refused.
    #[arg(long, env = "API_STOP_DELAY", default_value = "0", value_parser = parse_delay)]
    pub stop_delay: Duration,
}

/// Largest image that fits a message of RabbitMQ 4 (16 MiB), with room for the rest of the message.
const MAX_IMAGE_IN_MESSAGE: usize = 14 << 20;

impl Config {
    /// Returns all problems of the settings.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.key_problems();
        for (variable, value) in [
            ("API_MAX_BODY_BYTES", self.max_body_bytes),
            ("API_MAX_IMAGES", self.max_images),
            ("API_MAX_IMAGE_BYTES", self.max_image_bytes),
            ("API_MAX_ANSWER_BYTES", self.max_answer_bytes),
            ("API_PART_MAX_IMAGES", self.part_max_images),
            ("API_PART_MAX_BYTES", self.part_max_bytes),
            ("API_MAX_CONNECTIONS", self.max_connections),
            ("API_MAX_WAITING", self.max_waiting),
        ] {
            if value == 0 {
                problems.push(format!("{variable} is 0, expected at least 1"));
            }
        }
        for (variable, value) in
            [("API_MAX_IMAGE_BYTES", self.max_image_bytes), ("API_PART_MAX_BYTES", self.part_max_bytes)]
        {
            if value > MAX_IMAGE_IN_MESSAGE {
                problems.push(format!(
                    "{variable} is {value}, expected at most {MAX_IMAGE_IN_MESSAGE}: a message of the broker \
                     holds 16 MiB"
                ));
            }
        }
        if self.max_bytes_in_flight < self.max_body_bytes {
            problems.push(format!(
                "API_MAX_BYTES_IN_FLIGHT is {}, expected at least API_MAX_BODY_BYTES, which is {}",
                self.max_bytes_in_flight, self.max_body_bytes
            ));
        }
        problems
    }

    /// Returns the problems of the keys.
    pub(crate) fn key_problems(&self) -> Vec<String> {
        let both = [("X_API_KEY", &self.api_keys), ("X_ADMIN_API_KEY", &self.admin_api_keys)];
        both.into_iter().flat_map(|(variable, keys)| keys.problems(variable)).collect()
    }

    /// Returns the timeouts of a rollout.
    pub(crate) fn rollout_timing(&self) -> RolloutTiming {
        RolloutTiming { prepare_limit: self.prepare_limit, ..RolloutTiming::default() }
    }
}

/// Reads a time in seconds that may be 0.
fn parse_delay(text: &str) -> Result<Duration, String> {
    match text.trim().parse::<f64>() {
        Ok(0.0) => Ok(Duration::ZERO),
        Ok(_) | Err(_) => parse_seconds(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_may_be_none_at_all() {
        assert_eq!(parse_delay("0"), Ok(Duration::ZERO));
        assert_eq!(parse_delay("0.5"), Ok(Duration::from_millis(500)));
        assert!(parse_delay("-1").is_err() && parse_delay("soon").is_err());
    }
}
