#include "apps/talon/interrupt.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "talon/base/atomic_output.h"

namespace talon {

void HandleInterrupts() {
  std::signal(SIGXFSZ, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals] {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) return;
    RemoveUnfinishedOutputs();
    fmt::print(stderr, "\ntalon: interrupted; unfinished outputs were removed\n");
    ::_exit(128 + signal);
  }).detach();
}

}  // namespace talon
