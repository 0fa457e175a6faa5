// What the worker drives: the engine, or a scripted stand-in in tests.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "talon/engine/request.h"
#include "talon/serve/serving_metrics.h"

namespace talon {

class Engine;

// The part of Engine's interface that serving needs; the same rules (one thread, Submit may throw).
class StepEngine {
 public:
  virtual ~StepEngine() = default;
  virtual int64_t Submit(GenerationRequest request) = 0;
  virtual void Cancel(int64_t request_id) = 0;
  virtual bool idle() const = 0;
  virtual std::vector<StepOutput> Step() = 0;
  virtual EngineLoad load() const = 0;
  // Requests that the last Step took out of the queue for the first time.
  virtual const std::vector<int64_t>& newly_admitted() const = 0;
};

// Passes everything on to `engine`.
std::unique_ptr<StepEngine> MakeStepEngine(std::unique_ptr<Engine> engine);

}  // namespace talon
