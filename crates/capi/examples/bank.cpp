// A bank account that two processes use at once: wrong without the lock, right with it.
//   c++ -std=c++17 bank.cpp $(pkg-config --cflags --libs robust_shm) && ./a.out
#include <robust_shm.hpp>

#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

using account = robust_shm::shared_value<std::int64_t>;

// The work between reading the balance and writing it: whatever the other process writes meanwhile is lost.
static void work() {
  const timespec wait = {0, 200000};
  nanosleep(&wait, nullptr);
}

static void change(account &account, bool locks, std::int64_t by) {
  for (int i = 0; i < 100; i++) {
    if (locks) {
      auto balance = account.lock();
      work();
      *balance += by; // committed at the end of the block; discarded if an exception passes
    } else {
      const auto balance = account.get();
      work();
      account.set(balance + by);
    }
  }
}

// What a child is for; it must not return into what is its parent's.
[[noreturn]] static void child(account &account, bool locks, std::int64_t by) {
  try {
    change(account, locks, by);
    _exit(0);
  } catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    _exit(1);
  }
}

static std::int64_t run(const std::string &name, bool locks) {
  account account(name, 200);
  for (const std::int64_t by : {1, -1}) {
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("no process");
    if (pid == 0) child(account, locks, by);
  }
  for (int status; wait(&status) > 0;)
    if (status != 0) throw std::runtime_error("a child failed");
  return account.get();
}

int main(int argc, char **argv) {
  const auto name = (argc > 1 ? argv[1] : "") + ("bank-" + std::to_string(getpid()));
  for (int i = 0; i < 3; i++) std::cout << "without lock: " << run(name, false) << std::endl;
  for (int i = 0; i < 3; i++) std::cout << "with lock: " << run(name, true) << std::endl;
}
