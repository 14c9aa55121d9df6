//! The registry over real packages on disk, with a fake engine.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use common::fleet::ModelRole;
use common::ids::Generation;
use tokio::time::advance;

use super::*;
use common::package::Package;
use engine::{Batch, Device, Engine, EngineError, LoadError, Scores};

const CONFIG: &str = r#"{"model_name": "m", "img_preproc_type": "no_prepro", "output_postproc_type":
    "argmax", "image_preproc_config": {"input_shape": [2, 2, 3]}, "output_config": {"output_classes": ["a"]}}"#;

/// A fake of TensorFlow: does what the model's bytes say.
#[derive(Default)]
struct Double {
    loads: AtomicUsize,
    /// Loads of files that say `wait` end when a message arrives here.
    release: Mutex<Option<mpsc::Receiver<()>>>,
    /// Replaced by other bytes while it is being read.
    replace: Mutex<Option<PathBuf>>,
}

struct DoubleEngine;

impl Engine for DoubleEngine {
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError> {
        Ok(Scores { classes: 1, values: vec![1.0; batch.images] })
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

impl EngineLoader for Double {
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let says = fs::read_to_string(&package.model.path).unwrap();
        if says.starts_with("wait")
            && let Some(release) = self.release.lock().unwrap().as_ref()
        {
            release.recv().unwrap();
        }
        if let Some(path) = self.replace.lock().unwrap().take() {
            fs::write(path, "other bytes").unwrap();
        }
        match says.split(' ').next().unwrap() {
            "broken" => Err(LoadError::Unservable(vec!["one".to_owned(), "two".to_owned()])),
            "busy" => Err(LoadError::Unavailable("out of memory".to_owned())),
            "panic" => panic!("the double panics as it was told"),
            _ => Ok(Arc::new(DoubleEngine)),
        }
    }
}

/// A models folder, a fake and a registry over both.
struct Bench {
    folder: tempfile::TempDir,
    double: Arc<Double>,
    models: Arc<Models>,
}

impl Bench {
    fn new(limits: ModelLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let double = Arc::<Double>::default();
        let models = Models::new(Catalog::new(folder.path()), Arc::clone(&double) as _, limits);
        Self { folder, double, models }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join(format!("{name}.hdf5"))
    }

    /// Writes a package whose model has this text, and pins it.
    fn package(&self, name: &str, says: &str) -> PinnedModel {
        fs::create_dir_all(self.folder.path().join(name)).unwrap();
        fs::write(self.folder.path().join(name).join(format!("{name}_config.json")), CONFIG).unwrap();
        fs::write(self.path(name), says).unwrap();
        let name = ModelName::parse(name).unwrap();
        let version = Catalog::new(self.folder.path()).open(&name).unwrap().version;
        PinnedModel { name, version, generation: Generation(1) }
    }

    fn loads(&self) -> usize {
        self.double.loads.load(Ordering::SeqCst)
    }

    fn roles(&self) -> Vec<(String, ModelRole)> {
        self.models.loaded().into_iter().map(|model| (model.name.to_string(), model.role)).collect()
    }

    async fn activate(&self, model: &PinnedModel) {
        self.models.want(Some(model), None);
        self.models.load(model).await.unwrap();
    }
}

fn names(bench: &Bench) -> Vec<String> {
    bench.roles().into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_model_is_loaded_once_for_all_who_wait_for_it() {
    let bench = Bench::new(ModelLimits::default());
    let (release, released) = mpsc::channel();
    *bench.double.release.lock().unwrap() = Some(released);
    let model = bench.package("m", "wait");
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let (models, model) = (Arc::clone(&bench.models), model.clone());
            tokio::spawn(async move { models.get(&model).await })
        })
        .collect();
    release.send(()).unwrap();
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().package.version, model.version);
    }
    assert_eq!(bench.loads(), 1);
    assert_eq!(bench.models.device(), "cpu");
}

#[tokio::test]
async fn a_load_goes_on_when_the_one_who_asked_has_gone() {
    let bench = Bench::new(ModelLimits::default());
    let (release, released) = mpsc::channel();
    *bench.double.release.lock().unwrap() = Some(released);
    let model = bench.package("m", "wait");
    bench.models.want(Some(&model), None);
    let (models, wanted) = (Arc::clone(&bench.models), model.clone());
    let first = tokio::spawn(async move { models.load(&wanted).await.map(|_| ()) });
    while bench.loads() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();
    bench.models.load(&model).await.unwrap();
    assert_eq!((bench.loads(), bench.models.holds(&model)), (1, true));
}

#[tokio::test]
async fn other_bytes_under_the_same_name_are_never_served() {
    let bench = Bench::new(ModelLimits::default());
    let old = bench.package("m", "first");
    let new = bench.package("m", "second");
    let error = bench.models.get(&old).await.unwrap_err();
    assert!(matches!(&error, ModelsError::WrongVersion { found, .. } if *found == new.version), "{error}");
    assert_eq!((bench.loads(), names(&bench)), (0, vec![]));

    // The version in memory stays, whatever is written to disk.
    bench.models.get(&new).await.unwrap();
    bench.package("m", "third");
    assert_eq!(bench.models.get(&new).await.unwrap().package.version, new.version);
}

#[tokio::test]
async fn bytes_that_are_replaced_during_the_load_are_not_served() {
    let bench = Bench::new(ModelLimits::default());
    let model = bench.package("m", "first");
    *bench.double.replace.lock().unwrap() = Some(bench.path("m"));
    let error = bench.models.get(&model).await.unwrap_err();
    assert!(matches!(error, ModelsError::WrongVersion { .. }), "{error}");
    assert!(!bench.models.holds(&model));
}

#[tokio::test]
async fn the_faults_of_a_package_are_all_told() {
    let bench = Bench::new(ModelLimits::default());
    let error = bench.models.get(&bench.package("m", "broken")).await.unwrap_err();
    assert_eq!(error.to_string(), "package `m` cannot be served: one; two");
    let error = bench.models.get(&bench.package("n", "busy")).await.unwrap_err();
    assert_eq!(error.to_string(), "package `n`: out of memory");
    let error = bench.models.get(&bench.package("o", "panic")).await.unwrap_err();
    assert_eq!(error, ModelsError::Unavailable("loading the model was cut off".to_owned()));
    let gone = bench.package("p", "fine");
    fs::remove_file(bench.path("p")).unwrap();
    let error = bench.models.get(&gone).await.unwrap_err();
    assert!(error.to_string().contains("p/p.hdf5"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn jobs_do_not_make_a_broken_package_load_again_and_again() {
    let bench = Bench::new(ModelLimits::default());
    let model = bench.package("m", "busy");
    for _ in 0..5 {
        bench.models.get(&model).await.unwrap_err();
    }
    assert_eq!(bench.loads(), 1);
    // A model that the fleet wants is tried regardless of earlier failures.
    bench.models.load(&model).await.unwrap_err();
    assert_eq!(bench.loads(), 2);
    // Fixed bytes are another version, which loads at once.
    let mended = bench.package("m", "fine");
    bench.models.get(&mended).await.unwrap();
    assert_eq!(bench.loads(), 3);

    let model = bench.package("n", "busy");
    bench.models.get(&model).await.unwrap_err();
    advance(ModelLimits::default().remember_failure).await;
    bench.models.get(&model).await.unwrap_err();
    assert_eq!(bench.loads(), 5);
}

#[tokio::test]
async fn models_for_jobs_make_room_for_each_other_and_for_nothing_else() {
    let bench = Bench::new(ModelLimits { max_extra_models: 2, ..ModelLimits::default() });
    let [old, active, prepared] = ["old", "active", "prepared"].map(|name| bench.package(name, name));
    bench.activate(&old).await;
    bench.models.want(Some(&active), Some(&prepared));
    bench.models.load(&active).await.unwrap();
    bench.models.load(&prepared).await.unwrap();

    let extras = ["w", "x", "y"].map(|name| bench.package(name, name));
    bench.models.get(&extras[0]).await.unwrap();
    bench.models.get(&extras[1]).await.unwrap();
    bench.models.get(&extras[0]).await.unwrap();
    bench.models.get(&extras[2]).await.unwrap();
    assert_eq!(names(&bench), ["active", "old", "prepared", "w", "y"]);
    assert_eq!(
        bench.roles().iter().map(|(_, role)| *role).collect::<Vec<_>>(),
        [
            ModelRole::Active,
            ModelRole::Draining,
            ModelRole::Prepared,
            ModelRole::Draining,
            ModelRole::Draining
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_that_was_active_stays_for_its_jobs_and_then_goes() {
    let bench = Bench::new(ModelLimits { drain_for: Duration::from_secs(60), ..ModelLimits::default() });
    let (old, new) = (bench.package("old", "1"), bench.package("new", "2"));
    bench.activate(&old).await;
    bench.models.want(Some(&old), Some(&new));
    bench.models.load(&new).await.unwrap();
    bench.models.want(Some(&new), None);

    advance(Duration::from_secs(59)).await;
    bench.models.tidy();
    bench.models.get(&old).await.unwrap();
    assert_eq!((names(&bench), bench.loads()), (vec!["new".to_owned(), "old".to_owned()], 2));
    advance(Duration::from_secs(1)).await;
    bench.models.tidy();
    assert_eq!(names(&bench), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn going_back_to_a_model_that_still_drains_loads_nothing() {
    let bench = Bench::new(ModelLimits { drain_for: Duration::from_secs(60), ..ModelLimits::default() });
    let (old, new) = (bench.package("old", "1"), bench.package("new", "2"));
    bench.activate(&old).await;
    bench.activate(&new).await;
    bench.package("old", "other bytes by now");
    bench.models.want(Some(&new), Some(&old));
    bench.models.load(&old).await.unwrap();
    bench.models.want(Some(&old), None);
    // Active again, it is not evicted at the end of its first draining.
    advance(Duration::from_secs(61)).await;
    bench.models.tidy();
    assert_eq!((names(&bench), bench.loads()), (vec!["old".to_owned()], 2));
}

#[tokio::test]
async fn a_target_that_is_rolled_back_is_dropped_even_while_it_loads() {
    let bench = Bench::new(ModelLimits::default());
    let (old, new) = (bench.package("old", "1"), bench.package("new", "2"));
    bench.activate(&old).await;
    bench.models.want(Some(&old), Some(&new));
    bench.models.load(&new).await.unwrap();
    bench.models.want(Some(&old), None);
    assert_eq!(names(&bench), ["old"]);

    // Not wanted any more when it arrives, it is dropped.
    bench.models.load(&new).await.unwrap();
    assert_eq!(names(&bench), ["old"]);
}

/// Loads block until they are released; others end after a moment, and no caller waits forever.
fn impatient() -> ModelLimits {
    let (alone_for, give_up_after) = (Duration::from_millis(50), Duration::from_millis(500));
    ModelLimits { alone_for, give_up_after, max_slow_loads: 1, ..ModelLimits::default() }
}

#[tokio::test]
async fn a_package_that_hangs_while_it_loads_blocks_nobody_else_and_is_given_up() {
    let bench = Bench::new(impatient());
    let (release, released) = mpsc::channel();
    *bench.double.release.lock().unwrap() = Some(released);
    let (hangs, sound) = (bench.package("m", "wait"), bench.package("n", "fine"));
    let (models, model) = (Arc::clone(&bench.models), hangs.clone());
    let first = tokio::spawn(async move { models.get(&model).await.map(|_| ()) });
    while bench.loads() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Another one waits a moment for its turn, not for the end of the first.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let blocked = bench.package("o", "fine");
    let refused = bench.models.get(&blocked).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "package `o`: 1 other packages are still being loaded",
        "memory is bounded"
    );
    // It does not block what the fleet wants.
    bench.models.want(Some(&sound), None);
    bench.models.load(&sound).await.unwrap();

    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "package `m`: it is not loaded after 500ms");
    let began = std::time::Instant::now();
    assert_eq!(bench.models.get(&hangs).await.unwrap_err(), error, "nobody waits for it again");
    assert!(began.elapsed() < Duration::from_millis(400));

    // It was only slow: now it is loaded, and the next one gets its turn.
    release.send(()).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !bench.models.holds(&hangs) {
        assert!(std::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.models.get(&hangs).await.unwrap();
    bench.models.get(&blocked).await.unwrap();
}

#[tokio::test]
async fn a_load_that_takes_long_lets_others_begin_beside_it() {
    let bench = Bench::new(ModelLimits { max_slow_loads: 4, ..impatient() });
    let (_release, released) = mpsc::channel::<()>();
    *bench.double.release.lock().unwrap() = Some(released);
    let (hangs, sound) = (bench.package("m", "wait"), bench.package("n", "fine"));
    let models = Arc::clone(&bench.models);
    let first = tokio::spawn(async move { models.get(&hangs).await.map(|_| ()) });
    while bench.loads() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bench.models.get(&sound).await.unwrap();
    assert!(!first.is_finished(), "the first one is still waited for");
}
