//! What goes over the wire: one snapshot of a value, and what a follower needs to know of it.
//!
//! | bytes | |
//! |---|---|
//! | 8 | `rshmMir1` |
//! | 16 | the id of the segment that the value is in, little-endian as all numbers here |
//! | 8 | how many commits there had been |
//! | 4 | the length of the schema |
//! | so many | the schema, as a text |
//! | the rest | the value, as the segment has it |

use robust_shm::dynamic::Schema;

const MAGIC: &[u8; 8] = b"rshmMir1";

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Which segment: another number for each that is created, also under the same name.
    pub(crate) origin: u128,
    pub(crate) commits: u64,
    pub(crate) schema: Schema,
    pub(crate) value: Vec<u8>,
}

impl Message {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let schema = self.schema.to_string();
        let length = u32::try_from(schema.len()).expect("schemas are at most 4,096 bytes");
        [
            &MAGIC[..],
            &self.origin.to_le_bytes(),
            &self.commits.to_le_bytes(),
            &length.to_le_bytes(),
            schema.as_bytes(),
            &self.value,
        ]
        .concat()
    }

    /// Anybody may have sent it. What comes out is a value that its schema allows.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes;
        if take(&mut rest)? != *MAGIC {
            return Err("it is no snapshot of this version".to_owned());
        }
        let origin = u128::from_le_bytes(take(&mut rest)?);
        let commits = u64::from_le_bytes(take(&mut rest)?);
        let length = u32::from_le_bytes(take(&mut rest)?);
        let (schema, value) =
            usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)).ok_or_else(too_short)?;
        let schema = str::from_utf8(schema).map_err(|_| "its schema is no text".to_owned())?;
        let schema = Schema::parse(schema).map_err(|error| error.to_string())?;
        if !schema.allows(value) {
            return Err(format!("its {} bytes are no {schema}", value.len()));
        }
        Ok(Self { origin, commits, schema, value: value.to_vec() })
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, rest) = from.split_first_chunk().ok_or_else(too_short)?;
    *from = rest;
    Ok(*taken)
}

fn too_short() -> String {
    "it is too short".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Message {
        let schema = Schema::parse("Account{balance:i64,open:bool,_pad:[u8;7]}").unwrap();
        let value = [&200i64.to_le_bytes()[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
        Message { origin: u128::MAX - 1, commits: 7, schema, value }
    }

    #[test]
    fn what_was_sent_is_what_comes() {
        assert_eq!(Message::parse(&account().to_bytes()), Ok(account()));
    }

    #[test]
    fn the_bytes_are_what_they_were() {
        let sent = Message { origin: 1, commits: 2, schema: Schema::parse("u16").unwrap(), value: vec![3, 4] };
        let golden = b"rshmMir1\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0u16\x03\x04";
        assert_eq!(sent.to_bytes(), golden);
    }

    #[test]
    fn no_part_of_one_is_taken_for_a_whole() {
        let bytes = account().to_bytes();
        for length in 0..bytes.len() {
            assert!(Message::parse(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Message::parse(&[&*bytes, &[0]].concat()).is_err());
    }

    #[test]
    fn what_no_program_could_read_is_refused() {
        let mut lie = account();
        lie.value[8] = 7;
        assert_eq!(Message::parse(&lie.to_bytes()), Err(format!("its 16 bytes are no {}", lie.schema)));
        let mut long = account().to_bytes();
        long[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::parse(&long), Err(too_short()));
    }

    #[test]
    fn damage_is_refused_or_is_another_value_and_never_a_panic() {
        let bytes = account().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Message::parse(&damaged) {
                assert!(other.schema.allows(&other.value));
            }
        }
    }
}
