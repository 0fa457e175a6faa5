// Requests that the server asks itself when nobody else asks anything.
#pragma once

#include "talon/engine/request.h"

namespace talon {

// Called on the worker's thread, one request at a time.
class IdleWork {
 public:
  virtual ~IdleWork() = default;
  virtual bool done() const = 0;
  virtual GenerationRequest Next() = 0;
  // What the request at hand gained; its end is in the output.
  virtual void Count(const StepOutput& output) = 0;
  // The request at hand was given up for a user's; Next gives it again.
  virtual void Abandon() = 0;
  // A request was refused or a step failed; nothing more is asked.
  virtual void Fail(const char* reason) = 0;
};

}  // namespace talon
