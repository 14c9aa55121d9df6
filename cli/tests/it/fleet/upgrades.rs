//! Rolling upgrades from the previous release, and back, while clients send requests and the model changes.

use reqwest::StatusCode;
use testing::Process;

use super::client::Client;
use super::load::{Excuse, Load};
use super::programs::{Api, Fleet, Release, Settings, Start};

const SETTINGS: Settings<'static> = &[("API_JOB_DEADLINE", "60"), ("API_MAX_WAIT", "60")];
const APIS: usize = 2;
const WORKERS: usize = 2;

/// A fleet whose programs are replaced one by one.
struct Upgraded {
    fleet: Fleet,
    apis: Vec<Api>,
    workers: Vec<Process>,
    client: Client,
    load: Load,
}

impl Upgraded {
    /// All programs are of the previous release, with `blue` active and clients running.
    async fn start() -> Self {
        let mut fleet = Fleet::new();
        let apis: Vec<_> = (0..APIS).map(|_| fleet.api(of(Release::Before))).collect();
        let workers: Vec<_> = (0..WORKERS).map(|_| fleet.worker(of(Release::Before))).collect();
        let client = Client::new(apis.iter().map(Api::url));
        client.workers_are_ready(WORKERS).await;
        let answer = client.swap(0, "blue").await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let load = Load::start(&client, 3, Excuse::None);
        Self { fleet, apis, workers, client, load }
    }

    /// Each API process stops and is started again on its port.
    async fn apis(&mut self, release: Release) {
        for number in 0..APIS {
            tokio::task::block_in_place(|| {
                let status = self.apis[number].process.stop();
                assert!(status.success(), "an API process ended with {status}: {}", self.fleet.logs());
                let port = self.apis[number].port;
                self.apis[number] = self.fleet.api_on(port, of(release));
            });
            self.load.more(5).await;
        }
    }

    /// Each worker is replaced by one that is ready before it stops.
    async fn workers(&mut self, release: Release) {
        for number in 0..WORKERS {
            let new = self.fleet.worker(of(release));
            self.client.workers_are_ready(WORKERS + 1).await;
            let status = tokio::task::block_in_place(|| self.workers[number].stop());
            assert!(status.success(), "a worker ended with {status}: {}", self.fleet.logs());
            self.workers[number] = new;
            self.client.workers_are_ready(WORKERS).await;
            self.load.more(5).await;
        }
    }

    /// A swap through API processes of each release answers 200 at the first attempt.
    async fn swap(&self, via: usize, model: &str) {
        let answer = self.client.swap(via, model).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{} {}", answer.body, self.fleet.logs());
        for via in 0..APIS {
            let images = super::client::images();
            let answer = self.client.insist(via, &images, "wait=20").await.unwrap();
            assert_eq!(answer.fault(&images), None);
            assert_eq!(answer.body["response"]["model"], model, "{}", self.fleet.logs());
        }
    }

    async fn end(self) {
        let answered = self.load.end(&self.fleet).await;
        assert!(answered >= 60, "{answered} requests were answered");
    }
}

fn of(release: Release) -> Start<'static> {
    Start { release: Some(release), settings: SETTINGS, ..Start::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_of_the_api_first_and_back_loses_nothing() {
    let mut upgraded = Upgraded::start().await;
    upgraded.apis(Release::Now).await;
    upgraded.swap(0, "green").await;
    upgraded.workers(Release::Now).await;
    upgraded.swap(1, "blue").await;
    upgraded.apis(Release::Before).await;
    upgraded.swap(0, "green").await;
    upgraded.workers(Release::Before).await;
    upgraded.swap(1, "blue").await;
    upgraded.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_of_the_workers_first_and_back_loses_nothing() {
    let mut upgraded = Upgraded::start().await;
    upgraded.workers(Release::Now).await;
    upgraded.swap(0, "green").await;
    upgraded.apis(Release::Now).await;
    upgraded.swap(1, "blue").await;
    upgraded.workers(Release::Before).await;
    upgraded.swap(0, "green").await;
    upgraded.apis(Release::Before).await;
    upgraded.swap(1, "blue").await;
    upgraded.end().await;
}
