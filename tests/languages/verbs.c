/* The verbs of src/verbs.rs, in C: verbs NAME VERB [ARGUMENT]. */
#include "robust_shm.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct crossing {
  int64_t cars;
  double at[2];
  uint8_t light;
  bool open;
  uint8_t pad[6];
};
RSHM_CHECK_FIELD(struct crossing, at, 8);
RSHM_CHECK_FIELD(struct crossing, light, 24);
RSHM_CHECK_FIELD(struct crossing, open, 25);
#define CROSSING "Crossing{cars:i64,at:[f64;2],light:Light(u8){Red=0,Amber=5,Green=6},open:bool,_pad:[u8;6]}"

enum { ELEMENTS = 64, PERMITS = 1 };

static int must(int code) {
  if (code < 0) {
    fprintf(stderr, "%s\n", rshm_last_error());
    exit(1);
  }
  return code;
}

static void say(const char *what) {
  puts(what);
  fflush(stdout);
}

static void hold(void) {
  say("held");
  for (;;) pause();
}

static rshm_value *value_of(const char *name) {
  int64_t zero = 0;
  rshm_value *value;
  must(rshm_value_open_or_create(name, "i64", &zero, sizeof zero, NULL, &value));
  return value;
}

static rshm_array *array_of(const char *name) {
  rshm_array *array;
  must(rshm_array_open_or_create(name, "i64", ELEMENTS, NULL, &array));
  return array;
}

static void fill(int64_t *elements, size_t from, size_t to, int64_t number) {
  for (; from < to; from++) elements[from] = number;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *name = argv[1], *verb = argv[2];
  const int64_t number = argc > 3 ? atoll(argv[3]) : 1;
  rshm_options unpoisoned = RSHM_OPTIONS;
  unpoisoned.no_poison = 1;
  void *data;
  const void *seen;
  char text[100];
#define IS(which) (strcmp(verb, which) == 0)
  if (IS("add") || IS("value-hold") || IS("get")) {
    int64_t copy;
    rshm_value *value = value_of(name);
    if (IS("get")) {
      must(rshm_value_get(value, &copy, sizeof copy));
      snprintf(text, sizeof text, "%lld", (long long)copy);
      say(text);
    } else if (IS("add")) {
      for (int64_t i = 0; i < number; i++) {
        must(rshm_value_lock(value, RSHM_FOREVER, &copy, sizeof copy));
        copy++;
        must(rshm_value_commit(value, &copy, sizeof copy));
      }
    } else {
      must(rshm_value_lock(value, RSHM_FOREVER, &copy, sizeof copy));
      hold();
    }
    rshm_value_close(value);
  } else if (IS("fill") || IS("array-hold") || IS("repair") || IS("read")) {
    rshm_array *array = array_of(name);
    if (IS("fill")) {
      int code = rshm_array_lock(array, RSHM_FOREVER, 0, &data, NULL);
      if (code == RSHM_POISONED) {
        say("poisoned");
      } else {
        must(code);
        fill(data, 0, ELEMENTS, number);
        must(rshm_array_unlock(array));
      }
    } else if (IS("array-hold")) {
      must(rshm_array_lock(array, RSHM_FOREVER, 0, &data, NULL));
      fill(data, 0, ELEMENTS / 2, -1);
      hold();
    } else if (IS("repair")) {
      if (must(rshm_array_lock(array, RSHM_FOREVER, RSHM_EVEN_POISONED, &data, NULL)) == RSHM_OWNER_DIED) {
        fill(data, 0, ELEMENTS, number);
        must(rshm_array_clear_poison(array));
      }
      must(rshm_array_unlock(array));
    } else {
      must(rshm_array_read(array, RSHM_FOREVER, &seen, NULL));
      const int64_t *elements = seen;
      snprintf(text, sizeof text, "%lld", (long long)elements[0]);
      for (size_t i = 0; i < ELEMENTS; i++)
        if (elements[i] != elements[0]) strcpy(text, "torn");
      say(text);
      must(rshm_array_read_unlock(array));
    }
    rshm_array_close(array);
  } else if (IS("permit") || IS("permit-hold")) {
    rshm_semaphore *semaphore;
    size_t index;
    must(rshm_semaphore_open_or_create(name, PERMITS, NULL, &semaphore));
    must(rshm_semaphore_acquire(semaphore, RSHM_FOREVER, &index));
    if (IS("permit-hold")) hold();
    snprintf(text, sizeof text, "%zu", index);
    say(text);
    must(rshm_semaphore_release(semaphore, index));
    rshm_semaphore_close(semaphore);
  } else if (IS("event-set") || IS("event-wait") || IS("event-hold")) {
    rshm_event *event;
    must(rshm_event_open_or_create(name, NULL, &event));
    if (IS("event-hold")) say("held");
    must(IS("event-set") ? rshm_event_set(event) : rshm_event_wait(event, RSHM_FOREVER));
    rshm_event_close(event);
  } else if (IS("condition-wait") || IS("condition-notify")) {
    rshm_lock *lock;
    must(rshm_lock_open_or_create(name, &unpoisoned, &lock));
    must(rshm_lock_lock(lock, RSHM_FOREVER, 0));
    if (IS("condition-wait")) {
      say("waits"); /* whoever has the lock now finds this one asleep */
      must(rshm_condvar_wait(rshm_condvar_of_lock(lock, 1), RSHM_FOREVER));
      must(rshm_lock_unlock(lock));
      say("woken");
    } else {
      must(rshm_condvar_notify(rshm_condvar_of_lock(lock, 1), RSHM_ALL));
      must(rshm_lock_unlock(lock));
    }
    rshm_lock_close(lock);
  } else if (IS("write") || IS("reader-hold") || IS("writer-hold")) {
    rshm_rwlock *lock;
    must(rshm_rwlock_open_or_create(name, &unpoisoned, &lock));
    must(IS("reader-hold") ? rshm_rwlock_read(lock, RSHM_FOREVER) : rshm_rwlock_write(lock, RSHM_FOREVER, 0));
    if (!IS("write")) hold();
    must(rshm_rwlock_write_unlock(lock));
    rshm_rwlock_close(lock);
  } else if (IS("struct-write") || IS("struct-read")) {
    struct crossing crossing = {number, {1.5, -2.0}, 6, true, {0}};
    rshm_options options = RSHM_OPTIONS;
    options.persistent = 1;
    rshm_value *value;
    if (IS("struct-write")) {
      must(rshm_value_open_or_create(name, CROSSING, &crossing, sizeof crossing, &options, &value));
      must(rshm_value_set(value, &crossing, sizeof crossing));
    } else {
      must(rshm_value_open(name, CROSSING, NULL, &value));
      must(rshm_value_get(value, &crossing, sizeof crossing));
      snprintf(text, sizeof text, "%lld %g %g %d %d", (long long)crossing.cars, crossing.at[0], crossing.at[1], crossing.light, crossing.open);
      say(text);
    }
    rshm_value_close(value);
  } else if (IS("wrong-type")) {
    rshm_value *value;
    if (rshm_value_open(name, "u16", NULL, &value) != RSHM_TYPE_MISMATCH) return 1;
    say("mismatch");
  } else {
    return 2;
  }
  return 0;
}
