//! What must become of a file with given bytes: written from the description of the layout, and not from the code that
//! it judges.

use std::ops::Range;

use crate::text::{self, Said};

pub(crate) const HEADER: usize = 512;
const LOCK_LINE: u64 = 64;
const WAIT_LINE: u64 = 64;
const COMMIT_LINE: u64 = 64;
const READER_LINE: u64 = 64;
const PAGE: u64 = 4096;
const LARGEST_VALUE: u64 = 64 << 10;
const LONGEST_SCHEMA: u64 = 4096;

/// The fields of the header.
pub(crate) const MAGIC: Range<usize> = 0..8;
pub(crate) const VERSION: Range<usize> = 8..12;
pub(crate) const BYTE_ORDER: Range<usize> = 12..16;
pub(crate) const POINTER_WIDTH: Range<usize> = 16..20;
pub(crate) const HEADER_LEN: Range<usize> = 20..24;
pub(crate) const TOTAL_LEN: Range<usize> = 24..32;
pub(crate) const KIND: Range<usize> = 48..52;
pub(crate) const LOCK_KIND: Range<usize> = 52..56;
pub(crate) const FLAGS: Range<usize> = 56..60;
pub(crate) const TYPE_NAME_LEN: Range<usize> = 60..64;
pub(crate) const ELEM_SIZE: Range<usize> = 64..72;
pub(crate) const ELEM_ALIGN: Range<usize> = 72..80;
pub(crate) const LEN: Range<usize> = 80..88;
pub(crate) const DATA_OFFSET: Range<usize> = 88..96;
pub(crate) const PID_NAMESPACE: Range<usize> = 96..104;
pub(crate) const CREATED: Range<usize> = 104..112;
pub(crate) const CREATOR_PID: Range<usize> = 112..116;
pub(crate) const CREATOR_UID: Range<usize> = 116..120;
pub(crate) const TYPE_NAME: Range<usize> = 120..248;
pub(crate) const READERS: Range<usize> = 248..252;
pub(crate) const PERMITS: Range<usize> = 252..256;
pub(crate) const SCHEMA_LEN: Range<usize> = 256..260;
pub(crate) const C_LIBRARY: Range<usize> = 260..264;
/// All that is zero in every segment of these tests. What stands behind it, of a successor, may be anything.
pub(crate) const RESERVED: Range<usize> = 260..448;

/// All of them that are numbers.
pub(crate) const NUMBERS: [Range<usize>; 22] = [
    VERSION,
    BYTE_ORDER,
    POINTER_WIDTH,
    HEADER_LEN,
    TOTAL_LEN,
    32..40, // half of the id
    KIND,
    LOCK_KIND,
    FLAGS,
    TYPE_NAME_LEN,
    ELEM_SIZE,
    ELEM_ALIGN,
    LEN,
    DATA_OFFSET,
    PID_NAMESPACE,
    CREATED,
    CREATOR_PID,
    CREATOR_UID,
    READERS,
    PERMITS,
    SCHEMA_LEN,
    C_LIBRARY,
];

pub(crate) const VALUE: u64 = 1;
pub(crate) const ARRAY: u64 = 2;
pub(crate) const LOCK: u64 = 3;
pub(crate) const EVENT: u64 = 4;
pub(crate) const RWLOCK: u64 = 5;
pub(crate) const PERSISTENT: u64 = 1;
pub(crate) const TAGGED: u64 = 2;
pub(crate) const POISON_OFF: u64 = 4;

pub(crate) fn number(bytes: &[u8], field: Range<usize>) -> u64 {
    bytes[field].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

pub(crate) fn set_number(bytes: &mut [u8], field: Range<usize>, value: u64) {
    let len = field.len();
    bytes[field].copy_from_slice(&value.to_le_bytes()[..len]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No segment: nobody touches it, whatever he was asked for.
    Stranger,
    /// A segment that no one can use, or of another format. It goes when somebody removes it by its name.
    Damaged,
    Segment {
        persistent: bool,
    },
}

/// Judges a file of `len` bytes that starts with `bytes`.
pub(crate) fn judge(bytes: &[u8], len: u64) -> Verdict {
    if bytes.get(MAGIC) != Some(b"rbstSHM\0") {
        return Verdict::Stranger;
    }
    if bytes.len() < HEADER {
        return Verdict::Damaged;
    }
    let ours = [(VERSION, 2), (BYTE_ORDER, 0x0102_0304), (POINTER_WIDTH, 64), (HEADER_LEN, HEADER as u64)];
    if ours.into_iter().any(|(field, expected)| number(bytes, field) != expected) {
        return Verdict::Damaged;
    }
    if !agrees_with_itself(bytes) || len < number(bytes, TOTAL_LEN) || has_what_nobody_fills(bytes, len) {
        return Verdict::Damaged;
    }
    if !text::is_possible(&schema(bytes), number(bytes, ELEM_SIZE), number(bytes, KIND) == ARRAY) {
        return Verdict::Damaged;
    }
    Verdict::Segment { persistent: number(bytes, FLAGS) & PERSISTENT != 0 }
}

fn agrees_with_itself(bytes: &[u8]) -> bool {
    let [kind, size, align, count, readers] =
        [KIND, ELEM_SIZE, ELEM_ALIGN, LEN, READERS].map(|field| number(bytes, field));
    let most_readers = if has_readers(kind) { 64 } else { 0 };
    let name_len = number(bytes, TYPE_NAME_LEN) as usize;
    let Some((name, rest)) = bytes[TYPE_NAME].split_at_checked(name_len) else { return false };
    let shape_is_possible = match kind {
        VALUE => count == 1 && size <= LARGEST_VALUE,
        ARRAY => true,
        LOCK | EVENT | RWLOCK => count == 0 && size == 0,
        _ => false,
    };
    shape_is_possible
        && [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, PAGE].contains(&align)
        && size % align == 0
        && matches!(number(bytes, LOCK_KIND), 1 | 2)
        && number(bytes, FLAGS) <= PERSISTENT + TAGGED + POISON_OFF
        && ([ARRAY, LOCK, RWLOCK].contains(&kind) || number(bytes, FLAGS) & POISON_OFF == 0)
        && std::str::from_utf8(name).is_ok()
        && rest.iter().chain(&bytes[PERMITS]).chain(&bytes[RESERVED]).all(|byte| *byte == 0)
        && readers <= most_readers
        && number(bytes, SCHEMA_LEN) <= if [VALUE, ARRAY].contains(&kind) { LONGEST_SCHEMA } else { 0 }
        && extent(kind, size, align, count, readers)
            .is_some_and(|(start, end)| start == number(bytes, DATA_OFFSET) && Some(end) == end_of_data(bytes))
}

fn end_of_data(bytes: &[u8]) -> Option<u64> {
    number(bytes, TOTAL_LEN).checked_sub(number(bytes, SCHEMA_LEN))
}

/// The text at the end, of a header that agrees with itself. What `bytes` does not have of the file is zero.
pub(crate) fn schema(bytes: &[u8]) -> Vec<u8> {
    let (start, len) = (end_of_data(bytes).unwrap_or(0), number(bytes, SCHEMA_LEN));
    (start..start + len).map(|at| bytes.get(at as usize).copied().unwrap_or(0)).collect()
}

fn has_readers(kind: u64) -> bool {
    [ARRAY, RWLOCK].contains(&kind)
}

/// Is the wait line of an event in use, which is kept for what is to come, or does the reader line name slots that there are not?
/// What `bytes` does not have of the file is zero.
fn has_what_nobody_fills(bytes: &[u8], len: u64) -> bool {
    let wait = HEADER + LOCK_LINE as usize;
    let readers = wait + WAIT_LINE as usize;
    let may_be_set = |at: usize| at < 16 && at % 8 * 8 < number(bytes, READERS) as usize;
    let strange_bits = |(at, byte): (usize, &u8)| {
        let room = (number(bytes, READERS) as usize).saturating_sub(at % 8 * 8);
        let bits = if may_be_set(at) && room < 8 { (1u8 << room) - 1 } else { 0xff };
        if may_be_set(at) { byte & !bits } else { *byte }
    };
    let line = bytes.iter().take(readers + READER_LINE as usize).skip(readers).enumerate();
    number(bytes, KIND) == EVENT && bytes.iter().take(readers).skip(wait).any(|byte| *byte != 0)
        || has_readers(number(bytes, KIND))
            && len >= readers as u64 + READER_LINE
            && line.map(strange_bits).any(|byte| byte != 0)
}

/// Where the data begin, and the length of it all. `None` when no address space has room for it.
pub(crate) fn extent(kind: u64, size: u64, align: u64, count: u64, readers: u64) -> Option<(u64, u64)> {
    let body = HEADER as u64 + LOCK_LINE + WAIT_LINE;
    let behind_readers = (body + READER_LINE).checked_add(readers * LOCK_LINE)?;
    match kind {
        // Up to three words stand in the commit line itself, twice.
        VALUE if size <= 24 => Some((body + 16, body + COMMIT_LINE)),
        VALUE => {
            let slot = size.next_multiple_of(8);
            let start = body + COMMIT_LINE;
            Some((start, start + slot.next_multiple_of(64) + slot))
        }
        ARRAY => {
            let start = behind_readers.next_multiple_of(align.max(64));
            let end = u128::from(size) * u128::from(count) + u128::from(start);
            (end <= i64::MAX as u128).then_some((start, end as u64))
        }
        RWLOCK => Some((behind_readers, behind_readers)),
        _ => Some((body, body)),
    }
}

/// Does a program that expects one valid segment take the other?
pub(crate) fn is_same_type(found: &[u8], expected: &[u8]) -> bool {
    is_same_element(found, expected) && found[LEN] == expected[LEN]
}

/// Whatever their lengths?
pub(crate) fn is_same_element(found: &[u8], expected: &[u8]) -> bool {
    let is_equal = |field: Range<usize>| found[field.clone()] == expected[field];
    let tagged = [found, expected].map(|it| number(it, FLAGS) & TAGGED != 0);
    let same_name = is_equal(TYPE_NAME_LEN) && is_equal(TYPE_NAME) && tagged[0] == tagged[1];
    let agree = match [found, expected].map(|it| text::parse(&schema(it))) {
        [Some(Said { words, .. }), Some(other)] => {
            words == other.words && number(expected, ELEM_ALIGN) <= number(found, ELEM_ALIGN).max(64)
        }
        _ => same_name && is_equal(ELEM_ALIGN),
    };
    is_equal(KIND) && is_equal(ELEM_SIZE) && agree && (tagged == [false, false] || same_name)
}
