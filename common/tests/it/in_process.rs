//! The broker of a single process.

use std::sync::Arc;
use std::time::Duration;

use common::broker::contract::{Bench, MAX_PARTS};
use common::broker::in_process::InProcessBroker;
use common::broker::{Broker, BrokerLimits};

struct OneProcess(Arc<InProcessBroker>);

#[async_trait::async_trait]
impl Bench for OneProcess {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.0) as Arc<dyn Broker>
    }
}

fn bench() -> OneProcess {
    let limits = BrokerLimits { max_parts: MAX_PARTS, call_timeout: Duration::from_secs(5) };
    OneProcess(InProcessBroker::new(limits))
}

common::broker_contract!(bench());
