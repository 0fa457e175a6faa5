// What happens on Ctrl-C: unfinished outputs are removed, then the process ends as the signal says.
#pragma once

namespace talon {

// Call once at the start of main(), before any thread exists: SIGINT, SIGTERM and SIGHUP are from
// then on handled by a thread of their own. A file that grows beyond a limit becomes an error, not
// a signal.
void HandleInterrupts();

}  // namespace talon
