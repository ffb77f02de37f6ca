//! Has old segments in the bucket, and nothing else of ours.

use std::sync::Arc;
use std::time::Duration;

use base::client::chain;
use base::health::ComponentHandle;
use base::supervise::{BoxError, Criticality, Scope, Service};
use signals::{ObjectFacts, SegmentFacts, Store, StoreError};

use super::gauges::ObjectGauges;
use crate::objects::BucketObjects;
use crate::samples::{Samples, UseError};

/// How often it is looked whether a segment is old enough, and something to be removed.
const INTERVAL: Duration = Duration::from_secs(30);

/// Moves one segment after another; in a service of its own, so that upkeep never waits for a bucket.
pub(super) fn service(
    samples: Samples,
    bucket: Arc<BucketObjects>,
    (gauges, component): (ObjectGauges, ComponentHandle),
) -> Service {
    Service::new(
        "samples.objects",
        Criticality::Plain,
        move |scope| async move { run(&scope, &samples, &bucket, (&gauges, &component)).await },
    )
}

async fn run(
    scope: &Scope,
    samples: &Samples,
    bucket: &BucketObjects,
    (gauges, component): (&ObjectGauges, &ComponentHandle),
) -> Result<(), BoxError> {
    loop {
        let working = samples.run(|store, now| (work(store, now), store.object_facts()));
        tokio::pin!(working);
        let worked = tokio::select! {
            worked = &mut working => worked,
            () = scope.stopping() => {
                // The store is closed when nobody uses it any more.
                bucket.stop();
                working.await.ok();
                return Ok(());
            }
        };
        let is_more = match worked {
            Ok((done, facts)) => {
                gauges.set(&facts);
                told(done, &facts, component)
            }
            // A predecessor has the store still.
            Err(UseError::Closed) => false,
            Err(error) => return Err(error.into()),
        };
        if is_more {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = scope.stopping() => return Ok(()),
        }
    }
}

/// Removing comes first, and moving goes on when it fails.
fn work(store: &Store, now: i64) -> Result<Option<SegmentFacts>, StoreError> {
    let swept = store.sweep_objects();
    let moved = store.move_next(now)?;
    swept.map(|_| moved)
}

/// Says what happened; whether there may be more to move.
fn told(
    done: Result<Option<SegmentFacts>, StoreError>,
    facts: &ObjectFacts,
    component: &ComponentHandle,
) -> bool {
    match done {
        Ok(None) => {
            component.ok();
            false
        }
        Ok(Some(moved)) => {
            let SegmentFacts { number, bytes, .. } = moved;
            let segments = facts.segments;
            tracing::info!(number, bytes, segments, "a segment lies in the bucket now");
            true
        }
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "segments can't be moved into the bucket now");
            component.degraded(error);
            false
        }
    }
}
