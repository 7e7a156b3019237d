//! How long an attempt is repeated that others are in the way of, and what is said when it was not long enough.

use std::io;
use std::time::Duration;

use super::found::os_error;
use crate::error::Error;
use crate::name::Name;
use crate::os::{Deadline, file, file_lock};

/// A bounded readiness to try again: for some seconds, and for as many attempts as there are in these when nothing is in
/// the way but a stopped process. On a machine that is given to hundreds of processes, seconds are few attempts, and each of
/// them may meet another process in the middle of its own.
pub(super) struct Retries {
    until: Option<Deadline>,
    pause: Duration,
    attempts: u32,
}

impl Retries {
    const LIMIT: Duration = Duration::from_secs(5);
    const LONGEST_PAUSE: Duration = Duration::from_millis(5);
    /// A quarter of those that such a wait has on an idle machine.
    const FEW: u32 = 200;

    pub(super) fn new() -> Self {
        Self { until: None, pause: Duration::from_micros(20), attempts: 0 }
    }

    /// Pauses before the next attempt, or says who is in the way when there were enough of them.
    pub(super) fn wait(&mut self, name: &Name, action: &'static str) -> Result<(), Error> {
        let until = *self.until.get_or_insert_with(|| Deadline::after(Self::LIMIT).unwrap_or_else(Deadline::now));
        self.attempts += 1;
        if until.has_passed() && self.attempts > Self::FEW {
            return Err(os_error(name, action, io::Error::new(io::ErrorKind::TimedOut, who_is_in_the_way(name))));
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
        Ok(())
    }
}

fn who_is_in_the_way(name: &Name) -> String {
    let lockers =
        file::status_of(name.as_str()).ok().and_then(|status| file_lock::lockers(&status)).unwrap_or_default();
    match lockers.iter().find(|locker| locker.exclusive) {
        Some(locker) => format!("process {} holds it exclusively and does not go on (is it stopped?)", locker.pid),
        None => "other programs kept creating and removing it, or one was stopped while it removed it".to_owned(),
    }
}
