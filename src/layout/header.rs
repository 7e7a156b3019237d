//! The header: what a segment is, and the validation of each field.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::mem::{offset_of, size_of};
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use super::body::{BODY_OFFSET, FRONT, MAX_READERS, extent, is_damaged, unfilled};
use super::{HEADER_LEN, LOCK_OFFSET, LockBytes, LockLine, PAGE, SUCCESSOR_OFFSET};
use crate::error::Error;
use crate::identity::{Description, Identity, TYPE_NAME_LEN, TypeName};
use crate::kind::{self, Body, Kind, Open, Poison, Shape};
use crate::name::Name;
use crate::options::LockKind;
use crate::schema::LONGEST_TEXT;

/// The first bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"rbstSHM\0";
/// Changes with any change of the layout or of the lock's protocol.
pub(crate) const FORMAT_VERSION: u32 = 2;
const BYTE_ORDER: u32 = 0x0102_0304;
/// Whose mutexes this program has: what is in them is a private matter of each C library.
const C_LIBRARY: u32 = if cfg!(target_env = "gnu") {
    1
} else if cfg!(any(target_env = "musl", target_env = "ohos")) {
    2
} else {
    3
};
const PERSISTENT: u32 = 1;
const TAGGED: u32 = 2;
const POISON_OFF: u32 = 4;

const RESERVED: usize = 184;

/// In the place of a PID namespace: the segment has, or has had, users in several.
pub(crate) const SEVERAL_NAMESPACES: u64 = u64::MAX;

/// What a segment is. Only `pid_namespace` and `successor` ever change: a user in another one writes [`SEVERAL_NAMESPACES`], for good.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
    pub(crate) byte_order: u32,
    pub(crate) pointer_width: u32,
    pub(crate) header_len: u32,
    /// The size of the segment in bytes.
    pub(crate) total_len: u64,
    /// Random: tells a segment from its successor of the same name.
    pub(crate) id: [u64; 2],
    pub(crate) kind: u32,
    pub(crate) lock_kind: u32,
    pub(crate) flags: u32,
    pub(crate) type_name_len: u32,
    pub(crate) elem_size: u64,
    pub(crate) elem_align: u64,
    pub(crate) len: u64,
    pub(crate) data_offset: u64,
    /// Inode of the creator's PID namespace, or a number of more than 32 bits when that could not be found out: then only
    /// the creator and its children have the same. Or [`SEVERAL_NAMESPACES`]. Read and written in the mapping, too.
    pub(crate) pid_namespace: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) created: u64,
    pub(crate) creator_pid: u32,
    pub(crate) creator_uid: u32,
    pub(crate) type_name: [u8; TYPE_NAME_LEN],
    /// How many slots there are for readers side by side; of what has none, 0.
    pub(crate) readers: u32,
    /// How many permits a semaphore has; else 0.
    pub(crate) permits: u32,
    /// How long the text is that describes the element. It stands behind the data, as the last bytes of the segment.
    pub(crate) schema_len: u32,
    /// Whose mutex stands in the lock line, as [`C_LIBRARY`] says; 0 with other lock kinds.
    pub(crate) c_library: u32,
    /// Zero, and checked to be zero, so that a later version can give them a meaning that this one refuses.
    pub(crate) reserved: [u8; RESERVED],
    /// A [`LockLine`] in the mapping, of which the word and the links are used: see `sync/successor.rs`. Whatever stands here.
    pub(crate) successor: LockBytes,
}

const _: () = {
    assert!(size_of::<Header>() == HEADER_LEN);
    // No padding: the fields add up.
    assert!(offset_of!(Header, reserved) + RESERVED == SUCCESSOR_OFFSET);
    assert!(offset_of!(Header, successor) == SUCCESSOR_OFFSET);
    assert!(offset_of!(Header, type_name) == 120);
    assert!(offset_of!(Header, id) == 32);
    assert!(offset_of!(Header, pid_namespace) == 96);
    assert!(offset_of!(Header, readers) == 248);
    assert!(offset_of!(Header, c_library) == 260);
};

// SAFETY: all-zero bytes are a value of each field (integers and byte arrays).
unsafe impl Zeroable for Header {}
// SAFETY: repr(C), every field Pod, no padding (asserted above: the last field ends at the struct's size and the
// fields before it are ordered so that none needs a gap).
unsafe impl Pod for Header {}

/// What only the creator knows, beside the identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creation {
    pub(crate) id: [u64; 2],
    pub(crate) lock_kind: LockKind,
    pub(crate) persistent: bool,
    /// Is there poison, where there is something to poison?
    pub(crate) poison: bool,
    /// How many reader slots there are, where there can be any.
    pub(crate) readers: u32,
    pub(crate) pid_namespace: u64,
    pub(crate) created: u64,
    pub(crate) creator_pid: u32,
    pub(crate) creator_uid: u32,
}

impl Header {
    /// Flags of a segment that is being made in the place of an orphan, or whose maker was killed in the middle: see
    /// `segment/reuse.rs`.
    pub(crate) const UNFINISHED: u32 = 0xfe5e_7ed0;

    /// The header of a new segment, or `None` when the data would be larger than an address space.
    pub(crate) fn new(identity: &Identity, creation: Creation) -> Option<Self> {
        let shape = identity.shape;
        let readers = if shape.kind.body().has_readers() { creation.readers } else { 0 };
        let (data_offset, end) = extent(shape, readers)?;
        let schema_len = identity.description.as_ref().map_or(0, |description| description.text.len() as u32);
        let total_len = end.checked_add(schema_len.into()).filter(|len| isize::try_from(*len).is_ok())?;
        let (len, permits) = match shape.kind.body() {
            Body::Permits => (0, u32::try_from(shape.len?).ok()?),
            _ => (shape.len?, 0),
        };
        let text = identity.type_name.text.as_bytes();
        let mut type_name = [0; TYPE_NAME_LEN];
        type_name[..text.len()].copy_from_slice(text);
        Some(Self {
            magic: MAGIC,
            version: FORMAT_VERSION,
            byte_order: BYTE_ORDER,
            pointer_width: usize::BITS,
            header_len: HEADER_LEN as u32,
            total_len,
            id: creation.id,
            kind: shape.kind as u32,
            lock_kind: creation.lock_kind.stored(),
            flags: [
                (creation.persistent, PERSISTENT),
                (identity.type_name.is_tag, TAGGED),
                (!creation.poison, POISON_OFF),
            ]
            .into_iter()
            .fold(0, |flags, (is_set, flag)| if is_set { flags | flag } else { flags }),
            type_name_len: text.len() as u32,
            elem_size: shape.elem_size,
            elem_align: shape.elem_align,
            len,
            data_offset,
            pid_namespace: creation.pid_namespace,
            created: creation.created,
            creator_pid: creation.creator_pid,
            creator_uid: creation.creator_uid,
            type_name,
            readers,
            permits,
            schema_len,
            c_library: if creation.lock_kind.is_the_c_librarys() { C_LIBRARY } else { 0 },
            reserved: [0; RESERVED],
            successor: [0; size_of::<LockBytes>()],
        })
    }

    /// Everything in front of the body of a new segment: the header, a free lock, and nobody who waits; and where readers
    /// have slots, those, with nobody in them.
    pub(crate) fn image(&self, lock: LockBytes) -> Vec<u8> {
        let mut image = vec![0; BODY_OFFSET];
        image[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(self));
        image[LOCK_OFFSET..LOCK_OFFSET + lock.len()].copy_from_slice(&lock);
        if self.readers != 0 {
            image.resize(FRONT, 0);
            (0..self.readers).for_each(|index| image.extend(LockLine::of_reader(index)));
        }
        image
    }

    /// Is this what a reuse leaves when its maker is killed? Then nothing else in it counts.
    pub(crate) fn is_unfinished(name: &Name, bytes: &[u8], file_len: u64) -> Result<bool, Error> {
        Ok(Self::recognise(name, bytes, file_len)?.flags == Self::UNFINISHED)
    }

    /// Is this the header of the same segment? What may change while it lives is not compared.
    pub(crate) fn is_same_segment(&self, other: &Self) -> bool {
        let comparable = |header: &Self| Self { pid_namespace: 0, successor: [0; size_of::<LockBytes>()], ..*header };
        bytemuck::bytes_of(&comparable(self)) == bytemuck::bytes_of(&comparable(other))
    }

    pub(crate) fn persistent(&self) -> bool {
        self.flags & PERSISTENT != 0
    }

    /// Does a death or a panic poison, where there is something to poison?
    pub(crate) fn poisons(&self) -> bool {
        self.flags & POISON_OFF == 0
    }

    /// Reads a header from the first bytes of a file of `file_len` bytes. Each field is checked before anybody uses it; and
    /// the lines behind it, as far as they are there, that are to be zero. `description`: gives the bytes of the text that
    /// describes the elements, when it is certain that the file has them.
    pub(crate) fn validate<'a>(
        name: &Name,
        bytes: &[u8],
        file_len: u64,
        description: impl FnOnce(&Self) -> Result<Cow<'a, [u8]>, Error>,
    ) -> Result<(Self, Identity, LockKind), Error> {
        let header = Self::recognise(name, bytes, file_len)?;
        let mut identity = header.check_contents(name)?;
        let lock_kind = LockKind::from_stored(header.lock_kind).ok_or_else(|| {
            unsupported(
                name,
                "a lock kind that this build knows (1: Futex, 2: File, 3: OsMutex)",
                format!("lock kind {}", header.lock_kind),
            )
        })?;
        if (header.c_library != 0) != lock_kind.is_the_c_librarys() {
            let found = format!("a damaged header with C library {} for lock kind {lock_kind:?}", header.c_library);
            return Err(not_a_segment(name, found));
        }
        if !lock_kind.serves(identity.shape.kind) {
            let found = format!("a damaged header with lock kind {lock_kind:?} for a {}", identity.shape.kind.name());
            return Err(not_a_segment(name, found));
        }
        if file_len < header.total_len {
            return Err(truncated(name, header.total_len, file_len));
        }
        check_unfilled(name, identity.shape.kind, bytes)?;
        header.check_readers(name, identity.shape.kind, lock_kind, bytes)?;
        if header.schema_len != 0 {
            let found = Description::found(&description(&header)?, &identity.shape);
            identity.description =
                found.map_err(|found| not_a_segment(name, format!("a damaged header with {found}")))?.map(Arc::new);
        }
        Ok((header, identity, lock_kind))
    }

    /// Is this ours, whatever its format? `remove` needs no more than that.
    pub(crate) fn check_magic(name: &Name, bytes: &[u8], file_len: u64) -> Result<(), Error> {
        // All of the magic number: the one byte of a stranger's lock file may be the first of it.
        if bytes.starts_with(&MAGIC) {
            return Ok(());
        }
        let found = match file_len {
            0 => "an empty file".to_owned(),
            len if len < MAGIC.len() as u64 => format!("a file of only {len} bytes"),
            len => format!("a file of {len} bytes that starts otherwise"),
        };
        Err(not_a_segment(name, found))
    }

    /// The first half: is this ours, whole, and of this format?
    fn recognise(name: &Name, bytes: &[u8], file_len: u64) -> Result<Self, Error> {
        Self::check_magic(name, bytes, file_len)?;
        // These two stand at the same place in every version, however long the header of another one is.
        let [version, byte_order] = [offset_of!(Self, version), offset_of!(Self, byte_order)]
            .map(|at| bytes.get(at..at + 4).map(bytemuck::pod_read_unaligned::<u32>));
        if let Some(found) = byte_order.filter(|found| *found != BYTE_ORDER) {
            let expected = format!("byte order mark {BYTE_ORDER:#010x}");
            return Err(unsupported(name, expected, format!("byte order mark {found:#010x}")));
        }
        if let (Some(found), Some(_)) = (version.filter(|found| *found != FORMAT_VERSION), byte_order) {
            let expected = format!("format version {FORMAT_VERSION}, which is this program's");
            return Err(unsupported(name, expected, format!("format version {found}, which is the file's")));
        }
        let Some(bytes) = bytes.get(..HEADER_LEN) else {
            return Err(truncated(name, HEADER_LEN as u64, file_len));
        };
        let header: Self = bytemuck::pod_read_unaligned(bytes);
        if header.pointer_width != usize::BITS {
            let found = format!("{}-bit programs", header.pointer_width);
            return Err(unsupported(name, format!("a segment of {}-bit programs", usize::BITS), found));
        }
        if header.header_len as usize != HEADER_LEN {
            let found = format!("{} bytes", header.header_len);
            return Err(unsupported(name, format!("a header of {HEADER_LEN} bytes"), found));
        }
        Ok(header)
    }

    /// Can this program use the mutex in the lock line, if there is one?
    pub(crate) fn check_c_library(&self, name: &Name) -> Result<(), Error> {
        if matches!(self.c_library, 0 | C_LIBRARY) {
            return Ok(());
        }
        let with = |number| format!("LockKind::OsMutex of {}", c_library_name(number));
        Err(unsupported(name, with(C_LIBRARY), format!("{}, whose mutexes are made otherwise", with(self.c_library))))
    }

    /// The second half: does the header agree with itself?
    fn check_contents(&self, name: &Name) -> Result<Identity, Error> {
        let damaged = |found: String| not_a_segment(name, format!("a damaged header with {found}"));
        let kind = Kind::from_stored(self.kind).ok_or_else(|| {
            let expected = format!("a kind of segment that this build knows ({})", kind::known());
            unsupported(name, expected, format!("kind {}", self.kind))
        })?;
        if self.flags & !(PERSISTENT | TAGGED | POISON_OFF) != 0 {
            return Err(unsupported(name, "flags that this build knows (1, 2, 4)", format!("flags {:#x}", self.flags)));
        }
        if kind.poison() == Poison::Never && !self.poisons() {
            return Err(damaged(format!("a {} that is not to be poisoned, which none ever is", kind.name())));
        }
        self.check_unused(name)?;
        if !self.elem_align.is_power_of_two() || self.elem_align > PAGE as u64 {
            return Err(damaged(format!("alignment {}", self.elem_align)));
        }
        if !self.elem_size.is_multiple_of(self.elem_align) {
            return Err(damaged(format!("size {} of alignment {}", self.elem_size, self.elem_align)));
        }
        let &Self { elem_size, elem_align, .. } = self;
        let len = self.count(kind);
        let shape = Shape { kind, elem_size, elem_align, len: Some(len), open: Open::Nothing };
        if !shape.is_plausible() {
            return Err(damaged(format!("{} elements of {} bytes for a {kind:?}", self.len, self.elem_size)));
        }
        if self.readers != 0 && (!kind.body().has_readers() || self.readers as usize > MAX_READERS) {
            return Err(damaged(format!("{} reader slots for a {kind:?}", self.readers)));
        }
        let is_semaphore = kind.body() == Body::Permits;
        if is_semaphore && self.len != 0 || !is_semaphore && self.permits != 0 {
            return Err(damaged(format!("{} elements and {} permits for a {kind:?}", self.len, self.permits)));
        }
        let most = if kind.body().has_elements() { LONGEST_TEXT } else { 0 };
        if self.schema_len as usize > most {
            return Err(damaged(format!("a schema of {} bytes for a {kind:?}", self.schema_len)));
        }
        let as_it_says = |end| extent(shape, self.readers) == Some((self.data_offset, end));
        if !self.total_len.checked_sub(self.schema_len.into()).is_some_and(as_it_says) {
            let found = format!(
                "{} elements of {} bytes behind {} reader slots at {}, and a schema of {} bytes, in {} bytes",
                self.len, self.elem_size, self.readers, self.data_offset, self.schema_len, self.total_len
            );
            return Err(damaged(found));
        }
        Ok(Identity { shape, type_name: self.check_type_name().map_err(damaged)?, description: None })
    }

    /// Where the text that describes the elements begins.
    pub(crate) fn schema_offset(&self) -> u64 {
        self.total_len.saturating_sub(self.schema_len.into())
    }

    /// How many there are of what the kind has: elements, or permits.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        match kind.body() {
            Body::Permits => self.permits.into(),
            _ => self.len,
        }
    }

    /// What no segment of this build has, and others may.
    fn check_unused(&self, name: &Name) -> Result<(), Error> {
        if self.reserved.iter().any(|byte| *byte != 0) {
            return Err(unsupported(
                name,
                "reserved bytes that are zero",
                "others, which need a version of robust-shm that gives them a meaning",
            ));
        }
        Ok(())
    }

    /// Can there be readers side by side where there are slots for them, and does the line in front of these, as far as it
    /// is there, speak of no others?
    fn check_readers(&self, name: &Name, kind: Kind, lock_kind: LockKind, bytes: &[u8]) -> Result<(), Error> {
        let damaged = |found: String| Err(not_a_segment(name, format!("a damaged header with {found}")));
        if self.readers != 0 && !lock_kind.has_readers() {
            return damaged(format!("{} reader slots for lock kind {lock_kind:?}", self.readers));
        }
        let line = bytes.get(BODY_OFFSET..FRONT).filter(|_| kind.body().has_readers());
        if line.is_some_and(|line| is_damaged(line, self.readers)) {
            return damaged(format!("readers in others than its {} slots", self.readers));
        }
        Ok(())
    }

    fn check_type_name(&self) -> Result<TypeName, String> {
        let len = self.type_name_len as usize;
        let text = self.type_name.get(..len).ok_or_else(|| format!("a type name of {len} bytes"))?;
        if self.type_name[len..].iter().any(|byte| *byte != 0) {
            return Err("bytes behind the type name".to_owned());
        }
        match std::str::from_utf8(text) {
            Ok(text) => Ok(TypeName { text: text.to_owned(), is_tag: self.flags & TAGGED != 0 }),
            Err(_) => Err("a type name that is not UTF-8".to_owned()),
        }
    }
}

/// What a program of a later version fills is in use: somebody waits for what this program does not tell.
fn check_unfilled(name: &Name, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
    for (place, what, needed) in unfilled(kind) {
        if bytes.get(place).is_some_and(|line| line.iter().any(|byte| *byte != 0)) {
            let found = format!("one that is in use, which needs a version of robust-shm that {needed}");
            return Err(unsupported(name, format!("a {what} of zeros"), found));
        }
    }
    Ok(())
}

fn c_library_name(number: u32) -> &'static str {
    match number {
        1 => "glibc",
        2 => "musl",
        _ => "another C library",
    }
}

pub(crate) fn not_a_segment(name: &Name, found: String) -> Error {
    Error::NotASegment { name: name.shared(), found }
}

fn unsupported(name: &Name, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::UnsupportedFormat { name: name.shared(), expected: expected.into(), found: found.into() }
}

pub(crate) fn truncated(name: &Name, expected: u64, found: u64) -> Error {
    Error::Truncated { name: name.shared(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::super::documented::{assert_describes, fields, table};
    use super::*;

    #[test]
    fn the_documentation_describes_each_byte_of_the_header() {
        let fields = fields!(Header:
            magic version byte_order pointer_width header_len total_len id kind lock_kind flags type_name_len elem_size
            elem_align len data_offset pid_namespace created creator_pid creator_uid type_name readers permits schema_len
            c_library reserved successor);
        assert_describes("Header", HEADER_LEN, " at 0", &fields);
    }

    #[test]
    fn the_documentation_tells_the_numbers_in_the_header() {
        let rows = table("`Header`", "at");
        let what = |field: &str| rows.iter().find(|row| row[2] == field).expect("a field")[3].clone();
        let magic = MAGIC.map(|byte| format!("{byte:02x}")).join(" ");
        for (field, words) in [
            ("magic", magic),
            ("version", format!("{FORMAT_VERSION}. ")),
            ("byte_order", format!("{BYTE_ORDER:#010x}")),
            ("pointer_width", usize::BITS.to_string()),
            ("header_len", HEADER_LEN.to_string()),
            ("flags", format!("{PERSISTENT}: persistent. {TAGGED}: type_name is a tag. {POISON_OFF}: without poison")),
            ("flags", format!("{:#x}", Header::UNFINISHED)),
            ("elem_align", format!("to {},{:03}", PAGE / 1000, PAGE % 1000)),
            ("type_name_len", format!("0 to {TYPE_NAME_LEN}")),
        ] {
            assert!(what(field).contains(&words), "not {words}: {}", what(field));
        }
        let lock_kinds = what("lock_kind");
        for number in 0..10 {
            assert_eq!(
                LockKind::from_stored(number).is_some(),
                lock_kinds.contains(&format!("{number}: ")),
                "{number}"
            );
        }
    }

    #[test]
    fn the_documentation_numbers_the_kinds() {
        for row in table("`Header`", "kind") {
            let number = row[1].parse().expect("a number");
            assert_eq!(Kind::from_stored(number).map(Kind::name), Some(&*row[0]));
        }
    }
}
