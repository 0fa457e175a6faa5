// What happens on Ctrl-C: unfinished outputs are removed, then the process ends as the signal says.
#pragma once

#include <functional>

namespace talon {

// Call once at the start of main(), before any thread exists: SIGINT, SIGTERM and SIGHUP are from
// then on handled by a thread of their own. A file that grows beyond a limit becomes an error, not
// a signal.
void HandleInterrupts();

// From now on the first signal calls `handler`, on the signals' thread, instead of ending the
// process; a second one ends it. An empty `handler` takes that back.
void SetInterruptHandler(std::function<void()> handler);

}  // namespace talon
