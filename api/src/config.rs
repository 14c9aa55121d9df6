//! The settings of the API. Those it shares with the workers are in [`common::config`].

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use common::config::parse_seconds;
use common::rollout::RolloutTiming;

/// Settings of one API process.
#[derive(Debug, Clone, Args)]
#[group(id = "api")]
pub struct Config {
    /// Where to listen (API_LISTEN, default `0.0.0.0:5050`). Port 0 takes a free one.
    #[arg(long, env = "API_LISTEN", default_value = "0.0.0.0:5050")]
    pub listen: SocketAddr,

    /// The keys that clients send as `X-API-Key`, separated by commas (X_API_KEY, no default). Several are
    /// valid at once, so that keys can be changed without an outage.
    #[arg(long = "api-key", env = "X_API_KEY", hide_env_values = true, default_value = "")]
    pub api_keys: Keys,

    /// The keys that may change the fleet, separated by commas (X_ADMIN_API_KEY, default none). Where
    /// set, `X_API_KEY` can only predict and read; where not, every key can do everything.
    #[arg(long = "admin-api-key", env = "X_ADMIN_API_KEY", hide_env_values = true, default_value = "")]
    pub admin_api_keys: Keys,

    /// Largest request body, in bytes (API_MAX_BODY_BYTES, default 64 MiB). More lets clients send larger
    /// batches at once and takes more memory for each.
    #[arg(long, env = "API_MAX_BODY_BYTES", default_value_t = 64 << 20)]
    pub max_body_bytes: usize,

    /// Most images in one request (API_MAX_IMAGES, default 1024).
    #[arg(long, env = "API_MAX_IMAGES", default_value_t = 1024)]
    pub max_images: usize,

    /// Largest image file, in bytes (API_MAX_IMAGE_BYTES, default 10 MiB). An image travels in one
    /// message, and RabbitMQ takes 16 MiB at most: no more than 14 MiB is accepted here.
    #[arg(long = "max-encoded-image-bytes", env = "API_MAX_IMAGE_BYTES", default_value_t = 10 << 20)]
    pub max_image_bytes: usize,

    /// Request bytes that may be in memory at once (API_MAX_BYTES_IN_FLIGHT, default 512 MiB). Past it a
    /// request gets 429. A request takes about twice its body while it is read and queued.
    #[arg(long, env = "API_MAX_BYTES_IN_FLIGHT", default_value_t = 512 << 20)]
    pub max_bytes_in_flight: usize,

    /// Most images in one part of a job (API_PART_MAX_IMAGES, default 16). Fewer spread a request over
    /// more workers, more make better use of each worker's batches.
    #[arg(long, env = "API_PART_MAX_IMAGES", default_value_t = 16)]
    pub part_max_images: usize,

    /// Bytes of images at which a part is full (API_PART_MAX_BYTES, default 4 MiB). A larger image
    /// travels alone.
    #[arg(long, env = "API_PART_MAX_BYTES", default_value_t = 4 << 20)]
    pub part_max_bytes: usize,

    /// How long a prediction is waited for, in seconds, where the client does not say (API_DEFAULT_WAIT,
    /// default 30). After it the client gets 202 and asks again.
    #[arg(long, env = "API_DEFAULT_WAIT", default_value = "30", value_parser = parse_seconds)]
    pub default_wait: Duration,

    /// Longest time a client may ask to wait, in seconds (API_MAX_WAIT, default 300). Proxies between
    /// client and server often cut a connection earlier.
    #[arg(long, env = "API_MAX_WAIT", default_value = "300", value_parser = parse_seconds)]
    pub max_wait: Duration,

    /// How long a swap of the model is waited for, in seconds, where the client does not say
    /// (API_SWAP_WAIT, default 120).
    #[arg(long, env = "API_SWAP_WAIT", default_value = "120", value_parser = parse_seconds)]
    pub swap_wait: Duration,

    /// Age at which a job that is not done is given up, in seconds (API_JOB_DEADLINE, default 600). Less
    /// drops work sooner that nobody waits for, more rides out longer outages.
    #[arg(long, env = "API_JOB_DEADLINE", default_value = "600", value_parser = parse_seconds)]
    pub job_deadline: Duration,

    /// How long the answer of an ended job is kept, in seconds (API_JOB_RETENTION, default 3600). More
    /// takes more of the store's memory.
    #[arg(long, env = "API_JOB_RETENTION", default_value = "3600", value_parser = parse_seconds)]
    pub job_retention: Duration,

    /// How long an answer is kept that the request itself was given, with every image classified and without an
    /// idempotency key, in seconds (API_ANSWERED_RETENTION, default 60, at most API_JOB_RETENTION). Each takes 2 kB of
    /// the store's memory and more.
    #[arg(long, env = "API_ANSWERED_RETENTION", default_value = "60", value_parser = parse_seconds)]
    pub answered_retention: Duration,

    /// How long the workers have to load a new model, in seconds (API_PREPARE_LIMIT, default 120). After
    /// it the swap is rolled back.
    #[arg(long, env = "API_PREPARE_LIMIT", default_value = "120", value_parser = parse_seconds)]
    pub prepare_limit: Duration,

    /// Longest time for the head of a request to arrive, also on a connection that is kept alive, in
    /// seconds (API_HEAD_TIMEOUT, default 60). Less frees idle connections sooner.
    #[arg(long, env = "API_HEAD_TIMEOUT", default_value = "60", value_parser = parse_seconds)]
    pub head_timeout: Duration,

    /// Longest time for the body of a request to arrive, in seconds (API_BODY_TIMEOUT, default 120). Less
    /// defends better against slow clients, more helps those that are slow in good faith.
    #[arg(long, env = "API_BODY_TIMEOUT", default_value = "120", value_parser = parse_seconds)]
    pub body_timeout: Duration,

    /// Most connections at once (API_MAX_CONNECTIONS, default 8192). Others wait to be accepted.
    #[arg(long, env = "API_MAX_CONNECTIONS", default_value_t = 8192)]
    pub max_connections: usize,

    /// How long requests that are open may take when the process is told to stop, in seconds
    /// (API_STOP_GRACE, default 30). Waiting ones get 202 a little before it is over.
    #[arg(long, env = "API_STOP_GRACE", default_value = "30", value_parser = parse_seconds)]
    pub stop_grace: Duration,
}

/// Largest image that fits a message of RabbitMQ 4 (16 MiB) with room for what travels beside it.
const MAX_IMAGE_IN_MESSAGE: usize = 14 << 20;

impl Config {
    /// What is wrong with the settings: all of it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (variable, value) in [
            ("API_MAX_BODY_BYTES", self.max_body_bytes),
            ("API_MAX_IMAGES", self.max_images),
            ("API_MAX_IMAGE_BYTES", self.max_image_bytes),
            ("API_PART_MAX_IMAGES", self.part_max_images),
            ("API_PART_MAX_BYTES", self.part_max_bytes),
            ("API_MAX_CONNECTIONS", self.max_connections),
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

    /// How long the steps of a rollout may take.
    pub(crate) fn rollout_timing(&self) -> RolloutTiming {
        RolloutTiming { prepare_limit: self.prepare_limit, ..RolloutTiming::default() }
    }
}

/// Keys, never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<String>);

impl Keys {
    /// The keys, none of them empty.
    pub(crate) fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Keys {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        Ok(Self(keys.map(str::to_owned).collect()))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_separated_by_commas_and_never_shown() {
        let keys: Keys = " one , ,two,".parse().unwrap();
        assert_eq!(keys.as_slice(), ["one", "two"]);
        assert_eq!(format!("{keys:?}"), "2 keys");
    }
}
