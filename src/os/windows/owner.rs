//! Whose a file is.
//!
//! A user is a security identifier (SID) on Windows. Its last number, the relative identifier, tells the users of one
//! machine or domain apart, and is what messages and headers have room for.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Security::{GetLengthSid, GetTokenInformation, PSID, TOKEN_QUERY, TokenUser};
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, READ_CONTROL};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::handle::{Handle, done};
use super::security::Security;

/// A user's, or a group's, identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sid(Vec<u8>);

impl Sid {
    /// # Safety
    ///
    /// `sid` must point to a valid identifier.
    pub(super) unsafe fn copy(sid: PSID) -> Self {
        // SAFETY: by the contract of this function.
        let len = unsafe { GetLengthSid(sid) } as usize;
        // SAFETY: as above, and the identifier is as long as it says.
        Self(unsafe { std::slice::from_raw_parts(sid.cast::<u8>(), len) }.to_vec())
    }

    /// The one that stands here, as long as it says.
    fn first_in(bytes: &[u8]) -> Option<Self> {
        let numbers = usize::from(*bytes.get(1)?);
        bytes.get(..8 + 4 * numbers).map(|sid| Self(sid.to_vec()))
    }

    /// The last of its numbers.
    fn relative(&self) -> u32 {
        self.0.last_chunk().map_or(0, |last| u32::from_le_bytes(*last))
    }

    /// As texts have it: "S-1-5-21-1004336348-1177238915-682003330-512".
    pub(super) fn text(&self) -> String {
        let (head, numbers) = self.0.split_at(self.0.len().min(8));
        let authority = head.iter().skip(2).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let numbers =
            numbers.chunks_exact(4).map(|it| format!("-{}", u32::from_le_bytes(it.try_into().unwrap_or([0; 4]))));
        format!("S-{}-{authority}{}", head.first().unwrap_or(&1), numbers.collect::<String>())
    }
}

/// The user that this process runs as.
pub(super) fn own_sid() -> Option<&'static Sid> {
    static KNOWN: OnceLock<Option<Sid>> = OnceLock::new();
    let ask = || {
        // SAFETY: a pseudo handle, which needs no closing.
        user(unsafe { GetCurrentProcess() }).ok()
    };
    KNOWN.get_or_init(ask).as_ref()
}

/// The user in the access token of a process.
fn user(process: HANDLE) -> io::Result<Sid> {
    let mut token = ptr::null_mut();
    // SAFETY: the pointer is to room for a handle.
    done(unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: just opened, and nobody else's.
    let token = unsafe { Handle::or_last_error(token) }?;
    // A pointer to the identifier first, and that itself, of at most 68 bytes, behind it.
    let mut answer = [0u64; 16];
    let mut len = 0;
    let room = size_of_val(&answer) as u32;
    let start = answer.as_mut_ptr();
    // SAFETY: the pointers are to so much room, and to a number.
    done(unsafe { GetTokenInformation(token.raw(), TokenUser, start.cast(), room, &raw mut len) })?;
    // Read as a number, which is where in `answer` it is: no pointer is made of what somebody else has written.
    let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let sid = (answer[0] as usize).checked_sub(start.addr()).and_then(|at| bytes.get(at..)).and_then(Sid::first_in);
    sid.ok_or_else(|| io::Error::other("Windows says in no known way which user a process is"))
}

/// The user that a process runs as, by number.
pub(super) fn user_of(process: HANDLE) -> io::Result<u32> {
    user(process).map(|sid| sid.relative())
}

/// The number of the user that this process runs as.
pub(crate) fn effective_uid() -> u32 {
    own_sid().map_or(0, Sid::relative)
}

/// The administrators, whom the files of elevated programs belong to, whoever has started those. They may do all that the
/// user may.
const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];

/// The number of a file's owner. What is the administrators' counts as this process's user's; and no other owner has that
/// number.
pub(super) fn owner_of(file: HANDLE) -> io::Result<u32> {
    let security = Security::of(file)?;
    // SAFETY: valid, and there as long as the answer.
    let sid = (!security.owner.is_null()).then(|| unsafe { Sid::copy(security.owner) });
    let own = effective_uid();
    let is_own = |sid: &Sid| own_sid() == Some(sid) || sid.0 == ADMINISTRATORS;
    Ok(match sid {
        Some(sid) if is_own(&sid) => own,
        Some(sid) if sid.relative() != own => sid.relative(),
        _ => !own,
    })
}

/// What is there, to be asked whose it is and for whom, links not followed.
pub(super) fn open_to_ask(path: &Path) -> io::Result<File> {
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS; // the second: directories, too
    OpenOptions::new().access_mode(READ_CONTROL).custom_flags(flags).open(path)
}

/// Does this number, of the owner of that file, say who that is? By [`owner_of`] it does so for this process's own user,
/// and who else it is, is asked of the file.
pub(crate) fn is_told(file: &File, owner: u32) -> bool {
    owner == effective_uid() || owner_of(file.as_raw_handle()).is_ok_and(|now| now == owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_and_a_number() {
        let text = own_sid().unwrap().text();
        assert!(text.starts_with("S-1-5-"), "{text}");
        assert!(text.ends_with(&format!("-{}", effective_uid())), "{text}");
        // SAFETY: a pseudo handle, which needs no closing.
        assert_eq!(user_of(unsafe { GetCurrentProcess() }).unwrap(), effective_uid());
    }

    #[test]
    fn the_number_is_the_last_one_and_the_text_is_windows_own() {
        let sid = Sid(ADMINISTRATORS.to_vec());
        assert_eq!((sid.text().as_str(), sid.relative()), ("S-1-5-32-544", 544));
    }
}
