//! Bytes that nobody has described.

/// Rows of 16 bytes, with where each begins, counted from `from`, and what of them can be read.
pub(crate) fn rows(bytes: &[u8], from: usize) -> impl Iterator<Item = String> {
    bytes.chunks(16).enumerate().map(move |(row, chunk)| {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let readable: String =
            chunk.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' }).collect();
        format!("{:08x}  {:47}  {readable}", from + 16 * row, hex.join(" "))
    })
}

/// All of them, in one word.
pub(crate) fn word(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn sixteen_a_row() {
        let bytes: Vec<u8> = (0x18..0x2a).collect();
        let rows: Vec<String> = rows(&bytes, 32).collect();
        assert_eq!(rows[0], "00000020  18 19 1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27  ........ !\"#$%&'");
        assert_eq!(rows[1], format!("00000030  {:47}  ()", "28 29"));
    }
}
