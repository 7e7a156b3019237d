// Lock, add one, unlock with Boost.Interprocess: `boost ROUNDS MILLISECONDS`.
// Prints one line a contender: its name, a tab, nanoseconds for one operation in each round.

#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/named_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <ctime>
#include <sched.h>
#include <string>
#include <unistd.h>

namespace ip = boost::interprocess;

struct Counter {
    ip::interprocess_mutex mutex;
    alignas(64) volatile std::uint64_t number = 0;
};

// Processor time, which other processes on the same core do not add to.
static double now() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

template <class Operation>
static double nanoseconds(long times, Operation operation) {
    double start = now();
    for (long i = 0; i < times; ++i) operation();
    return (now() - start) / times;
}

template <class Operation>
static void measure(const char *who, int rounds, double milliseconds, Operation operation) {
    long times = static_cast<long>(milliseconds * 1e6 / nanoseconds(10000, operation)) + 1;
    std::printf("%s\t", who);
    for (int round = 0; round < rounds; ++round) std::printf("%.2f ", nanoseconds(times, operation));
    std::printf("\n");
}

int main(int, char **arguments) {
    int rounds = std::atoi(arguments[1]);
    double milliseconds = std::atof(arguments[2]);
    cpu_set_t cores;
    sched_getaffinity(0, sizeof cores, &cores);
    for (int core = 0, seen = 0; core < CPU_SETSIZE; ++core) {
        if (!CPU_ISSET(core, &cores) || ++seen == 2) continue;
        if (CPU_COUNT(&cores) > 1) CPU_CLR(core, &cores);
    }
    sched_setaffinity(0, sizeof cores, &cores);
    std::string name = "peers-boost-" + std::to_string(getpid());

    ip::shared_memory_object memory(ip::create_only, name.c_str(), ip::read_write);
    memory.truncate(sizeof(Counter));
    ip::mapped_region region(memory, ip::read_write);
    ip::shared_memory_object::remove(name.c_str());
    Counter *counter = new (region.get_address()) Counter;
    measure("Boost interprocess_mutex", rounds, milliseconds, [&] {
        ip::scoped_lock<ip::interprocess_mutex> guard(counter->mutex);
        counter->number = counter->number + 1;
    });

    ip::named_mutex named(ip::create_only, name.c_str());
    measure("Boost named_mutex", rounds, milliseconds, [&] {
        ip::scoped_lock<ip::named_mutex> guard(named);
        counter->number = counter->number + 1;
    });
    ip::named_mutex::remove(name.c_str());
}
