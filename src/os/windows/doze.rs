//! A short sleep.

use std::time::Duration;

/// `true`: there are no signals that could end it.
pub(super) fn doze(pause: Duration) -> bool {
    std::thread::sleep(pause);
    true
}
