//! Damage of every kind to the bytes of a segment.

use crate::model::{
    self, ARRAY, ELEM_ALIGN, ELEM_SIZE, HEADER, KIND, LEN, LOCK, NUMBERS, READERS, RESERVED, SCHEMA_LEN, TYPE_NAME,
    VALUE,
};
use crate::support::Random;

/// A file: its first bytes, and a length, which may be more (then a hole follows).
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: u64,
}

impl Image {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { bytes, len }
    }

    fn truncated(mut self, len: usize) -> Self {
        self.bytes.truncate(len);
        self.len = self.bytes.len() as u64;
        self
    }

    /// Changes bytes of the header, if they have not been cut off.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Numbers at which code goes wrong.
const EDGES: [u64; 35] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    24,
    25,
    63,
    64,
    65,
    127,
    128,
    129,
    248,
    511,
    512,
    513,
    575,
    576,
    640,
    704,
    4095,
    4096,
    4097,
    64 << 10,
    (64 << 10) + 8,
    1 << 31,
    u32::MAX as u64,
    1 << 47,
    i64::MAX as u64,
    u64::MAX,
];

/// Every field with every edge, and each a little more and less than it was.
pub(crate) fn fields(seed: &Image) -> impl Iterator<Item = Image> {
    NUMBERS.into_iter().flat_map(move |field| {
        let was = model::number(&seed.bytes, field.clone());
        let near = [was.wrapping_sub(1), was.wrapping_add(1), was.wrapping_mul(2), !was, was.swap_bytes()];
        EDGES.into_iter().chain(near).map(move |value| {
            let mut image = seed.clone();
            model::set_number(&mut image.bytes, field.clone(), value);
            image
        })
    })
}

/// Every bit of every byte in front of the data and behind them (of persistent segments, which are all that can be opened), and
/// every byte as a whole.
pub(crate) fn flips(seed: &Image) -> impl Iterator<Item = Image> {
    let persistent = model::number(&seed.bytes, model::FLAGS) & model::PERSISTENT != 0;
    const DATA: usize = 704;
    let end = seed.bytes.len();
    let text = end - model::number(&seed.bytes, model::SCHEMA_LEN) as usize;
    let front = text.min(DATA + 200);
    (0..front).chain(text..end).flat_map(move |at| {
        (if (at < DATA || at >= text) && persistent { 0..8 } else { 0..0 }).map(|bit| 1 << bit).chain([0xff]).map(
            move |flip: u8| {
                let mut image = seed.clone();
                image.bytes[at] ^= flip;
                image
            },
        )
    })
}

/// Every length from nothing to all (some of the thousands that long data have), and more than all.
pub(crate) fn lengths(seed: &Image) -> impl Iterator<Item = Image> {
    let most = seed.bytes.len();
    let shorter = (0..=most)
        .filter(move |len| *len < 1000 || len % 64 == 0 || most - len < 64)
        .map(|len| seed.clone().truncated(len));
    let len = seed.len;
    let longer = [len + 1, len.next_multiple_of(4096), len.next_multiple_of(4096) + 1, 1 << 20, 1 << 40, 1 << 62];
    shorter.chain(longer.into_iter().map(|len| Image { bytes: seed.bytes.clone(), len }))
}

/// One to four random changes.
pub(crate) fn random(seed: &Image, others: &[Image], random: &mut Random) -> Image {
    let mut image = seed.clone();
    for _ in 0..1 + random.below(4) {
        change(&mut image, others, random);
    }
    if image.len > image.bytes.len() as u64 && image.bytes.len() < HEADER {
        image.bytes.resize(image.len.min(HEADER as u64) as usize, 0); // a hole reads as zeros
    }
    image
}

fn change(image: &mut Image, others: &[Image], random: &mut Random) {
    match random.below(9) {
        0 => {
            let at = random.below(image.bytes.len().max(1));
            image.write(at, &[random.below(256) as u8]);
        }
        1 => {
            let field = NUMBERS[random.below(NUMBERS.len())].clone();
            let value = EDGES[random.below(EDGES.len())] >> random.below(3);
            image.write(field.start, &value.to_le_bytes()[..field.len()]);
        }
        2 => {
            let field = NUMBERS[random.below(NUMBERS.len())].clone();
            let value = (random.below(1 << 30) as u64) << random.below(34);
            image.write(field.start, &value.to_le_bytes()[..field.len()]);
        }
        3 => *image = image.clone().truncated(random.below(image.bytes.len() + 1)),
        4 => {
            // A part of another segment.
            let other = &others[random.below(others.len())].bytes;
            let (start, len) = (random.below(HEADER), random.below(64));
            if let Some(part) = other.get(start..start + len) {
                image.write(start, part);
            }
        }
        5 => {
            let place = if random.below(2) == 0 { TYPE_NAME } else { RESERVED };
            let at = place.start + random.below(place.len());
            image.write(at, &[random.below(256) as u8]);
        }
        6 => image.len = image.len.max(random.below(1 << 20) as u64),
        7 => {
            // The text, which may be at the end still.
            const SIGNS: &[u8] = b"{}[]();:=,- 0123468ufibolcharAx";
            let end = image.bytes.len();
            let at = end.saturating_sub(1 + random.below(80));
            image.write(at.min(end), &[SIGNS[random.below(SIGNS.len())]]);
        }
        _ => reshape(image, random),
    }
}

/// Another shape, in a header that agrees with itself: what only the comparison of types can refuse.
fn reshape(image: &mut Image, random: &mut Random) {
    if image.bytes.len() < HEADER {
        return;
    }
    let kind = [VALUE, ARRAY, LOCK][random.below(3)];
    let align = 1 << random.below(13);
    let (most, count) = match kind {
        VALUE => ((64 << 10) / align, 1),
        ARRAY => (1 << random.below(20), (random.below(1 << 30) as u64) << random.below(34)),
        _ => (0, 0),
    };
    let size = align * random.below(most as usize + 1) as u64;
    let readers = if kind == ARRAY { random.below(65) as u64 } else { 0 };
    let (start, end) = model::extent(kind, size, align, count, readers).unwrap_or((704, u64::MAX));
    if kind == LOCK || random.below(2) == 0 {
        model::set_number(&mut image.bytes, SCHEMA_LEN, 0);
    }
    let end = end.saturating_add(model::number(&image.bytes, SCHEMA_LEN));
    let numbers = [(KIND, kind), (ELEM_SIZE, size), (ELEM_ALIGN, align), (LEN, count), (READERS, readers)];
    for (field, value) in numbers.into_iter().chain([(model::DATA_OFFSET, start), (model::TOTAL_LEN, end)]) {
        model::set_number(&mut image.bytes, field, value);
    }
    // A hole costs nothing. Now and then it is too short.
    if end < 1 << 60 {
        image.len = image.len.max(end - u64::from(random.below(8) == 0));
    }
}
