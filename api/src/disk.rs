//! Reads the models folder, which may be on a slow or hanging disk.

use std::sync::Arc;
use std::time::Duration;

use common::ids::ModelName;
use common::offload::offload;
use common::package::{Catalog, Listed, Package};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::failure::{Code, Failure};

/// Timeout of one read. A package's version is a digest of all its bytes: at 100 MB/s of a slow network disk this is
/// enough for 6 GB.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Concurrent reads. More would only block threads while a disk hangs.
const AT_ONCE: usize = 16;

/// Reads packages off the async threads.
pub(crate) struct Disk {
    catalog: Catalog,
    slots: Arc<Semaphore>,
}

impl Disk {
    /// The folder's catalog.
    pub(crate) fn new(catalog: Catalog) -> Self {
        Self { catalog, slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Opens a package.
    pub(crate) async fn open(&self, name: ModelName) -> Result<Package, Failure> {
        Ok(self.read(move |catalog| catalog.open(&name)).await??)
    }

    /// Opens every package of the folder, and names the folders that are not packages.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, Failure> {
        self.read(Catalog::list).await?.map_err(|error| {
            let folder = self.catalog.folder().display();
            tracing::warn!(%folder, %error, "the models folder cannot be read");
            Failure::new(
                Code::UnreadableModel,
                format!("the models folder `{folder}` cannot be read: {error}"),
            )
        })
    }

    async fn read<T, F>(&self, look: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Catalog) -> T + Send + 'static,
    {
        let reading = async {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let catalog = self.catalog.clone();
            offload(move || {
                let seen = look(&catalog);
                // The permit is held until the disk has answered, even if no request waits for it any more.
                drop(slot);
                seen
            })
            .await
        };
        match timeout(TIME_LIMIT, reading).await {
            Ok(seen) => seen.map_err(Failure::internal),
            Err(_) => {
                let folder = self.catalog.folder().display();
                tracing::warn!(%folder, "the models folder does not answer");
                let seconds = TIME_LIMIT.as_secs();
                Err(Failure::new(
                    Code::UnreadableModel,
                    format!("the models folder `{folder}` did not answer in {seconds} seconds, try again"),
                )
                .retry_after(Duration::from_secs(5)))
            }
        }
    }
}
