/* All members of the family from C. Prints nothing; a failed assertion is a failed test. argv[1]: how names begin. */
#undef NDEBUG
#include "robust_shm.h"
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct account {
  int64_t balance;
  uint32_t changes;
  bool open;
  uint8_t pad[3];
};
RSHM_CHECK_FIELD(struct account, balance, 0);
RSHM_CHECK_FIELD(struct account, changes, 8);
RSHM_CHECK_FIELD(struct account, open, 12);
RSHM_CHECK_FIELD(struct account, pad, 13);
#define ACCOUNT "Account{balance:i64,changes:u32,open:bool,_pad:[u8;3]}"
#define LIMIT 20000000000u /* ns */
#define OK(call) is(RSHM_OK, (call), #call, __LINE__)

static void is(int expected, int code, const char *call, int line) {
  if (code == expected) return;
  fprintf(stderr, "line %d: %s: %d, not %d: %s\n", line, call, code, expected, rshm_last_error());
  abort();
}

static const char *prefix;
static const char *name_of(const char *what) {
  static char name[200];
  snprintf(name, sizeof name, "%s%s", prefix, what);
  return name;
}

static int ready[2];
static void say(void) { assert(write(ready[1], "x", 1) == 1); }
static void hear(void) { char x; assert(read(ready[0], &x, 1) == 1); }

/* A child that does something, says so, and is killed. */
static void killed_after(void (*action)(void)) {
  pid_t pid = fork();
  assert(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when an assertion ends the parent */
    action();
    say();
    for (;;) pause();
  }
  hear();
  assert(kill(pid, SIGKILL) == 0);
  assert(waitpid(pid, NULL, 0) == pid);
}

static void hold_value(void) {
  rshm_value *v;
  struct account a;
  OK(rshm_value_open(name_of("value"), ACCOUNT, NULL, &v));
  OK(rshm_value_lock(v, RSHM_FOREVER, &a, sizeof a));
  a.balance = 0;
}

static void *other_thread(void *handle) {
  rshm_value *v = handle;
  struct account a;
  is(RSHM_NOT_HELD, rshm_value_discard(v), "another thread's", __LINE__);
  is(RSHM_TIMED_OUT, rshm_value_lock(v, 1000000, &a, sizeof a), "held by another thread", __LINE__);
  is(RSHM_WOULD_BLOCK, rshm_value_lock(v, 0, &a, sizeof a), "held by another thread", __LINE__);
  return NULL;
}

static void values(void) {
  struct account a = {200, 0, true, {0}};
  rshm_value *v, *w;
  OK(rshm_value_create(name_of("value"), ACCOUNT, &a, sizeof a, NULL, &v));
  is(RSHM_ALREADY_EXISTS, rshm_value_create(name_of("value"), ACCOUNT, &a, sizeof a, NULL, &w), "twice", __LINE__);
  is(RSHM_TYPE_MISMATCH, rshm_value_open(name_of("value"), "Account{balance:f64,changes:u32,open:bool,_pad:[u8;3]}", NULL, &w), "another type", __LINE__);
  assert(strstr(rshm_last_error(), "balance"));
  is(RSHM_NOT_FOUND, rshm_value_open(name_of("none"), NULL, NULL, &w), "none", __LINE__);
  is(RSHM_INVALID, rshm_value_create(name_of("gap"), "{a:u8,b:u64}", &a, sizeof a, NULL, &w), "a gap", __LINE__);
  is(RSHM_INVALID, rshm_value_create(name_of("gap"), "u9", &a, sizeof a, NULL, &w), "no schema", __LINE__);
  is(RSHM_INVALID, rshm_value_open(NULL, NULL, NULL, &w), "no name", __LINE__);
  is(RSHM_INVALID_NAME, rshm_value_open("a/b", NULL, NULL, &w), "a slash", __LINE__);
  OK(rshm_value_open(name_of("value"), NULL, NULL, &w)); /* of any type */
  assert(strcmp(rshm_schema_of(w), ACCOUNT) == 0 && rshm_value_size(w) == sizeof a);

  killed_after(hold_value);
  OK(rshm_value_lock(v, LIMIT, &a, sizeof a));
  assert(a.balance == 200);
  is(RSHM_WOULD_DEADLOCK, rshm_value_lock(v, RSHM_FOREVER, &a, sizeof a), "again", __LINE__);
  pthread_t thread;
  assert(pthread_create(&thread, NULL, other_thread, v) == 0 && pthread_join(thread, NULL) == 0);
  memset(&a.open, 7, 1); /* no bool: a Rust program would not read it */
  is(RSHM_INVALID_VALUE, rshm_value_commit(v, &a, sizeof a), "no bool", __LINE__);
  a.open = false;
  a.balance += 1;
  is(RSHM_INVALID, rshm_value_commit(v, &a, 1), "another size", __LINE__);
  OK(rshm_value_commit(v, &a, sizeof a));
  is(RSHM_NOT_HELD, rshm_value_commit(v, &a, sizeof a), "not held", __LINE__);

  uint64_t seen = rshm_value_commits(w);
  struct account b;
  is(RSHM_TIMED_OUT, rshm_value_wait_newer(w, &seen, 1000000, &b, sizeof b), "nothing new", __LINE__);
  is(RSHM_TIMED_OUT, rshm_value_wait_newer(w, &seen, 0, &b, sizeof b), "nothing new", __LINE__);
  a.balance = 7;
  OK(rshm_value_set(v, &a, sizeof a));
  OK(rshm_value_wait_newer(w, &seen, LIMIT, &b, sizeof b));
  assert(b.balance == 7 && seen == rshm_value_commits(w));
  OK(rshm_value_lock(v, RSHM_FOREVER, &a, sizeof a));
  OK(rshm_value_discard(v));
  OK(rshm_value_lock(v, RSHM_FOREVER, &a, sizeof a));
  rshm_value_close(v); /* commits nothing */
  OK(rshm_value_get(w, &b, sizeof b));
  assert(b.balance == 7);
  OK(rshm_value_lock(w, 0, &a, sizeof a));
  OK(rshm_value_discard(w));
  rshm_value_close(w);
  rshm_value_close(NULL);
}

static void hold_array(void) {
  rshm_array *a;
  void *data;
  OK(rshm_array_open(name_of("array"), "f64", NULL, &a));
  OK(rshm_array_lock(a, RSHM_FOREVER, 0, &data, NULL));
  ((double *)data)[0] = -1;
}

static void arrays(void) {
  rshm_array *a;
  OK(rshm_array_open_or_create(name_of("array"), "f64", 100, NULL, &a));
  assert(rshm_array_len(a) == 100 && rshm_array_element_size(a) == 8 && strcmp(rshm_schema_of(a), "f64") == 0);
  void *data;
  size_t len;
  OK(rshm_array_lock(a, RSHM_FOREVER, 0, &data, &len));
  double *elements = data;
  assert(len == 100 && elements[99] == 0);
  elements[99] = 1.5;
  OK(rshm_array_unlock(a));
  const void *seen;
  OK(rshm_array_read(a, RSHM_FOREVER, &seen, NULL));
  assert(((const double *)seen)[99] == 1.5);
  is(RSHM_WOULD_DEADLOCK, rshm_array_read(a, RSHM_FOREVER, &seen, NULL), "again", __LINE__);
  OK(rshm_array_read_unlock(a));
  is(RSHM_NOT_HELD, rshm_array_read_unlock(a), "not held", __LINE__);

  killed_after(hold_array);
  is(RSHM_POISONED, rshm_array_lock(a, LIMIT, 0, &data, NULL), "poisoned", __LINE__);
  assert(rshm_array_is_poisoned(a));
  is(RSHM_NOT_HELD, rshm_array_unlock(a), "refused", __LINE__);
  is(RSHM_OWNER_DIED, rshm_array_lock(a, LIMIT, RSHM_EVEN_POISONED, &data, NULL), "to repair", __LINE__);
  ((double *)data)[0] = 0;
  OK(rshm_array_clear_poison(a));
  OK(rshm_array_unlock(a));
  assert(!rshm_array_is_poisoned(a));
  is(RSHM_NOT_HELD, rshm_array_clear_poison(a), "not held", __LINE__);
  rshm_array_close(a);
}

static void hold_lock(void) {
  rshm_lock *l;
  OK(rshm_lock_open(name_of("lock"), NULL, &l));
  OK(rshm_lock_lock(l, RSHM_FOREVER, 0));
}

static void locks(void) {
  rshm_options options = RSHM_OPTIONS;
  options.mode = 0640;
  rshm_lock *l;
  OK(rshm_lock_create(name_of("lock"), &options, &l));
  rshm_info info = RSHM_INFO;
  OK(rshm_info_of(name_of("lock"), &info));
  assert(strcmp(info.kind, "SharedLock") == 0 && info.mode == 0640 && info.attached == 1 && info.holder_process == 0);
  killed_after(hold_lock);
  is(RSHM_POISONED, rshm_lock_lock(l, LIMIT, 0), "poisoned", __LINE__);
  is(RSHM_OWNER_DIED, rshm_lock_lock(l, LIMIT, RSHM_EVEN_POISONED), "to repair", __LINE__);
  OK(rshm_info_of(name_of("lock"), &info));
  assert(info.holder_process == (uint32_t)getpid() && info.is_poisoned);
  OK(rshm_lock_clear_poison(l));
  OK(rshm_lock_unlock(l));
  assert(!rshm_lock_is_poisoned(l));
  options.size = 3;
  rshm_lock *m;
  is(RSHM_INVALID, rshm_lock_open(name_of("lock"), &options, &m), "another size", __LINE__);
  rshm_lock_close(l);
}

static void read_and_write(void) {
  rshm_rwlock *l;
  OK(rshm_rwlock_open_or_create(name_of("rwlock"), NULL, &l));
  OK(rshm_rwlock_read(l, RSHM_FOREVER));
  is(RSHM_WOULD_DEADLOCK, rshm_rwlock_read(l, RSHM_FOREVER), "again", __LINE__);
  OK(rshm_rwlock_read_unlock(l));
  OK(rshm_rwlock_write(l, RSHM_FOREVER, 0));
  is(RSHM_NOT_HELD, rshm_rwlock_read_unlock(l), "not held", __LINE__);
  OK(rshm_rwlock_write_unlock(l));
  is(RSHM_NOT_HELD, rshm_rwlock_clear_poison(l), "not held", __LINE__);
  assert(!rshm_rwlock_is_poisoned(l));
  rshm_rwlock_close(l);
}

static void set_event(void) {
  rshm_event *e;
  OK(rshm_event_open(name_of("event"), NULL, &e));
  OK(rshm_event_set(e));
}

static void events(void) {
  rshm_event *e;
  OK(rshm_event_open_or_create(name_of("event"), NULL, &e));
  is(RSHM_TIMED_OUT, rshm_event_wait(e, 1000000), "not set", __LINE__);
  assert(!rshm_event_is_set(e));
  killed_after(set_event);
  OK(rshm_event_wait(e, LIMIT));
  assert(rshm_event_is_set(e));
  OK(rshm_event_clear(e));
  assert(!rshm_event_is_set(e));
  rshm_event_close(e);
}

static void hold_permit(void) {
  rshm_semaphore *s;
  OK(rshm_semaphore_open(name_of("semaphore"), NULL, &s));
  OK(rshm_semaphore_acquire(s, RSHM_FOREVER, NULL));
}

static void semaphores(void) {
  rshm_semaphore *s;
  OK(rshm_semaphore_open_or_create(name_of("semaphore"), 2, NULL, &s));
  assert(rshm_semaphore_permits(s) == 2 && rshm_semaphore_available(s) == 2);
  size_t first, second;
  OK(rshm_semaphore_acquire(s, 0, &first));
  killed_after(hold_permit);
  OK(rshm_semaphore_acquire(s, LIMIT, &second));
  assert(first != second && first < 2 && second < 2 && rshm_semaphore_available(s) == 0);
  is(RSHM_WOULD_BLOCK, rshm_semaphore_acquire(s, 0, NULL), "none left", __LINE__);
  OK(rshm_semaphore_release(s, first));
  is(RSHM_NOT_HELD, rshm_semaphore_release(s, first), "given back", __LINE__);
  assert(rshm_semaphore_available(s) == 1);
  rshm_semaphore_close(s);
}

static int wait_in_child(void) {
  rshm_lock *l;
  OK(rshm_lock_open(name_of("condition"), NULL, &l));
  OK(rshm_lock_lock(l, RSHM_FOREVER, 0));
  say(); /* whoever has the lock now finds this one asleep */
  int code = rshm_condvar_wait(rshm_condvar_of_lock(l, 2), LIMIT);
  OK(rshm_lock_unlock(l));
  rshm_lock_close(l);
  return code;
}

/* All wait at once, and one call ends all waits: RSHM_LATE is the exit code of one that it has left out. */
static void notify_all(rshm_lock *l, unsigned int count) {
  enum { WAITERS = 3 };
  pid_t pids[WAITERS];
  for (int i = 0; i < WAITERS; i++) {
    assert((pids[i] = fork()) >= 0);
    if (pids[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(wait_in_child());
    }
    hear();
  }
  OK(rshm_lock_lock(l, LIMIT, 0));
  OK(rshm_condvar_notify(rshm_condvar_of_lock(l, 2), count));
  OK(rshm_lock_unlock(l));
  for (int i = 0, status; i < WAITERS; i++) assert(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
}

static void conditions(void) {
  rshm_lock *l;
  OK(rshm_lock_open_or_create(name_of("condition"), NULL, &l));
  rshm_condvar c = rshm_condvar_of_lock(l, 2);
  is(RSHM_NOT_HELD, rshm_condvar_wait(c, RSHM_FOREVER), "not held", __LINE__);
  is(RSHM_NOT_HELD, rshm_condvar_notify(c, RSHM_ALL), "not held", __LINE__);
  is(RSHM_INVALID, rshm_condvar_wait(rshm_condvar_of_lock(l, 3), 0), "no such condition", __LINE__);
  OK(rshm_lock_lock(l, RSHM_FOREVER, 0));
  is(RSHM_LATE, rshm_condvar_wait(c, 1000000), "nobody notifies", __LINE__);
  OK(rshm_lock_unlock(l));
  notify_all(l, RSHM_ALL);
  notify_all(l, RSHM_ALL - 1); /* as all, and as quick */
  notify_all(l, 3);
  rshm_lock_close(l);
}

static atomic_bool is_enough;

static void *keep_busy(void *handle) {
  while (!is_enough) {
    size_t index;
    OK(rshm_semaphore_acquire(handle, LIMIT, &index));
    OK(rshm_semaphore_release(handle, index));
  }
  return NULL;
}

/* What this thread has, a child has not, and may take for itself; whatever the other threads were at when it was forked. */
static void inherited(void) {
  rshm_array *a;
  rshm_lock *l;
  rshm_semaphore *s;
  const void *data;
  size_t len, index;
  OK(rshm_array_create(name_of("fork-array"), "i64", 1, NULL, &a));
  OK(rshm_lock_create(name_of("fork-lock"), NULL, &l));
  OK(rshm_semaphore_create(name_of("fork-semaphore"), 8, NULL, &s));
  OK(rshm_array_read(a, 0, &data, &len));
  OK(rshm_lock_lock(l, 0, 0));
  OK(rshm_semaphore_acquire(s, 0, &index));
  pthread_t thread;
  assert(pthread_create(&thread, NULL, keep_busy, s) == 0);
  for (int round = 0; round < 100; round++) {
    pid_t pid = fork();
    assert(pid >= 0);
    if (pid == 0) {
      alarm(20);
      is(RSHM_NOT_HELD, rshm_array_read_unlock(a), "the parent's", __LINE__);
      is(RSHM_NOT_HELD, rshm_condvar_notify(rshm_condvar_of_lock(l, 0), RSHM_ALL), "the parent's", __LINE__);
      is(RSHM_NOT_HELD, rshm_lock_clear_poison(l), "the parent's", __LINE__);
      is(RSHM_NOT_HELD, rshm_lock_unlock(l), "the parent's", __LINE__);
      is(RSHM_NOT_HELD, rshm_semaphore_release(s, index), "the parent's", __LINE__);
      OK(rshm_array_read(a, LIMIT, &data, &len));
      OK(rshm_array_read_unlock(a));
      OK(rshm_semaphore_acquire(s, LIMIT, &index));
      OK(rshm_semaphore_release(s, index));
      _exit(0);
    }
    int status;
    assert(waitpid(pid, &status, 0) == pid && status == 0);
  }
  OK(rshm_array_read_unlock(a));
  OK(rshm_lock_unlock(l));
  OK(rshm_semaphore_release(s, index));
  is_enough = true;
  assert(pthread_join(thread, NULL) == 0);
  rshm_array_close(a);
  rshm_lock_close(l);
  rshm_semaphore_close(s);
}

/* A forked child has the handles, and nothing of what was held through them. */
static void forks(void) {
  rshm_value *v;
  int64_t n = 1;
  OK(rshm_value_create(name_of("fork"), "i64", &n, sizeof n, NULL, &v));
  OK(rshm_value_lock(v, RSHM_FOREVER, &n, sizeof n));
  pid_t pid = fork();
  assert(pid >= 0);
  if (pid == 0) {
    n = 99;
    assert(rshm_value_commit(v, &n, sizeof n) < 0);
    is(RSHM_WOULD_BLOCK, rshm_value_lock(v, 0, &n, sizeof n), "the parent's", __LINE__);
    rshm_value_close(v);
    _exit(0);
  }
  int status;
  assert(waitpid(pid, &status, 0) == pid && status == 0);
  inherited();
  n = 2;
  OK(rshm_value_commit(v, &n, sizeof n));
  OK(rshm_value_get(v, &n, sizeof n));
  assert(n == 2);
  rshm_value_close(v);
}

int main(int argc, char **argv) {
  assert(argc == 2 && pipe(ready) == 0 && *rshm_version());
  prefix = argv[1];
  alarm(120);
  values();
  arrays();
  locks();
  read_and_write();
  events();
  semaphores();
  conditions();
  forks();
  rshm_value *v;
  is(RSHM_NOT_FOUND, rshm_value_open(name_of("value"), NULL, NULL, &v), "the last one out", __LINE__);
  is(RSHM_NOT_FOUND, rshm_remove(name_of("value")), "removed", __LINE__);
  size_t removed;
  OK(rshm_gc(&removed));
  return 0;
}
