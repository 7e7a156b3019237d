//! Large copies under the lock, beside the same copies without one.

use std::hint::black_box;
use std::ptr::NonNull;

use robust_shm::{SharedArray, unique_name};

use crate::effort::Effort;
use crate::report::{Limit, Part, Row};
use crate::sys;

const ROUNDS: usize = 9;
const MS: u64 = 20;

const PAGE: usize = 4_096;

const WRITE: &str = "SharedArray::copy_from_slice";
const READ: &str = "SharedArray::read_into";
const FLOOR_WRITE: &str = "memcpy into a shared mapping";
const FLOOR_READ: &str = "memcpy from a shared mapping";

pub fn measure(effort: Effort) -> Part {
    let how = format!(
        "{} rounds (small sizes: three times as many) over all contenders, at least {} ms each; processor time; pinned to the second core; new memory in each round, all pages there; the mapping \
         is of a POSIX shared-memory object too",
        effort.rounds(ROUNDS),
        effort.ms(MS)
    );
    let mut part = Part { name: "bulk", how, rows: Vec::new(), bars: Vec::new() };
    sys::pin(1);
    size::<{ 1 << 7 }>(&mut part, "1 KiB", effort);
    size::<{ 1 << 11 }>(&mut part, "16 KiB", effort);
    size::<{ 1 << 15 }>(&mut part, "256 KiB", effort);
    size::<{ 1 << 19 }>(&mut part, "4 MiB", effort);
    if !effort.quick {
        size::<{ 1 << 23 }>(&mut part, "64 MiB", effort);
        size::<{ 1 << 25 }>(&mut part, "256 MiB", effort);
    }
    sys::unpin();
    part
}

fn size<const N: usize>(part: &mut Part, case: &str, effort: Effort) {
    if !effort.wants(case) {
        return;
    }
    let mut memory = vec![7u64; N + PAGE / 8];
    let aligned = memory.as_ptr().align_offset(PAGE);
    let buffer = &mut memory[aligned..][..N];
    let mut rounds = [const { Vec::new() }; 4];
    for round in 0..effort.rounds(if N < 1 << 18 { 3 * ROUNDS } else { ROUNDS }) {
        for (all, one) in rounds.iter_mut().zip(measure_once::<N>(buffer, round % 2 == 0, effort)) {
            all.push(one);
        }
    }
    for (who, rounds) in [WRITE, FLOOR_WRITE, READ, FLOOR_READ].into_iter().zip(rounds) {
        part.rows.push(Row { at: Some(N as u64 * 8), ..Row::new(case, who, "GB/s", rounds) });
    }
    part.bar(case, WRITE, FLOOR_WRITE, Limit::AtLeast(0.95));
    part.bar(case, READ, FLOOR_READ, Limit::AtLeast(0.95));
}

/// With new memory: which physical pages one gets decides about more than is to be measured here.
fn measure_once<const N: usize>(buffer: &mut [u64], ours_first: bool, effort: Effort) -> [f64; 4] {
    let bare = || sys::map_object(N * 8 + PAGE);
    let ours = || SharedArray::<u64, N>::create(&unique_name("peers")).expect("a new name");
    let (array, object) = if ours_first {
        let array = ours();
        (array, bare())
    } else {
        let object = bare();
        (ours(), object)
    };
    // Alike in where they begin within a page: copies depend on that.
    let within_page = array.lock().expect("a new array").as_ptr().addr() % PAGE;
    let plain = object.map_addr(|start| start.checked_add(within_page).expect("within the mapping"));
    // Brings the pages.
    array.copy_from_slice(buffer).expect("nobody else is here");
    copy_in(buffer, plain);
    let rates = [
        rate(N, effort, || array.copy_from_slice(black_box(&*buffer)).expect("nobody else is here")),
        rate(N, effort, || copy_in(black_box(&*buffer), plain)),
        rate(N, effort, || array.read_into(black_box(&mut *buffer)).expect("nobody else is here")),
        rate(N, effort, || copy_out(plain, black_box(&mut *buffer))),
    ];
    sys::unmap(object, N * 8 + PAGE);
    rates
}

/// Bytes in a nanosecond, which are gigabytes in a second.
fn rate(words: usize, effort: Effort, mut copy: impl FnMut()) -> f64 {
    let (start, mut bytes) = (sys::own_time(), 0);
    loop {
        // The clock is read once for about a mebibyte.
        for _ in 0..(131_072 / words).max(1) {
            copy();
            bytes += words * 8;
        }
        let taken = sys::own_time() - start;
        if taken >= effort.ms(MS) * 1_000_000 {
            return bytes as f64 / taken as f64;
        }
    }
}

fn copy_in(from: &[u64], to: NonNull<u8>) {
    // SAFETY: the mapping is as long as the buffer.
    unsafe { to.cast::<u64>().copy_from_nonoverlapping(NonNull::from(from).cast(), from.len()) };
}

fn copy_out(from: NonNull<u8>, to: &mut [u64]) {
    // SAFETY: as above.
    unsafe { from.cast::<u64>().copy_to_nonoverlapping(NonNull::from(&mut *to).cast(), to.len()) };
}
