/* Loads the library (argv[1]), uses it in a thread that outlives dlclose, forks, and loads it again. argv[2]: how names begin. */
#undef NDEBUG
#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int open_or_create(const char *, const void *, void **);
typedef int take(const void *, uint64_t, unsigned);
typedef int give_back(const void *);
typedef void close_lock(void *);

static const char *path;
static char name[200];
static pthread_barrier_t barrier;

static void *use(void *unused) {
  void *library = dlopen(path, RTLD_NOW);
  assert(library);
  void *lock = NULL;
  assert(((open_or_create *)dlsym(library, "rshm_lock_open_or_create"))(name, NULL, &lock) == 0);
  assert(((take *)dlsym(library, "rshm_lock_lock"))(lock, UINT64_MAX, 0) == 0);
  assert(((give_back *)dlsym(library, "rshm_lock_unlock"))(lock) == 0);
  ((close_lock *)dlsym(library, "rshm_lock_close"))(lock);
  assert(dlclose(library) == 0);
  pthread_barrier_wait(&barrier);
  return unused; /* what the library does at the end of a thread is run now */
}

int main(int argc, char **argv) {
  assert(argc == 3);
  path = argv[1];
  snprintf(name, sizeof name, "%sunload", argv[2]);
  for (int round = 0; round < 3; round++) {
    assert(pthread_barrier_init(&barrier, NULL, 2) == 0);
    pthread_t thread;
    assert(pthread_create(&thread, NULL, use, NULL) == 0);
    pthread_barrier_wait(&barrier);
    assert(pthread_join(thread, NULL) == 0);
    pid_t pid = fork(); /* and around a fork */
    assert(pid >= 0);
    if (pid == 0) _exit(0);
    int status;
    assert(waitpid(pid, &status, 0) == pid && status == 0);
  }
  return 0;
}
