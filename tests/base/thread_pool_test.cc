// The thread pool: every task exactly once, results visible to the caller, many short generations.
// The TSan build of this program is the proof that nothing races.
#include "talon/base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

namespace talon {
namespace {

TEST(ThreadPoolTest, RunsEveryTaskExactlyOnce) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    for (const int64_t num_tasks : {1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(num_tasks));
      pool.Run(num_tasks, [&](int64_t task) { runs[static_cast<size_t>(task)].fetch_add(1); });
      EXPECT_TRUE(std::all_of(runs.begin(), runs.end(), [](const auto& n) { return n == 1; }));
    }
  }
}

TEST(ThreadPoolTest, NoTasksIsNoWork) {
  ThreadPool pool(2);
  pool.Run(0, [](int64_t) { FAIL() << "a task ran"; });
  pool.Run(-3, [](int64_t) { FAIL() << "a task ran"; });
}

TEST(ThreadPoolTest, PlainWritesOfOneRunAreSeenByTheNext) {
  ThreadPool pool(3);
  constexpr int64_t kSize = 64;
  std::vector<int64_t> values(kSize, 0);
  std::vector<int64_t> shifted(kSize, 0);
  constexpr int64_t kGenerations = 2000;
  for (int64_t generation = 0; generation < kGenerations; ++generation) {
    pool.Run(kSize, [&](int64_t i) { shifted[i] = values[(i + 1) % kSize] + 1; });
    values.swap(shifted);
  }
  EXPECT_EQ(values, std::vector<int64_t>(kSize, kGenerations));
}

TEST(ThreadPoolTest, ParkedThreadsWakeUp) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pool.Run(100, [&](int64_t task) { sum.fetch_add(task); });
  }
  EXPECT_EQ(sum.load(), 5 * 4950);
}

TEST(ThreadPoolTest, ManyPoolsStartAndStop) {
  for (int i = 0; i < 100; ++i) {
    ThreadPool pool(1 + i % 4);
    if (i % 3 == 0) continue;
    std::atomic<int> count{0};
    pool.Run(i, [&](int64_t) { count.fetch_add(1); });
    EXPECT_EQ(count.load(), i);
  }
}

TEST(ThreadPoolTest, DefaultsToOneThreadPerAvailableCore) {
  const ThreadPool pool;
  EXPECT_GE(pool.num_threads(), 1);
  EXPECT_LE(pool.num_threads(), static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace talon
