//! The same seed gives the same run.

use simulation::options::Options;
use simulation::plan::Plan;
use simulation::run;

#[test]
fn a_seed_takes_the_same_course_each_time() {
    for seed in 0..40 {
        let plan = Plan::of(seed);
        let courses = [(); 2].map(|()| run::plan(&plan, Options::default(), true).lines);
        let [first, second] = &courses;
        let differs = first.iter().zip(second).position(|(one, other)| one != other);
        if let Some(line) = differs {
            panic!("seed {seed} differs:\n{}\n{}", first[line], second[line]);
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
