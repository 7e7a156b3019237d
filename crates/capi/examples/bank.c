/* A bank account that two processes use at once: wrong without the lock, right with it.
 *   cc -std=c11 bank.c $(pkg-config --cflags --libs robust_shm) && ./a.out */
#include <robust_shm.h>

#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMES = 100 };

static void must(int code) {
  if (code < 0) errx(1, "%s", rshm_last_error());
}

/* The work between reading the balance and writing it: whatever the other process writes meanwhile is lost. */
static void work(void) {
  const struct timespec wait = {0, 200000};
  nanosleep(&wait, NULL);
}

static void change(rshm_value *account, bool locks, int64_t by) {
  for (int i = 0; i < TIMES; i++) {
    int64_t balance;
    if (locks) {
      must(rshm_value_lock(account, RSHM_FOREVER, &balance, sizeof balance));
      work();
      balance += by;
      must(rshm_value_commit(account, &balance, sizeof balance));
    } else {
      must(rshm_value_get(account, &balance, sizeof balance));
      work();
      balance += by;
      must(rshm_value_set(account, &balance, sizeof balance));
    }
  }
}

static int64_t run(const char *name, bool locks) {
  int64_t balance = 200;
  rshm_value *account;
  rshm_event *start;
  char begin[100];
  snprintf(begin, sizeof begin, "%s-begin", name);
  must(rshm_value_create(name, "i64", &balance, sizeof balance, NULL, &account));
  must(rshm_event_create(begin, NULL, &start));
  const int64_t changes[2] = {1, -1};
  for (int i = 0; i < 2; i++) {
    const pid_t child = fork();
    if (child < 0) err(1, "fork");
    if (child == 0) {
      must(rshm_event_wait(start, RSHM_FOREVER)); /* so that they work at the same time */
      change(account, locks, changes[i]);
      _exit(0);
    }
  }
  must(rshm_event_set(start));
  for (int i = 0, status; i < 2; i++)
    if (wait(&status) < 0 || status != 0) errx(1, "a child failed");
  must(rshm_value_get(account, &balance, sizeof balance));
  rshm_event_close(start);
  rshm_value_close(account);
  return balance;
}

int main(int argc, char **argv) {
  char name[80];
  snprintf(name, sizeof name, "%sbank-%d", argc > 1 ? argv[1] : "", getpid());
  for (int i = 0; i < 3; i++) printf("without lock: %lld\n", (long long)run(name, false));
  for (int i = 0; i < 3; i++) printf("with lock: %lld\n", (long long)run(name, true));
  return 0;
}
