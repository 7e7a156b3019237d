//! Plants a file under a name and does to it all that a program can.

use std::fs::{self, File};
use std::io::ErrorKind::{FileTooLarge, OutOfMemory, StorageFull};
use std::io::Write;

use robust_shm::dynamic::{self, Any, AnyObserver, DynSliceGuard, DynValueGuard};
use robust_shm::{Error, LockKind, SegmentInfo, SharedValue, remove, remove_orphans, segments};

use crate::faces::Face;
use crate::model::{Verdict, is_same_element, is_same_type, judge};
use crate::mutation::Image;
use crate::support::{Scratch, exists, path};

/// A place for one file after the other.
pub(crate) struct Ground {
    name: Scratch,
    faces: Vec<(Face, Vec<u8>)>,
    planted: usize,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let faces = crate::faces::all().into_iter().map(|face| {
            let image = (face.image)(true);
            (face, image)
        });
        Self { name: Scratch::new("hostile"), faces: faces.collect(), planted: 0 }
    }

    /// The bytes of one persistent and one other segment of each type.
    pub(crate) fn seeds(&self) -> Vec<Image> {
        let seeds = self.faces.iter().flat_map(|(face, persistent)| [persistent.clone(), (face.image)(false)]);
        seeds.map(Image::new).collect()
    }

    fn plant(&self, image: &Image) {
        assert!(self.can_plant(image));
    }

    /// Plants it, unless it is longer than a file of this file system can be.
    fn can_plant(&self, image: &Image) -> bool {
        let mut file = File::create(path(&self.name)).unwrap();
        file.write_all(&image.bytes).unwrap();
        if image.len > image.bytes.len() as u64
            && let Err(error) = file.set_len(image.len)
        {
            // Windows says the second, Wine the third.
            assert!(matches!(error.kind(), FileTooLarge | StorageFull | OutOfMemory), "{error}");
            drop(file);
            fs::remove_file(path(&self.name)).unwrap();
            return false;
        }
        true
    }

    /// Is the file what was planted, to the byte?
    fn is_untouched(&self, image: &Image) -> bool {
        let mut bytes = vec![0; image.bytes.len()];
        File::open(path(&self.name)).is_ok_and(|file| {
            let read = crate::support::FileExt::read_exact_at(&file, &mut bytes, 0);
            read.is_ok() && bytes == image.bytes && file.metadata().unwrap().len() == image.len
        })
    }

    /// One file, in every way. What it is opened as, and how it is created, change from one to the next.
    pub(crate) fn try_next(&mut self, image: &Image) {
        self.try_as(self.planted, image);
        self.planted += 1;
    }

    /// One file, in every way; `which` says what it is opened as, and how it is created.
    pub(crate) fn try_as(&self, which: usize, image: &Image) {
        let (face, expected) = &self.faces[which / 2 % self.faces.len()];
        let verdict = judge(&image.bytes, image.len);
        if !self.can_plant(image) {
            return;
        }
        self.check(image, verdict, "info", SegmentInfo::of(&self.name).map(drop), is_segment(verdict));
        self.observe(image, verdict);
        if which.is_multiple_of(1024) {
            self.sweep(image, verdict);
        }
        self.plant(image);
        let same = is_segment(verdict) && is_same_type(&image.bytes, expected);
        let opens = same || face.is_open && is_segment(verdict) && is_same_element(&image.bytes, expected);
        self.check(image, verdict, face.title, (face.open)(&self.name), opens && is_persistent(verdict));
        if verdict == (Verdict::Segment { persistent: false }) {
            assert!(!exists(&self.name), "an orphan stays");
        }
        self.plant(image);
        let any = dynamic::open(&self.name).map(use_any);
        self.check(image, verdict, "anything", any, is_persistent(verdict));
        self.plant(image);
        let created = is_segment(verdict) && !is_persistent(verdict);
        if which.is_multiple_of(2) {
            let result = (face.open_or_create)(&self.name);
            self.check(image, verdict, face.title, result, created || same);
        } else {
            self.check(image, verdict, face.title, (face.create)(&self.name), created);
        }
        self.plant(image);
        let result = remove(&self.name);
        assert_eq!(exists(&self.name), verdict == Verdict::Stranger, "after remove: {result:?}");
        self.check(image, verdict, "remove", result, verdict != Verdict::Stranger);
        let _ = fs::remove_file(path(&self.name));
    }

    /// Checks an outcome, and that nothing was done to what nobody may touch.
    fn check(&self, image: &Image, verdict: Verdict, what: &str, result: Result<(), Error>, expected: bool) {
        let persistent = is_persistent(verdict);
        match result {
            Ok(()) => assert!(expected, "{what} accepts {verdict:?}"),
            Err(error) => {
                let known = match &error {
                    Error::NotASegment { .. } | Error::UnsupportedFormat { .. } => !is_segment(verdict),
                    Error::Truncated { .. } => verdict == Verdict::Damaged,
                    Error::TypeMismatch { .. } | Error::AlreadyExists { .. } => persistent && !expected,
                    // Every creation of this user, of whatever program, sweeps.
                    Error::NotFound { .. } => is_segment(verdict) && !persistent,
                    // Where there are no robust lists, and the segment asks for one.
                    Error::Lock { .. } => is_segment(verdict) && !LockKind::Futex.is_available(),
                    // A hole that is larger than the address space.
                    Error::Io { action: "could not map the segment", .. } => persistent && image.len > 1 << 46,
                    _ => false,
                };
                assert!(known, "{what} finds {verdict:?} and says {error:?}");
                assert!(error.name() == &*self.name && error.to_string().contains(error.name()), "{error}");
            }
        }
        if !is_segment(verdict) && what != "remove" || verdict == Verdict::Stranger {
            assert!(self.is_untouched(image), "{what} touches {verdict:?}");
        } else if persistent && what != "remove" {
            assert!(exists(&self.name), "{what} removes a persistent segment");
        }
    }

    /// Looks at it as each of the values, which changes nothing. Users or not, it is there.
    fn observe(&self, image: &Image, verdict: Verdict) {
        let observed = [
            SharedValue::<bool>::observe(&self.name).map(|observer| drop(observer.try_get())),
            SharedValue::<[u64; 40]>::observe(&self.name).map(|observer| drop(observer.try_get())),
        ];
        match dynamic::observe(&self.name) {
            Ok(AnyObserver::Value(observer)) => {
                assert!(is_segment(verdict));
                observer.get(&mut vec![0; observer.size()]);
            }
            Ok(AnyObserver::Slice(observer)) if !observer.is_empty() => {
                assert!(is_segment(verdict));
                let mut last = vec![0; observer.element_size()];
                observer.copy_unlocked(observer.len() - 1, &mut last).unwrap();
            }
            Ok(_) => assert!(is_segment(verdict)),
            Err(error) => assert!(
                !is_segment(verdict)
                    || matches!(error, Error::TypeMismatch { .. })
                    || !is_persistent(verdict)
                    || image.len > 1 << 46,
                "{error:?}"
            ),
        }
        for (result, (face, expected)) in observed.into_iter().zip(&self.faces) {
            let same = is_segment(verdict) && is_same_type(&image.bytes, expected);
            match result {
                Ok(()) => assert!(same, "{} observes {verdict:?}", face.title),
                Err(error) => {
                    let known = match &error {
                        Error::NotASegment { .. } | Error::UnsupportedFormat { .. } => !is_segment(verdict),
                        Error::Truncated { .. } => verdict == Verdict::Damaged,
                        Error::TypeMismatch { .. } => is_segment(verdict) && !same,
                        // What was being made anew when its maker was killed; or another test has swept.
                        Error::NotFound { .. } => verdict != Verdict::Stranger && !is_persistent(verdict),
                        _ => false,
                    };
                    assert!(known, "{} observes {verdict:?} and says {error:?}", face.title);
                }
            }
            let may_be_swept = is_segment(verdict) && !is_persistent(verdict);
            assert!(self.is_untouched(image) || may_be_swept && !exists(&self.name), "an observer touches {verdict:?}");
        }
    }

    fn sweep(&self, image: &Image, verdict: Verdict) {
        let listed = segments().filter_map(Result::ok).any(|info| info.name() == &*self.name);
        assert!(!listed || is_segment(verdict));
        let removed = remove_orphans().unwrap().contains(&self.name.0);
        assert!(!removed || verdict == (Verdict::Segment { persistent: false }));
        let stays = verdict != (Verdict::Segment { persistent: false });
        assert_eq!(exists(&self.name), stays, "after a sweep: {verdict:?}");
        assert!(!stays || self.is_untouched(image));
    }
}

/// Does what can be done with it, whatever it is.
fn use_any(any: Any) {
    match any {
        Any::Value(value) => {
            let mut bytes = vec![0; value.size()];
            value.get(&mut bytes);
            if let Some(schema) = value.schema() {
                assert_eq!(schema.size(), bytes.len());
                let shown = schema.show(&bytes).to_string();
                assert_eq!(schema.allows(&bytes), !shown.contains("<impossible"), "{shown}");
            }
            let allowed = value.schema().is_some_and(|schema| schema.allows(&bytes));
            assert_eq!(value.set(&bytes).is_ok(), allowed);
            value.set_bytes(&bytes).unwrap();
            assert_eq!(DynValueGuard::commit(value.lock().unwrap()).is_ok(), allowed);
        }
        Any::Slice(slice) => {
            let mut guard = slice.lock_ignoring_poison().unwrap();
            assert_eq!(guard.as_bytes().len(), slice.len() * slice.element_size());
            if let Some(last) = guard.as_bytes_mut().last_mut() {
                *last = 7;
            }
            DynSliceGuard::clear_poison(&mut guard);
        }
        Any::Lock(lock) => drop(lock.lock_ignoring_poison().unwrap()),
        Any::RwLock(lock) => drop(lock.write_ignoring_poison().unwrap()),
        Any::Event(event) => event.set().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn is_segment(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Segment { .. })
}

fn is_persistent(verdict: Verdict) -> bool {
    verdict == Verdict::Segment { persistent: true }
}
