/* What a lock costs from C that nobody else wants: lock, copy, add, commit beside a robust process-shared pthread mutex around an
 * addition. Interleaved; medians of the rounds, and of their ratios. See README.md. */
#include "robust_shm.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 31, TIMES = 300000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *figures) {
  qsort(figures, ROUNDS, sizeof *figures, ascending);
  return figures[ROUNDS / 2];
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "bench-c-%d", getpid());
  int64_t copy = 0;
  rshm_value *value;
  struct shared {
    pthread_mutex_t mutex;
    volatile int64_t count;
  } *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t attributes;
  if (shared == MAP_FAILED || rshm_value_create(name, "i64", &copy, sizeof copy, NULL, &value)) return 1;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->mutex, &attributes);

  double ours[ROUNDS], theirs[ROUNDS], ratios[ROUNDS], get[ROUNDS];
  for (int round = 0; round < ROUNDS; round++) {
    double start = now();
    for (int i = 0; i < TIMES; i++) {
      if (rshm_value_lock(value, RSHM_FOREVER, &copy, sizeof copy)) return 1;
      copy++;
      if (rshm_value_commit(value, &copy, sizeof copy)) return 1;
    }
    ours[round] = (now() - start) / TIMES;
    start = now();
    for (int i = 0; i < TIMES; i++) {
      pthread_mutex_lock(&shared->mutex);
      shared->count++;
      pthread_mutex_unlock(&shared->mutex);
    }
    theirs[round] = (now() - start) / TIMES;
    start = now();
    for (int i = 0; i < TIMES; i++) rshm_value_get(value, &copy, sizeof copy);
    get[round] = (now() - start) / TIMES;
    ratios[round] = ours[round] / theirs[round];
  }
  if (copy != (int64_t)ROUNDS * TIMES || shared->count != copy) return 1;
  printf("lock, copy, add, commit   %5.1f ns\n", median(ours));
  printf("pthread robust, add       %5.1f ns\n", median(theirs));
  printf("ratio                     %5.2f    bar 1.5\n", median(ratios));
  printf("get                       %5.1f ns\n", median(get));
  rshm_value_close(value);
  return 0;
}
