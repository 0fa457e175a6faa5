// A fixed team of threads for data-parallel loops inside ops. The split of work is deterministic
// and no result may depend on it: every task writes its own outputs and reduces in its own fixed
// order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace talon {

class ThreadPool {
 public:
  // `num_threads` includes the calling thread; 0 means one per available core.
  explicit ThreadPool(int num_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs fn(task) for task in [0, num_tasks), tasks handed out one by one; returns when all are
  // done. Called by one thread at a time. `fn` must not throw.
  void Run(int64_t num_tasks, const std::function<void(int64_t)>& fn);

 private:
  void WorkerLoop();
  void Drain();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_task_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  int64_t num_tasks_ = 0;
  const std::function<void(int64_t)>* fn_ = nullptr;
};

}  // namespace talon
