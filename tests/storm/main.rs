//! The storm: many processes at work on everything there is, while a killer sends SIGKILL at random and new ones come. Values,
//! elements, locks, readers side by side, conditions, events, permits and watchers, all in one.
//!
//! ```sh
//! cargo test --test storm                                                        # 10 s, as in `cargo test`
//! ROBUST_SHM_STORM_SECONDS=120 cargo test --release --test storm -- --nocapture  # more than 10,000 kills
//! ```
//!
//! `ROBUST_SHM_STORM_PROCESSES` (8; at most 256) and `ROBUST_SHM_STORM_SEED` (a fresh one, which is printed) set the rest.
//! With the same seed, every round begins with the same choices, in the same order: whom the killer kills, after which
//! pause, and what each worker does. A seed does not repeat the interleaving, nor at which instruction a kill arrives, nor
//! how many of the choices are reached before the round's time is over.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod ledger;
mod sleepers;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod weather;
mod worker;

use support::{Family, play, spawn};

#[test]
fn child() {
    play(&[("storm", |family| weather::Storm::new(family).rage())]);
}

#[test]
fn kills_lose_no_commit_tear_no_value_hang_nobody_and_leave_nothing() {
    let family = Family::new("storm");
    let mut storm = spawn("storm", family.name());
    let report = loop {
        let said = storm.hear();
        println!("{said}");
        if let Some(report) = said.strip_prefix("over: ") {
            break report.to_owned();
        }
    };
    assert!(storm.wait_for_end().success(), "{report}");
    assert_eq!(family.living(), [""; 0], "left over");
}
