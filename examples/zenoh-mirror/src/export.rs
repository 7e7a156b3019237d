//! A value of this machine, shown to others.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use robust_shm::dynamic::DynValue;
use robust_shm::{Error, LockError};
use zenoh::pubsub::Publisher;
use zenoh::{Session, Wait};

use crate::arguments::Route;
use crate::message::Message;
use crate::voice::Voice;
use crate::{Failure, HEARTBEAT};

/// Between two snapshots: a writer that never rests does not fill the network, nor what lies on the way.
const PAUSE: Duration = Duration::from_millis(1);

/// The last snapshot, for those who ask.
type Latest = Arc<Mutex<Option<Vec<u8>>>>;

pub(crate) fn export(session: &Session, route: &Route) -> Result<Infallible, Failure> {
    let latest = Latest::default();
    let (answer, key) = (Arc::clone(&latest), route.key.clone());
    let _queryable = session
        .declare_queryable(&route.key)
        .callback(move |query| {
            let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(answer) = answer {
                let _ = query.reply(&key, answer).wait(); // who has gone needs none
            }
        })
        .wait()?;
    let publisher = session.declare_publisher(&route.key).wait()?;
    let mut voice = Voice::new();
    loop {
        match DynValue::open(&route.name) {
            Ok(value) => follow(&value, &latest, &publisher, &mut voice, route)?,
            Err(Error::NotFound { .. }) => voice.say(format!("waits for {:?}", route.name)),
            Err(error) => voice.say(error.to_string()),
        }
        thread::sleep(HEARTBEAT);
    }
}

/// Sends each change, or that there was none, until the value is removed.
fn follow(
    value: &DynValue,
    latest: &Latest,
    publisher: &Publisher<'_>,
    voice: &mut Voice,
    route: &Route,
) -> Result<(), Failure> {
    let Some(schema) = value.schema().cloned() else {
        voice.say(format!(
            "{:?} does not describe itself, and is not shown: its creator says `described()`",
            route.name
        ));
        return Ok(());
    };
    let mut message = Message { origin: value.info()?.id(), commits: u64::MAX, schema, value: vec![0; value.size()] };
    voice.say(format!("shows {:?} as {:?}", route.name, route.key));
    while !value.is_removed() {
        match value.wait_newer_for(&mut message.commits, &mut message.value, HEARTBEAT) {
            Ok(()) | Err(LockError::TimedOut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let snapshot = message.to_bytes();
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
        publisher.put(snapshot).wait()?;
        thread::sleep(PAUSE);
    }
    *latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    Ok(())
}
