//! Segments that were damaged in every way that comes to mind.

use std::sync::mpsc;

use crate::model;
use crate::mutation::{self, Image};
use crate::support::{COST_OF_A_PROCESS, LIMIT, Random};
use crate::trial::Ground;

/// Of so many inputs one is tried: more of them are passed over where opening is as dear as a process, or where an emulator is
/// asked to be done in time.
fn one_of() -> usize {
    const ONE_OF: &str = "ROBUST_SHM_HOSTILE_ONE_OF";
    std::env::var(ONE_OF).map_or(COST_OF_A_PROCESS * COST_OF_A_PROCESS, |number| number.parse().unwrap())
}

const BETWEEN_WORDS: u64 = 64 / COST_OF_A_PROCESS as u64;

/// Tries all images that `images` makes of the seeds. Says which one it was that failed, and fails when one hangs.
fn try_each(images: impl FnOnce(&[Image], &mut dyn FnMut(Image)) + Send + 'static) {
    let (progress, seen) = mpsc::channel();
    let one_of = one_of();
    let thread = std::thread::spawn(move || {
        let mut ground = Ground::new();
        let seeds = ground.seeds();
        let (mut met, mut count) = (0_usize, 0);
        images(&seeds, &mut |image| {
            met += 1;
            if !met.is_multiple_of(one_of) {
                return;
            }
            let start = image.bytes.get(..model::HEADER).unwrap_or(&image.bytes).to_vec();
            let attempt = std::panic::AssertUnwindSafe(|| ground.try_next(&image));
            if let Err(panic) = std::panic::catch_unwind(attempt) {
                eprintln!("input {count}, of {} bytes: {start:?}", image.len);
                std::panic::resume_unwind(panic);
            }
            count += 1;
            if count % BETWEEN_WORDS == 0 {
                let _ = progress.send(());
            }
        });
        count
    });
    loop {
        match seen.recv_timeout(LIMIT) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{BETWEEN_WORDS} inputs took longer than {LIMIT:?}"),
        }
    }
    let count = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    println!("{count} inputs");
}

#[test]
fn undamaged_segments_are_what_they_are() {
    try_each(|seeds, attempt| {
        // Each as each type, in both ways of creation.
        seeds.iter().for_each(|seed| (0..16).for_each(|_| attempt(seed.clone())));
    });
}

#[test]
fn every_number_of_the_header_at_every_edge() {
    try_each(|seeds, attempt| seeds.iter().flat_map(mutation::fields).for_each(attempt));
}

#[test]
fn every_bit_of_every_byte() {
    try_each(|seeds, attempt| seeds.iter().flat_map(mutation::flips).for_each(attempt));
}

#[test]
fn every_length() {
    try_each(|seeds, attempt| seeds.iter().flat_map(mutation::lengths).for_each(attempt));
}

#[test]
fn random_damage() {
    const INPUTS: &str = "ROBUST_SHM_HOSTILE_INPUTS";
    let asked: Option<usize> = std::env::var(INPUTS).ok().map(|inputs| inputs.parse().unwrap());
    // The same inputs every time, unless more were asked for.
    let seed = asked.map_or(1, |_| u64::from(std::process::id()));
    println!("seed {seed}");
    try_each(move |seeds, attempt| {
        let mut random = Random::new(seed);
        for _ in 0..asked.unwrap_or(30_000) {
            let seed = &seeds[random.below(seeds.len())];
            attempt(mutation::random(seed, seeds, &mut random));
        }
    });
}
