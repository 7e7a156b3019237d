/* robust-shm: named, typed shared memory between unrelated processes, that survives kill -9.
 *
 * Made by a test of the library from its source: change that, and not this.
 *
 * What holds of all functions:
 * - They return RSHM_OK, a positive code if there is something to say, or a negative one, and then rshm_last_error() says why.
 * - Names and schemas are UTF-8. Pointers may be null only where it is said. What is passed is not kept.
 * - All threads may use a handle at once. Who holds a lock is the thread that took it: another one gets RSHM_NOT_HELD, and
 *   taking it again RSHM_WOULD_DEADLOCK. Before a handle is closed, nobody may be using it.
 * - A timeout is in nanoseconds; 0 does not wait, RSHM_FOREVER does so for as long as it takes.
 * - A forked child inherits the handles, and none of the locks.
 */

#ifndef ROBUST_SHM_H
#define ROBUST_SHM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* Wait for as long as it takes. */
#define RSHM_FOREVER UINT64_MAX
/* Of rshm_condvar_notify: all who wait. */
#define RSHM_ALL UINT32_MAX

/* One for each field of a struct, beside it: the offset that the schema says, so that a gap does not compile.
 *     RSHM_CHECK_FIELD(struct account, balance, 0); */
#ifdef __cplusplus
#define RSHM_CHECK_FIELD(type, field, at) static_assert(offsetof(type, field) == (at), "a gap in front of " #field)
#else
#define RSHM_CHECK_FIELD(type, field, at) _Static_assert(offsetof(type, field) == (at), "a gap in front of " #field)
#endif

/*
 Take it although a holder died: the function then returns `RSHM_OWNER_DIED`, and the lock is held.
 */
#define RSHM_EVEN_POISONED 1

/*
 Of `rshm_options`: locks in the memory itself, which the kernel frees when their holder dies.
 */
#define RSHM_LOCK_FUTEX 1

/*
 Of `rshm_options`: the same, for systems and sandboxes whose kernel does not do that; others notice within milliseconds.
 */
#define RSHM_LOCK_FILE 2

/*
 Of `rshm_options`: a mutex of the C library.
 */
#define RSHM_LOCK_OS_MUTEX 3

/*
 What a function returns: 0 if it did what it says; a positive number if it did, and there is something to say of it; a
 negative one if it did not, and `rshm_last_error` says why. The numbers stay what they are for ever.
 */
typedef enum rshm_code {
  /*
   Done.
   */
  RSHM_OK = 0,
  /*
   The lock is held; a holder died before, and what it guards may be torn. (What `EOWNERDEAD` is to robust mutexes.)
   */
  RSHM_OWNER_DIED = 1,
  /*
   The time was up before anybody notified; the lock is held again.
   */
  RSHM_LATE = 2,
  /*
   No segment can have this name.
   */
  RSHM_INVALID_NAME = -1,
  /*
   An option, a length or a schema that cannot be.
   */
  RSHM_INVALID_ARGUMENT = -2,
  /*
   There is no segment of this name.
   */
  RSHM_NOT_FOUND = -3,
  /*
   There is a segment of this name.
   */
  RSHM_ALREADY_EXISTS = -4,
  /*
   It holds something else: the text shows both sides.
   */
  RSHM_TYPE_MISMATCH = -5,
  /*
   It was made with other options than this program insists on.
   */
  RSHM_OPTION_MISMATCH = -6,
  /*
   A file of this name is no segment, or a damaged one.
   */
  RSHM_NOT_A_SEGMENT = -7,
  /*
   It was made by another version of the library.
   */
  RSHM_UNSUPPORTED_FORMAT = -8,
  /*
   It is shorter than it says.
   */
  RSHM_TRUNCATED = -9,
  /*
   It belongs to another user.
   */
  RSHM_FOREIGN_OWNER = -10,
  /*
   Whose it is cannot be told.
   */
  RSHM_UNKNOWN_OWNER = -11,
  /*
   Another user's, whose users were all killed.
   */
  RSHM_FOREIGN_ORPHAN = -12,
  /*
   The system does not allow it.
   */
  RSHM_PERMISSION_DENIED = -13,
  /*
   There is no room for it.
   */
  RSHM_OUT_OF_SHARED_MEMORY = -14,
  /*
   The system refused something: see the text.
   */
  RSHM_IO = -15,
  /*
   Somebody has it, and this call does not wait.
   */
  RSHM_WOULD_BLOCK = -20,
  /*
   The time was up.
   */
  RSHM_TIMED_OUT = -21,
  /*
   This thread has it already.
   */
  RSHM_WOULD_DEADLOCK = -22,
  /*
   A holder died; the lock is not held. Ask with `RSHM_EVEN_POISONED` to repair.
   */
  RSHM_POISONED = -23,
  /*
   This thread does not hold it.
   */
  RSHM_NOT_HELD = -24,
  /*
   Bytes that the schema does not allow.
   */
  RSHM_INVALID_VALUE = -25,
  /*
   The wait was given up because the program asked for it. (No function of this header is asked.)
   */
  RSHM_INTERRUPTED = -26,
  /*
   The system refused to lock, or to wait.
   */
  RSHM_LOCK_IO = -27,
  /*
   The arguments do not fit together: a null pointer, another size than the schema's, no schema, no UTF-8.
   */
  RSHM_INVALID = -30,
  /*
   An error of this library: please report it.
   */
  RSHM_INTERNAL = -99,
} rshm_code;

/*
 Elements that are changed in place, under their lock. It is poisoned when a holder dies.
 */
typedef struct rshm_array rshm_array;

/*
 An event: one says that something has happened, and any number wait until it has.
 */
typedef struct rshm_event rshm_event;

/*
 A lock, for a file, a device, or several segments at once.
 */
typedef struct rshm_lock rshm_lock;

/*
 A lock with any number of readers, or one writer.
 */
typedef struct rshm_rwlock rshm_rwlock;

/*
 A number of permits, each with an index. They come back when their holder is killed, or its thread ends.
 */
typedef struct rshm_semaphore rshm_semaphore;

/*
 A value that is never torn, whoever is killed, and its lock.
 */
typedef struct rshm_value rshm_value;

/*
 How to create or open a segment. Begin with `rshm_options options = RSHM_OPTIONS;` and change what is to be different: all
 else is zero, which is what the library does by itself. A null pointer in place of options is the same as that.
 */
typedef struct rshm_options {
  /*
   `sizeof(rshm_options)`, so that later versions can have more.
   */
  size_t size;
  /*
   The permission bits of a segment that is created; 0 is 0600.
   */
  uint32_t mode;
  /*
   1: it stays when nobody uses it any more, until `rshm_remove`; -1: it must not be so.
   */
  int32_t persistent;
  /*
   In place of the type's name: all programs must state the same one.
   */
  const char *type_tag;
  /*
   One of `RSHM_LOCK_FUTEX`, `RSHM_LOCK_FILE`, `RSHM_LOCK_OS_MUTEX`; 0: the system's best.
   */
  uint32_t lock_kind;
  /*
   1: nobody's death poisons it; -1: it must not be so. Of arrays and locks.
   */
  int32_t no_poison;
  /*
   So many can read side by side; 0: 32, or as the segment has it; -1: nobody. Of arrays and read-write locks.
   */
  int32_t readers;
  /*
   1: memory is not set aside at creation: an access may then fail with SIGBUS when it is full.
   */
  int32_t no_reserve;
  /*
   Another user, whose segments are trusted like one's own; 0: nobody's (root's are trusted always).
   */
  uint32_t allow_owner;
} rshm_options;

/*
 One of the conditions of a lock, or of an array: made by `rshm_condvar_of_lock` and `rshm_condvar_of_array`. It is no handle:
 nothing is to be closed, and it lasts as long as the lock.
 */
typedef struct rshm_condvar {
  /*
   Null, if it is an array's.
   */
  const struct rshm_lock *lock;
  /*
   Null, if it is a lock's.
   */
  const struct rshm_array *array;
  /*
   Which of the conditions: 0, 1 or 2.
   */
  unsigned int which;
} rshm_condvar;

/*
 What can be told about a segment from outside, at one moment. Begin with `rshm_info info = RSHM_INFO;`.
 */
typedef struct rshm_info {
  /*
   `sizeof(rshm_info)`, so that later versions can have more.
   */
  size_t size;
  /*
   `"SharedValue"`, `"SharedArray"`, `"SharedLock"`, `"SharedRwLock"`, `"SharedEvent"` or `"SharedSemaphore"`.
   */
  char kind[24];
  /*
   The type's name, or its tag: at most 128 bytes.
   */
  char type_name[136];
  /*
   Of how many bytes each element is.
   */
  uint64_t element_size;
  /*
   How many elements, or permits.
   */
  uint64_t length;
  /*
   The whole segment.
   */
  uint64_t bytes;
  /*
   Of a value: how often a new one has been committed.
   */
  uint64_t commits;
  /*
   The user's number.
   */
  uint32_t owner;
  /*
   The permission bits.
   */
  uint32_t mode;
  /*
   One of `RSHM_LOCK_FUTEX`, `RSHM_LOCK_FILE`, `RSHM_LOCK_OS_MUTEX`.
   */
  uint32_t lock_kind;
  /*
   The process that has created it.
   */
  uint32_t creator;
  /*
   The process that holds the lock; 0 if nobody does, or it cannot be told.
   */
  uint32_t holder_process;
  /*
   The thread of it.
   */
  uint32_t holder_thread;
  /*
   How many use it.
   */
  uint32_t attached;
  /*
   1: it stays when nobody uses it any more.
   */
  uint8_t is_persistent;
  /*
   1: a holder died, and nobody has repaired since.
   */
  uint8_t is_poisoned;
  /*
   1: somebody sleeps for it.
   */
  uint8_t has_sleepers;
  /*
   1: of an event, that it is set.
   */
  uint8_t is_set;
  /*
   Of a semaphore: how many permits nobody has.
   */
  uint32_t available_permits;
  /*
   How many read side by side.
   */
  uint32_t active_readers;
} rshm_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Creates an array of `len` elements, which are zero, and of which each is what the schema says.
 */
int rshm_array_create(const char *name,
                      const char *schema,
                      size_t len,
                      const struct rshm_options *options,
                      struct rshm_array **out);

/*
 Opens an array that there is, of any length. A null pointer for the schema: of any type; else one that agrees.
 */
int rshm_array_open(const char *name, const char *schema, const struct rshm_options *options, struct rshm_array **out);

/*
 Opens the array that there is, if it has this length and its schema agrees, or creates it.
 */
int rshm_array_open_or_create(const char *name,
                              const char *schema,
                              size_t len,
                              const struct rshm_options *options,
                              struct rshm_array **out);

/*
 Closes the handle, which may be a null pointer. What this thread holds is given back.
 */
void rshm_array_close(struct rshm_array *array);

/*
 Takes the lock. `*data` is then where the elements are, `*len` how many, until `rshm_array_unlock`. `flags` is 0 or
 `RSHM_EVEN_POISONED`.
 */
int rshm_array_lock(const struct rshm_array *array, uint64_t timeout_ns, unsigned int flags, void **data, size_t *len);

/*
 Gives back what `rshm_array_lock` has taken.
 */
int rshm_array_unlock(const struct rshm_array *array);

/*
 Reads in place, beside other readers: once in each thread through one handle. `*data` is then where the elements are, `*len`
 how many, until `rshm_array_read_unlock`.
 */
int rshm_array_read(const struct rshm_array *array,
                    uint64_t timeout_ns,
                    const void **data,
                    size_t *len);

/*
 Gives back what `rshm_array_read` has taken.
 */
int rshm_array_read_unlock(const struct rshm_array *array);

/*
 Says that the elements are in order again: for who holds the lock.
 */
int rshm_array_clear_poison(const struct rshm_array *array);

/*
 1: a holder died amid its changes, and nobody has repaired since; 0: no.
 */
int rshm_array_is_poisoned(const struct rshm_array *array);

/*
 How many elements there are.
 */
size_t rshm_array_len(const struct rshm_array *array);

/*
 How large each of them is, in bytes.
 */
size_t rshm_array_element_size(const struct rshm_array *array);

/*
 What each element is made of; a null pointer if nobody has said. It is valid until the handle is closed.
 */
const char *rshm_array_schema(const struct rshm_array *array);

/*
 Why the last function that failed in this thread did so. It is valid until the next one fails.
 */
const char *rshm_last_error(void);

/*
 One of the three conditions of a lock: 0, 1 or 2.
 */
struct rshm_condvar rshm_condvar_of_lock(const struct rshm_lock *lock, unsigned int which);

/*
 One of the three conditions of an array: 0, 1 or 2.
 */
struct rshm_condvar rshm_condvar_of_array(const struct rshm_array *array, unsigned int which);

/*
 Gives the lock back, which this thread holds, waits until somebody notifies, and takes the lock again. `RSHM_LATE`: the time
 was up, and the lock is held. After a negative code it is not: `RSHM_POISONED` among them. A wait may end for no reason: ask
 again for what is waited for.
 */
int rshm_condvar_wait(struct rshm_condvar condvar,
                      uint64_t timeout_ns);

/*
 Ends the waits of so many, or of `RSHM_ALL`. This thread holds the lock.
 */
int rshm_condvar_notify(struct rshm_condvar condvar, unsigned int count);

/*
 Creates an event, which is not set. `options` may be a null pointer, here and below.
 */
int rshm_event_create(const char *name, const struct rshm_options *options, struct rshm_event **out);

/*
 Opens an event that there is.
 */
int rshm_event_open(const char *name, const struct rshm_options *options, struct rshm_event **out);

/*
 Opens the event that there is, or creates it.
 */
int rshm_event_open_or_create(const char *name, const struct rshm_options *options, struct rshm_event **out);

/*
 Closes the handle, which may be a null pointer.
 */
void rshm_event_close(struct rshm_event *event);

/*
 Sets it: all who wait go on.
 */
int rshm_event_set(const struct rshm_event *event);

/*
 Clears it: who waits from now on waits for the next `rshm_event_set`.
 */
int rshm_event_clear(const struct rshm_event *event);

/*
 1: it is set; 0: it is not.
 */
int rshm_event_is_set(const struct rshm_event *event);

/*
 Waits until it is set: `RSHM_TIMED_OUT` if that takes longer.
 */
int rshm_event_wait(const struct rshm_event *event, uint64_t timeout_ns);

/*
 Creates a lock.
 */
int rshm_lock_create(const char *name, const struct rshm_options *options, struct rshm_lock **out);

/*
 Opens a lock that there is.
 */
int rshm_lock_open(const char *name, const struct rshm_options *options, struct rshm_lock **out);

/*
 Opens the lock that there is, or creates it.
 */
int rshm_lock_open_or_create(const char *name, const struct rshm_options *options, struct rshm_lock **out);

/*
 Closes the handle, which may be a null pointer. If this thread holds the lock, it gives it back.
 */
void rshm_lock_close(struct rshm_lock *lock);

/*
 Takes the lock. `flags` is 0 or `RSHM_EVEN_POISONED`.
 */
int rshm_lock_lock(const struct rshm_lock *lock, uint64_t timeout_ns, unsigned int flags);

/*
 Gives it back.
 */
int rshm_lock_unlock(const struct rshm_lock *lock);

/*
 Says that what it guards is in order again: for who holds it.
 */
int rshm_lock_clear_poison(const struct rshm_lock *lock);

/*
 1: a holder died, and nobody has repaired since; 0: no.
 */
int rshm_lock_is_poisoned(const struct rshm_lock *lock);

/*
 Creates a read-write lock.
 */
int rshm_rwlock_create(const char *name, const struct rshm_options *options, struct rshm_rwlock **out);

/*
 Opens a read-write lock that there is.
 */
int rshm_rwlock_open(const char *name, const struct rshm_options *options, struct rshm_rwlock **out);

/*
 Opens the read-write lock that there is, or creates it.
 */
int rshm_rwlock_open_or_create(const char *name, const struct rshm_options *options, struct rshm_rwlock **out);

/*
 Closes the handle, which may be a null pointer. What this thread holds is given back.
 */
void rshm_rwlock_close(struct rshm_rwlock *lock);

/*
 Takes it alone. `flags` is 0 or `RSHM_EVEN_POISONED`.
 */
int rshm_rwlock_write(const struct rshm_rwlock *lock, uint64_t timeout_ns, unsigned int flags);

/*
 Gives back what `rshm_rwlock_write` has taken.
 */
int rshm_rwlock_write_unlock(const struct rshm_rwlock *lock);

/*
 Takes it beside other readers: once in each thread through one handle.
 */
int rshm_rwlock_read(const struct rshm_rwlock *lock, uint64_t timeout_ns);

/*
 Gives back what `rshm_rwlock_read` has taken.
 */
int rshm_rwlock_read_unlock(const struct rshm_rwlock *lock);

/*
 Says that what it guards is in order again: for who holds it for writing.
 */
int rshm_rwlock_clear_poison(const struct rshm_rwlock *lock);

/*
 1: a writer died, and nobody has repaired since; 0: no.
 */
int rshm_rwlock_is_poisoned(const struct rshm_rwlock *lock);

/*
 Looks at a segment: locks, changes, and maps nothing.
 */
int rshm_info_of(const char *name, struct rshm_info *info);

/*
 Removes the name. Those who use the segment keep it.
 */
int rshm_remove(const char *name);

/*
 Removes what killed programs have left, of this user: never what is in use, or persistent. `removed`, if it is not null, is
 then how many these were.
 */
int rshm_gc(size_t *removed);

/*
 The version of this library, as `"0.1.0"`.
 */
const char *rshm_version(void);

/*
 Creates a semaphore of so many permits, 1 to 127.
 */
int rshm_semaphore_create(const char *name,
                          size_t permits,
                          const struct rshm_options *options,
                          struct rshm_semaphore **out);

/*
 Opens a semaphore that there is, of however many permits.
 */
int rshm_semaphore_open(const char *name, const struct rshm_options *options, struct rshm_semaphore **out);

/*
 Opens the semaphore that there is, if it has so many permits, or creates it.
 */
int rshm_semaphore_open_or_create(const char *name,
                                  size_t permits,
                                  const struct rshm_options *options,
                                  struct rshm_semaphore **out);

/*
 Closes the handle, which may be a null pointer. The permits of this thread are given back.
 */
void rshm_semaphore_close(struct rshm_semaphore *semaphore);

/*
 Takes a permit; `index`, if it is not null, is then which one. A permit is of the thread that has taken it.
 */
int rshm_semaphore_acquire(const struct rshm_semaphore *semaphore, uint64_t timeout_ns, size_t *index);

/*
 Gives back the permit with that index, which this thread has taken.
 */
int rshm_semaphore_release(const struct rshm_semaphore *semaphore, size_t index);

/*
 How many permits nobody has, at this moment.
 */
size_t rshm_semaphore_available(const struct rshm_semaphore *semaphore);

/*
 How many permits there are.
 */
size_t rshm_semaphore_permits(const struct rshm_semaphore *semaphore);

/*
 Creates a value of `size` bytes, which are what the schema says: `"i64"`, `"Point{x:f64,y:f64}"`.
 */
int rshm_value_create(const char *name,
                      const char *schema,
                      const void *initial,
                      size_t size,
                      const struct rshm_options *options,
                      struct rshm_value **out);

/*
 Opens a value that there is. A null pointer for the schema: of any type; else one that agrees.
 */
int rshm_value_open(const char *name, const char *schema, const struct rshm_options *options, struct rshm_value **out);

/*
 Opens the value that there is, if its schema agrees, or creates it.
 */
int rshm_value_open_or_create(const char *name,
                              const char *schema,
                              const void *initial,
                              size_t size,
                              const struct rshm_options *options,
                              struct rshm_value **out);

/*
 Closes the handle, which may be a null pointer. If this thread holds the lock, nothing is committed.
 */
void rshm_value_close(struct rshm_value *value);

/*
 Copies the last commit; takes no lock, and never waits.
 */
int rshm_value_get(const struct rshm_value *value, void *out, size_t size);

/*
 Takes the lock, commits these bytes, gives it back.
 */
int rshm_value_set(const struct rshm_value *value, const void *new_, size_t size);

/*
 How often a new value has been committed.
 */
uint64_t rshm_value_commits(const struct rshm_value *value);

/*
 Waits until there is a commit after number `*seen`, copies it, and writes its number there. Begin with 0, or with what
 `rshm_value_commits` says. `RSHM_TIMED_OUT`: there was none, and nothing is copied.
 */
int rshm_value_wait_newer(const struct rshm_value *value, uint64_t *seen, uint64_t timeout_ns, void *out, size_t size);

/*
 Takes the lock, and copies the value: change the copy, and commit it.
 */
int rshm_value_lock(const struct rshm_value *value, uint64_t timeout_ns, void *copy, size_t size);

/*
 Commits these bytes, and gives the lock back. `RSHM_INVALID_VALUE`: the schema does not allow them, a `bool` of 7 for
 example; the lock stays held.
 */
int rshm_value_commit(const struct rshm_value *value, const void *copy, size_t size);

/*
 Gives the lock back, and commits nothing.
 */
int rshm_value_discard(const struct rshm_value *value);

/*
 In bytes.
 */
size_t rshm_value_size(const struct rshm_value *value);

/*
 What the value is made of; a null pointer if nobody has said. It is valid until the handle is closed.
 */
const char *rshm_value_schema(const struct rshm_value *value);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ROBUST_SHM_H */

static inline rshm_options rshm_options_of_size(size_t size) {
  rshm_options options;
  memset(&options, 0, sizeof options);
  options.size = size;
  return options;
}
static inline rshm_info rshm_info_of_size(size_t size) {
  rshm_info info;
  memset(&info, 0, sizeof info);
  info.size = size;
  return info;
}
/* What options and infos begin with. */
#define RSHM_OPTIONS rshm_options_of_size(sizeof(rshm_options))
#define RSHM_INFO rshm_info_of_size(sizeof(rshm_info))

/* What a value or an array is made of. */
#ifdef __cplusplus
inline const char *rshm_schema_of(const rshm_value *handle) { return rshm_value_schema(handle); }
inline const char *rshm_schema_of(const rshm_array *handle) { return rshm_array_schema(handle); }
#else
#define rshm_schema_of(handle) \
  _Generic((handle), rshm_value *: rshm_value_schema, const rshm_value *: rshm_value_schema, \
           rshm_array *: rshm_array_schema, const rshm_array *: rshm_array_schema)(handle)
#endif
