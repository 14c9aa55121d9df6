//! Earlier bugs are found again when their fixes are removed.

use simulation::options::{Fix, Options};
use simulation::plan::{Cut, Fault, Kind, Plan, Server, What, Who};
use simulation::run;

/// One of so many seeds finds the bug.
const SEEDS: u64 = 40_000;

/// Checks that a seed with such a fault breaks this promise without the fix, and none with it.
fn check(fix: Fix, promise: &str, may_show: impl Fn(&Plan, &Fault) -> bool) {
    let without = Options { without: Some(fix) };
    let shows = |plan: &Plan| {
        let broken = run::plan(plan, without, false).violations;
        broken.iter().any(|what| what.contains(promise))
            && run::plan(plan, Options::default(), false).is_sound()
    };
    let mut plans =
        (0..SEEDS).map(Plan::of).filter(|plan| plan.faults.iter().any(|fault| may_show(plan, fault)));
    assert!(plans.any(|plan| shows(&plan)), "no seed finds what {fix:?} is for");
}

#[test]
fn a_revision_that_is_given_twice_is_found() {
    check(Fix::UniqueRevisions, "was accepted for model", |_, fault| matches!(fault.kind, Kind::Restored(_)));
}

#[test]
fn a_wait_on_a_stream_that_has_ended_is_found() {
    check(Fix::EndsAreTold, "not healed", |_, fault| {
        matches!(fault.kind, Kind::QueueDeleted | Kind::StreamEnds(..))
    });
}

#[test]
fn errors_that_are_lumped_together_are_found() {
    check(Fix::ErrorsAreTold, "the queue was full", |_, fault| {
        matches!(fault.kind, Kind::Nacks | Kind::Alarm)
    });
    check(Fix::ErrorsAreTold, "not healed", |_, fault| matches!(fault.kind, Kind::Failover));
}

#[test]
fn patience_until_the_deadline_is_found() {
    check(Fix::ShortPatience, "the deadline passed", |_, fault| {
        matches!(fault.kind, Kind::Link(Who::Worker(_), Server::Store, Cut::Both | Cut::Requests))
    });
}

#[test]
fn an_order_that_outlives_who_gave_it_is_found() {
    check(Fix::LastMoments, "began long after", |plan, fault| {
        let Kind::Late(Who::Api(late)) = fault.kind else { return false };
        plan.orders.iter().any(|order| {
            order.api == late && order.what != What::Replay && (fault.at..fault.over()).contains(&order.at)
        })
    });
}
