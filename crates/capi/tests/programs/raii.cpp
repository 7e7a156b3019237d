// Guards of C++: committed at the end of the block, discarded when an exception passes. argv[1]: how names begin.
#undef NDEBUG
#include "robust_shm.hpp"
#include <cassert>
#include <cstring>
#include <mutex>
#include <numeric>
#include <thread>

struct account {
  std::int64_t balance;
  std::uint32_t changes;
  bool open;
  std::uint8_t pad[3];
};
RSHM_CHECK_FIELD(account, balance, 0);
RSHM_CHECK_FIELD(account, open, 12);
RSHM_SCHEMA(account, "Account{balance:i64,changes:u32,open:bool,_pad:[u8;3]}");

struct wrong {
  std::int64_t first, second;
};
RSHM_SCHEMA(wrong, "i64");

template <class F> int code_of(F action) {
  try {
    action();
  } catch (const robust_shm::error &error) {
    assert(*error.what());
    return error.code;
  }
  return RSHM_OK;
}

int main(int argc, char **argv) {
  assert(argc == 2);
  const std::string prefix = argv[1];
  namespace chrono = std::chrono;
  for (const robust_shm::timeout &forever :
       {robust_shm::timeout(), robust_shm::timeout(chrono::hours::max()), robust_shm::timeout(chrono::seconds::max()),
        robust_shm::timeout(chrono::nanoseconds::max()), robust_shm::timeout(chrono::duration<double>(1e300))})
    assert(forever.ns() == RSHM_FOREVER);
  assert(robust_shm::timeout(chrono::duration<double>(0.5)).ns() == 500000000 && robust_shm::timeout(chrono::hours(1)).ns() == 3600000000000);
  assert(robust_shm::timeout(chrono::hours::min()).ns() == 0 && robust_shm::timeout(chrono::seconds(0)).ns() == 0);
  bool is_refused = false;
  try {
    robust_shm::shared_array<wrong> elements(prefix + "cpp-wrong", 4);
  } catch (const std::invalid_argument &) {
    is_refused = true;
  }
  assert(is_refused);
  robust_shm::shared_value<account> value(prefix + "cpp-value", {200, 0, true, {}});
  {
    auto guard = value.lock();
    guard->balance += 1;
    guard->changes += 1;
    assert(code_of([&] { value.lock(); }) == RSHM_WOULD_DEADLOCK);
  }
  assert(value.get().balance == 201);
  try {
    auto guard = value.lock();
    guard->balance = 0;
    throw 1;
  } catch (int) {
  }
  assert(value.get().balance == 201 && value.get().changes == 1);
  {
    auto guard = value.lock();
    std::memset(&guard->open, 7, 1);
    assert(code_of([&] { guard.commit(); }) == RSHM_INVALID_VALUE);
    guard->open = false;
    guard.commit();
  }
  assert(!value.get().open);
  value.lock().discard();
  assert(code_of([&] { robust_shm::shared_value<double> other(prefix + "cpp-value", 1.0); }) == RSHM_TYPE_MISMATCH);

  robust_shm::shared_array<double> array(prefix + "cpp-array", 16);
  {
    auto guard = array.lock(std::chrono::seconds(20));
    std::iota(guard.begin(), guard.end(), 1.0);
    assert(guard.size() == 16 && guard[15] == 16.0 && !guard.owner_died());
  }

  robust_shm::shared_lock lock(prefix + "cpp-lock");
  std::unique_lock<robust_shm::shared_lock> mine(lock);
  std::thread([&] { assert(!std::unique_lock<robust_shm::shared_lock>(lock, std::try_to_lock)); }).join();
  mine.unlock();
  std::thread([&] { std::lock_guard<robust_shm::shared_lock> theirs(lock); }).join();
}
