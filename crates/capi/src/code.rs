//! What every function returns, and the text that goes with it.
#![allow(unsafe_code)] // names for the linker

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use robust_shm::{Error, LockError};

/// What a function returns: 0 if it did what it says; a positive number if it did, and there is something to say of it; a
/// negative one if it did not, and `rshm_last_error` says why. The numbers stay what they are for ever.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rshm_code {
    /// Done.
    RSHM_OK = 0,
    /// The lock is held; a holder died before, and what it guards may be torn. (What `EOWNERDEAD` is to robust mutexes.)
    RSHM_OWNER_DIED = 1,
    /// The time was up before anybody notified; the lock is held again.
    RSHM_LATE = 2,
    /// No segment can have this name.
    RSHM_INVALID_NAME = -1,
    /// An option, a length or a schema that cannot be.
    RSHM_INVALID_ARGUMENT = -2,
    /// There is no segment of this name.
    RSHM_NOT_FOUND = -3,
    /// There is a segment of this name.
    RSHM_ALREADY_EXISTS = -4,
    /// It holds something else: the text shows both sides.
    RSHM_TYPE_MISMATCH = -5,
    /// It was made with other options than this program insists on.
    RSHM_OPTION_MISMATCH = -6,
    /// A file of this name is no segment, or a damaged one.
    RSHM_NOT_A_SEGMENT = -7,
    /// It was made by another version of the library.
    RSHM_UNSUPPORTED_FORMAT = -8,
    /// It is shorter than it says.
    RSHM_TRUNCATED = -9,
    /// It belongs to another user.
    RSHM_FOREIGN_OWNER = -10,
    /// Whose it is cannot be told.
    RSHM_UNKNOWN_OWNER = -11,
    /// Another user's, whose users were all killed.
    RSHM_FOREIGN_ORPHAN = -12,
    /// The system does not allow it.
    RSHM_PERMISSION_DENIED = -13,
    /// There is no room for it.
    RSHM_OUT_OF_SHARED_MEMORY = -14,
    /// The system refused something: see the text.
    RSHM_IO = -15,
    /// Somebody has it, and this call does not wait.
    RSHM_WOULD_BLOCK = -20,
    /// The time was up.
    RSHM_TIMED_OUT = -21,
    /// This thread has it already.
    RSHM_WOULD_DEADLOCK = -22,
    /// A holder died; the lock is not held. Ask with `RSHM_EVEN_POISONED` to repair.
    RSHM_POISONED = -23,
    /// This thread does not hold it.
    RSHM_NOT_HELD = -24,
    /// Bytes that the schema does not allow.
    RSHM_INVALID_VALUE = -25,
    /// The wait was given up because the program asked for it. (No function of this header is asked.)
    RSHM_INTERRUPTED = -26,
    /// The system refused to lock, or to wait.
    RSHM_LOCK_IO = -27,
    /// The arguments do not fit together: a null pointer, another size than the schema's, no schema, no UTF-8.
    RSHM_INVALID = -30,
    /// An error of this library: please report it.
    RSHM_INTERNAL = -99,
}

use rshm_code as Code;

/// Why a function did not do what it says.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: Box<str>,
}

pub(crate) type Done = Result<Code, Failure>;

impl Failure {
    /// The caller's arguments do not fit together.
    #[cold]
    pub(crate) fn invalid(message: impl ToString) -> Self {
        Self { code: Code::RSHM_INVALID, message: message.to_string().into() }
    }

    #[cold]
    pub(crate) fn not_held(what: &str) -> Self {
        Self { code: Code::RSHM_NOT_HELD, message: format!("this thread does not hold {what}").into() }
    }
}

impl From<Error> for Failure {
    #[cold]
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::InvalidName { .. } => Code::RSHM_INVALID_NAME,
            Error::InvalidArgument { .. } => Code::RSHM_INVALID_ARGUMENT,
            Error::NotFound { .. } => Code::RSHM_NOT_FOUND,
            Error::AlreadyExists { .. } => Code::RSHM_ALREADY_EXISTS,
            Error::TypeMismatch { .. } => Code::RSHM_TYPE_MISMATCH,
            Error::OptionMismatch { .. } => Code::RSHM_OPTION_MISMATCH,
            Error::NotASegment { .. } => Code::RSHM_NOT_A_SEGMENT,
            Error::UnsupportedFormat { .. } => Code::RSHM_UNSUPPORTED_FORMAT,
            Error::Truncated { .. } => Code::RSHM_TRUNCATED,
            Error::ForeignOwner { .. } => Code::RSHM_FOREIGN_OWNER,
            Error::UnknownOwner { .. } => Code::RSHM_UNKNOWN_OWNER,
            Error::ForeignOrphan { .. } => Code::RSHM_FOREIGN_ORPHAN,
            Error::PermissionDenied { .. } => Code::RSHM_PERMISSION_DENIED,
            Error::OutOfSharedMemory { .. } => Code::RSHM_OUT_OF_SHARED_MEMORY,
            Error::Lock { source, .. } => code_of(source),
            _ => Code::RSHM_IO,
        };
        Self { code, message: error.to_string().into() }
    }
}

impl From<LockError> for Failure {
    #[cold]
    fn from(error: LockError) -> Self {
        Self { code: code_of(&error), message: error.to_string().into() }
    }
}

fn code_of(error: &LockError) -> Code {
    match error {
        LockError::WouldBlock { .. } => Code::RSHM_WOULD_BLOCK,
        LockError::TimedOut { .. } => Code::RSHM_TIMED_OUT,
        LockError::WouldDeadlock { .. } => Code::RSHM_WOULD_DEADLOCK,
        LockError::Poisoned { .. } => Code::RSHM_POISONED,
        LockError::NotHeld { .. } => Code::RSHM_NOT_HELD,
        LockError::InvalidValue { .. } => Code::RSHM_INVALID_VALUE,
        LockError::Interrupted { .. } => Code::RSHM_INTERRUPTED,
        _ => Code::RSHM_LOCK_IO,
    }
}

/// The body of a function: no panic leaves it.
#[inline]
pub(crate) fn call(body: impl FnOnce() -> Done) -> c_int {
    // A whole word comes out: a narrow one would be stored as such, and loaded as a whole, for which the processor waits.
    let code = catch_unwind(AssertUnwindSafe(|| match body() {
        Ok(code) => code as isize,
        Err(failure) => fail(failure.code, &failure.message),
    }));
    code.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(|text| &**text));
        fail(Code::RSHM_INTERNAL, text.unwrap_or("an error of this library"))
    }) as c_int
}

thread_local!(static LAST_ERROR: RefCell<CString> = RefCell::default());

#[cold]
fn fail(code: Code, message: &str) -> isize {
    let text = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
    // A thread that is ending has no place for it any more.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = text);
    code as isize
}

/// Why the last function that failed in this thread did so. It is valid until the next one fails.
#[unsafe(no_mangle)]
pub extern "C" fn rshm_last_error() -> *const c_char {
    const NOTHING: &CStr = c"";
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(NOTHING.as_ptr())
}
