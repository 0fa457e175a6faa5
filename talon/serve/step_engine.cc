#include "talon/serve/step_engine.h"

#include "talon/engine/engine.h"

namespace talon {
namespace {

class EngineAdapter final : public StepEngine {
 public:
  explicit EngineAdapter(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

  int64_t Submit(GenerationRequest request) override { return engine_->Submit(std::move(request)); }
  void Cancel(int64_t request_id) override { engine_->Cancel(request_id); }
  bool idle() const override { return engine_->idle(); }
  std::vector<StepOutput> Step() override { return engine_->Step(); }

  EngineLoad load() const override {
    EngineLoad load;
    load.running = engine_->num_running();
    load.waiting = engine_->num_waiting();
    const PageAllocator& pages = engine_->kv_pool().global();
    load.kv_cache_usage =
        1.0 - static_cast<double>(pages.free_pages()) / static_cast<double>(pages.num_pages());
    const EngineCounters& counters = engine_->counters();
    load.prefix_cache_queries = counters.prefix_cache_queries;
    load.prefix_cache_hits = counters.prefix_cache_hits;
    load.preemptions = counters.preemptions;
    return load;
  }
  const std::vector<int64_t>& newly_admitted() const override { return engine_->newly_admitted(); }

 private:
  std::unique_ptr<Engine> engine_;
};

}  // namespace

std::unique_ptr<StepEngine> MakeStepEngine(std::unique_ptr<Engine> engine) {
  return std::make_unique<EngineAdapter>(std::move(engine));
}

}  // namespace talon
