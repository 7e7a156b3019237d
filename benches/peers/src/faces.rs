//! A slice beside an array, and an observer beside a user: what a length at run time, and being nobody's user, costs.

use std::hint::black_box;

use robust_shm::{SharedArray, SharedSlice, SharedValue, unique_name};

use crate::effort::Effort;
use crate::report::{Limit, Part};
use crate::sys;
use crate::uncontended::{Field, rows};

const LEN: usize = 1 << 15;

const INDEX: &str = "lock, add one to an element, unlock";
const WALK: &str = "add one to each of 32,768 elements under one lock";
const WRITE: &str = "copy 256 KiB in";
const READ: &str = "copy 256 KiB out";
const GET: &str = "get a u64";
const GET_LONG: &str = "get 512 bytes";
const SLICE: &str = "SharedSlice";
const ARRAY: &str = "SharedArray";
const MEMCPY: &str = "memcpy";
const OBSERVER: &str = "Shared observer";
const VALUE: &str = "SharedValue";

fn name() -> String {
    unique_name("peers")
}

pub fn measure(effort: Effort) -> Part {
    let how = "processor time, pinned to the second core; contenders take turns in each round".to_owned();
    let mut part = Part { name: "faces", how, rows: Vec::new(), bars: Vec::new() };
    let array = SharedArray::<u64, LEN>::create(&name()).expect("a new name");
    let slice = SharedSlice::<u64>::create(&name(), LEN).expect("a new name");
    let (long, plain) = (sys::map_object(LEN * 8), vec![7u64; LEN]);
    let (mut of_slice, mut of_array, mut of_memcpy) = (plain.clone(), plain.clone(), plain.clone());
    let value = SharedValue::create(&name(), 1u64).expect("a new name");
    let observer = SharedValue::<u64>::observe(value.name()).expect("it is there");
    let large = SharedValue::create(&name(), [1u64; 64]).expect("a new name");
    let large_observer = SharedValue::<[u64; 64]>::observe(large.name()).expect("it is there");
    let at = black_box(5);
    let mut field = Field(Vec::new());
    field.add(INDEX, SLICE, || black_box(&slice).lock().unwrap()[black_box(at)] += 1);
    field.add(INDEX, ARRAY, || black_box(&array).lock().unwrap()[black_box(at)] += 1);
    field.add(WALK, SLICE, || black_box(&slice).lock().unwrap().iter_mut().for_each(|element| *element += 1));
    field.add(WALK, ARRAY, || black_box(&array).lock().unwrap().iter_mut().for_each(|element| *element += 1));
    field.add(WRITE, SLICE, || black_box(&slice).copy_from_slice(black_box(&plain)).unwrap());
    field.add(WRITE, ARRAY, || black_box(&array).copy_from_slice(black_box(&plain)).unwrap());
    field.add(WRITE, MEMCPY, || {
        // SAFETY: a mapping of as many bytes, which nobody else uses.
        unsafe { long.cast::<u64>().as_ptr().copy_from_nonoverlapping(black_box(&plain).as_ptr(), LEN) };
    });
    field.add(READ, SLICE, || black_box(&slice).read_into(black_box(&mut of_slice)).unwrap());
    field.add(READ, ARRAY, || black_box(&array).read_into(black_box(&mut of_array)).unwrap());
    field.add(READ, MEMCPY, || {
        // SAFETY: as above.
        unsafe { long.cast::<u64>().as_ptr().copy_to_nonoverlapping(black_box(&mut of_memcpy).as_mut_ptr(), LEN) };
    });
    field.add(GET, OBSERVER, || _ = black_box(black_box(&observer).get()));
    field.add(GET, VALUE, || _ = black_box(black_box(&value).get()));
    field.add(GET_LONG, OBSERVER, || _ = black_box(black_box(&large_observer).get()));
    field.add(GET_LONG, VALUE, || _ = black_box(black_box(&large).get()));
    field.0.retain(|contender| effort.wants(contender.case));
    sys::pin(1);
    part.rows = rows(field, effort);
    sys::unpin();
    // Times: 1 ÷ 0.98, and 1 ÷ 0.95, of the rates.
    for case in [INDEX, WALK, WRITE, READ] {
        part.bar(case, SLICE, ARRAY, Limit::AtMost(1.02));
    }
    for case in [WRITE, READ] {
        part.bar(case, SLICE, MEMCPY, Limit::AtMost(1.05));
    }
    for case in [GET, GET_LONG] {
        part.bar(case, OBSERVER, VALUE, Limit::AtMost(1.02));
    }
    sys::unmap(long, LEN * 8);
    part
}
