//! Which of the peers a figure is put beside.

use crate::report::{Part, Row};

pub fn is_rate(row: &Row) -> bool {
    row.unit.ends_with("/s")
}

/// The time that ours takes in proportion to theirs.
pub fn time_ratio(ours: &Row, theirs: &Row) -> f64 {
    let (ours_is, theirs_is) = (ours.median(), theirs.median());
    if is_rate(ours) { theirs_is / ours_is } else { ours_is / theirs_is }
}

fn is_floor(row: &Row) -> bool {
    ["floor", "bare", "memcpy"].iter().any(|floor| row.who.starts_with(floor))
}

fn in_one_process(row: &Row) -> bool {
    row.who.ends_with("(one process)")
}

/// The cases of a part, in order.
pub fn cases(part: &Part) -> Vec<&str> {
    let mut cases: Vec<&str> = part.rows.iter().map(|row| row.case.as_str()).collect();
    cases.dedup();
    cases
}

pub fn of_case<'a>(part: &'a Part, case: &str) -> impl Iterator<Item = &'a Row> {
    part.rows.iter().filter(move |row| row.case == case)
}

/// The fastest of those between processes; where there is none, the floor.
pub fn best_peer<'a>(part: &'a Part, ours: &Row) -> Option<&'a Row> {
    let faster = |a: &&Row, b: &&Row| {
        let order = a.median().total_cmp(&b.median());
        if is_rate(ours) { order.reverse() } else { order }
    };
    let others = || of_case(part, &ours.case).filter(|row| !row.ours && !in_one_process(row));
    let floor = || of_case(part, &ours.case).filter(|row| is_floor(row)).find(|row| fits(ours, row));
    others().filter(|row| !is_floor(row)).min_by(faster).or_else(floor)
}

/// A copy in is beside a copy in, and a copy out beside a copy out.
fn fits(ours: &Row, floor: &Row) -> bool {
    !floor.who.starts_with("memcpy") || ours.who.ends_with("copy_from_slice") == floor.who.starts_with("memcpy into")
}
