/* Squares computed in a child process and read by the parent: the first example of Python's multiprocessing.
 *   cc -std=c11 squares.c $(pkg-config --cflags --libs robust_shm) && ./a.out */
#include <robust_shm.h>

#include <err.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int code) {
  if (code < 0) errx(1, "%s", rshm_last_error());
}

int main(int argc, char **argv) {
  const char *prefix = argc > 1 ? argv[1] : "";
  char squares_name[80], total_name[80];
  snprintf(squares_name, sizeof squares_name, "%ssquares-%d", prefix, getpid());
  snprintf(total_name, sizeof total_name, "%stotal-%d", prefix, getpid());
  int64_t total = 0;
  rshm_array *squares;
  rshm_value *sum;
  must(rshm_array_create(squares_name, "i64", 4, NULL, &squares));
  must(rshm_value_create(total_name, "i64", &total, sizeof total, NULL, &sum));

  const pid_t child = fork();
  if (child < 0) err(1, "fork");
  if (child == 0) {
    void *data;
    size_t len;
    must(rshm_array_lock(squares, RSHM_FOREVER, 0, &data, &len));
    int64_t *elements = data;
    for (size_t i = 0; i < len; i++) total += elements[i] = (int64_t)((i + 5) * (i + 5));
    must(rshm_array_unlock(squares));
    must(rshm_value_set(sum, &total, sizeof total));
    _exit(0);
  }
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) errx(1, "the child failed");

  const void *data;
  must(rshm_array_read(squares, RSHM_FOREVER, &data, NULL));
  const int64_t *elements = data;
  printf("[%lld, %lld, %lld, %lld]\n", (long long)elements[0], (long long)elements[1], (long long)elements[2], (long long)elements[3]);
  must(rshm_array_read_unlock(squares));
  must(rshm_value_get(sum, &total, sizeof total));
  printf("%lld\n", (long long)total);
  rshm_array_close(squares);
  rshm_value_close(sum);
  return 0;
}
