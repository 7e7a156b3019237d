//! A value of another machine, copied here.

use std::convert::Infallible;

use zenoh::handlers::RingChannel;
use zenoh::{Session, Wait};

use crate::arguments::Route;
use crate::copy::Copy;
use crate::{Failure, HEARTBEAT};

/// So many snapshots may wait to be written; of more the oldest are dropped.
const WAITING: usize = 16;

pub(crate) fn import(session: &Session, route: &Route) -> Result<Infallible, Failure> {
    let mut copy = Copy::new(route)?;
    let news = session.declare_subscriber(&route.key).with(RingChannel::new(WAITING)).wait()?;
    // What there is already. Where nobody answers yet, it comes with the next heartbeat.
    let answers = session.get(&route.key).timeout(HEARTBEAT).wait()?;
    while let Ok(answer) = answers.recv() {
        if let Ok(sample) = answer.result() {
            copy.hear(&sample.payload().to_bytes());
        }
    }
    loop {
        copy.hear(&news.recv()?.payload().to_bytes());
    }
}
