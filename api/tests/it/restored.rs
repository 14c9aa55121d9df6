//! A store that comes back with an older state.

use common::store::{Revised, Store};

use crate::harness::{Answer, Server};

async fn model_of_a_prediction(server: &Server) -> String {
    let answer = Answer::of(server.predict(&["dog"])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["response"]["model"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_swap_in_a_store_that_came_back_older_is_in_force_at_once() {
    let (server, _worker) = Server::ready(&[]).await;
    let older = server.store.fleet().await.unwrap();
    server.swap("pets_v2").await;
    assert_eq!(model_of_a_prediction(&server).await, "pets_v2");

    server.store.restore(older).await;
    server.swap("pets").await;
    for _ in 0..5 {
        assert_eq!(model_of_a_prediction(&server).await, "pets");
    }
}

/// A release that counts revisions may be part of the fleet. After a restore it counts on from an older number, so a
/// revision that was seen with one model is assigned to another.
#[tokio::test]
async fn a_process_that_swaps_forgets_what_it_remembered_also_where_revisions_repeat() {
    let (server, _worker) = Server::ready(&[]).await;
    let older = server.store.fleet().await.unwrap();
    server.swap("pets_v2").await;
    assert_eq!(model_of_a_prediction(&server).await, "pets_v2");
    let seen = server.store.fleet().await.unwrap().revision;

    server.store.restore(older).await;
    server.swap("pets").await;
    let value = server.store.fleet().await.unwrap().value;
    server.store.restore(Revised { revision: seen, value }).await;
    for _ in 0..5 {
        assert_eq!(model_of_a_prediction(&server).await, "pets");
    }
}

#[tokio::test]
async fn a_rollout_that_the_store_lost_is_an_error_and_not_waited_for() {
    let (server, _worker) = Server::ready(&[]).await;
    let older = server.store.fleet().await.unwrap();
    let swapping = tokio::spawn(Answer::of(server.put("/classifier/prediction-service/never")));
    while server.store.fleet().await.unwrap() == older {
        tokio::task::yield_now().await;
    }
    server.store.restore(older).await;
    swapping.await.unwrap().is_problem(503, "rollout_failed", "older state");
    assert_eq!(model_of_a_prediction(&server).await, "pets");
}
