//! Reading and writing at a place in a file.

#[cfg(unix)]
pub use std::os::unix::fs::FileExt;

/// What `std` has for Unix only, by these names.
#[cfg(windows)]
pub trait FileExt {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()>;
    fn write_all_at(&self, buffer: &[u8], offset: u64) -> std::io::Result<()>;
}

#[cfg(windows)]
impl FileExt for std::fs::File {
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, buffer, offset)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => (buffer, offset) = (&mut buffer[read..], offset + read as u64),
            }
        }
        Ok(())
    }

    fn write_all_at(&self, mut buffer: &[u8], mut offset: u64) -> std::io::Result<()> {
        while !buffer.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(self, buffer, offset)?;
            (buffer, offset) = (&buffer[written..], offset + written as u64);
        }
        Ok(())
    }
}
