#include "apps/talon/interrupt.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

#include "talon/base/atomic_output.h"

namespace talon {
namespace {

std::mutex handler_mutex;
std::function<void()>& Handler() {
  static auto* handler = new std::function<void()>;  // outlives every thread
  return *handler;
}

// Calls the handler, once; false when there is none.
bool CallHandler() {
  const std::lock_guard lock(handler_mutex);
  const std::function<void()> handler = std::exchange(Handler(), nullptr);
  if (handler) handler();
  return static_cast<bool>(handler);
}

void EndOnSignal(const sigset_t& signals) {
  int signal = 0;
  do {
    if (sigwait(&signals, &signal) != 0) return;
  } while (CallHandler());
  RemoveUnfinishedOutputs();
  fmt::print(stderr, "\ntalon: interrupted; unfinished outputs were removed\n");
  ::_exit(128 + signal);
}

}  // namespace

void HandleInterrupts() {
  std::signal(SIGXFSZ, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals] { EndOnSignal(signals); }).detach();
}

void SetInterruptHandler(std::function<void()> handler) {
  const std::lock_guard lock(handler_mutex);
  Handler() = std::move(handler);
}

}  // namespace talon
