#include "talon/eval/recorder.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <utility>

#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/engine/engine.h"
#include "talon/eval/kv_limit.h"

namespace talon {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

EngineOptions MakeEngineOptions(const GemmaModel& verifier, const TraceManifest& manifest,
                                const RecorderOptions& options) {
  EngineOptions engine;
  engine.max_num_seqs = options.max_num_seqs;
  engine.max_model_len = options.max_positions;
  engine.kv_dtype = manifest.dtype;
  engine.capture_layer_ids = manifest.aux_layer_ids;
  engine.kv_cache_bytes = EvalKvBytes(verifier.config(), nullptr, engine);
  return engine;
}

class Recorder {
 public:
  Recorder(const GemmaModel& verifier, EvalData& data, TraceStore& store,
           const RecorderOptions& options)
      : backend_(verifier.backend()),
        data_(data),
        store_(store),
        manifest_(store.manifest()),
        options_(options),
        engine_(verifier, nullptr, MakeEngineOptions(verifier, store.manifest(), options)),
        progress_("recording", static_cast<int64_t>(data.first_turns().size()), "prompts") {
    engine_.SetFeatureSink([this](int64_t request, int64_t first_position, const Tensor& features) {
      KeepFeatures(*running_.at(request), first_position, features);
    });
  }

  Recording Run() {
    const Clock::time_point start = Clock::now();
    for (const EvalPrompt& prompt : data_.first_turns()) Take(prompt);
    while (!engine_.idle()) {
      for (const StepOutput& output : engine_.Step()) Advance(output);
      if (finished_bytes_ >= options_.shard_bytes ||
          SecondsSince(last_flush_) >= options_.shard_seconds) {
        Flush();
      }
    }
    Flush();
    std::sort(recording_.keys.begin(), recording_.keys.end());
    recording_.seconds = SecondsSince(start);
    return std::move(recording_);
  }

 private:
  // A prompt being answered, or answered and not yet written.
  struct Job {
    EvalPrompt prompt;
    Trace trace;
    std::vector<std::byte> features;  // [positions so far, feature_size]
  };

  // Uses the stored answer, or asks the engine for one.
  void Take(const EvalPrompt& prompt) {
    recording_.keys.push_back(prompt.key);
    if (store_.Contains(prompt.key)) {
      const Trace trace = store_.Read(prompt.key);
      if (!std::equal(trace.prompt().begin(), trace.prompt().end(), prompt.tokens.begin(),
                      prompt.tokens.end())) {
        Throw(ErrorCode::kFailedPrecondition,
              "{}: the trace of {} was made from other prompt tokens (another tokenizer or chat "
              "template); give another --trace folder or remove this one",
              store_.directory().string(), prompt.id);
      }
      Finish(prompt, trace.answer());
      return;
    }
    auto job = std::make_unique<Job>();
    job->prompt = prompt;
    job->trace.key = prompt.key;
    job->trace.id = prompt.id;
    job->trace.category = prompt.category;
    job->trace.prompt_tokens = static_cast<int64_t>(prompt.tokens.size());
    job->trace.tokens = prompt.tokens;
    GenerationRequest request;
    request.prompt_ids = prompt.tokens;
    // No stop ids: the tail lies behind the stop token.
    request.max_tokens = std::min(manifest_.max_tokens + manifest_.tail_tokens,
                                  options_.max_positions - job->trace.prompt_tokens);
    const int64_t id = engine_.Submit(std::move(request));
    running_[id] = std::move(job);
  }

  void KeepFeatures(Job& job, int64_t first_position, const Tensor& features) {
    const auto row_bytes = static_cast<size_t>(features.cols * SizeOf(features.dtype));
    const auto end = static_cast<size_t>(first_position + features.rows);
    CheckInternal(job.features.size() == static_cast<size_t>(first_position) * row_bytes &&
                      features.row_stride == features.cols,
                  "features of a position are missing");
    job.features.resize(end * row_bytes);
    backend_.Download(features.data, features.rows * static_cast<int64_t>(row_bytes),
                      job.features.data() + static_cast<size_t>(first_position) * row_bytes);
  }

  void Advance(const StepOutput& output) {
    Job& job = *running_.at(output.request_id);
    Trace& trace = job.trace;
    for (const int32_t token : output.tokens) {
      trace.tokens.push_back(token);
      if (trace.answer_tokens > 0) continue;
      const std::vector<int32_t>& stops = manifest_.stop_token_ids;
      const auto answer = static_cast<int64_t>(trace.tokens.size()) - trace.prompt_tokens;
      const bool stop = std::find(stops.begin(), stops.end(), token) != stops.end();
      if (!stop && answer < manifest_.max_tokens) continue;
      trace.answer_tokens = answer;
      trace.finish = stop ? FinishReason::kStop : FinishReason::kLength;
    }
    const bool ended = output.finish_reason != FinishReason::kNone;
    const auto recorded = static_cast<int64_t>(trace.tokens.size());
    const bool complete =
        trace.answer_tokens > 0 &&
        recorded >= trace.prompt_tokens + trace.answer_tokens + manifest_.tail_tokens;
    if (!ended && !complete) return;
    CheckInternal(trace.answer_tokens > 0, "a request ended before its answer did");
    if (!ended) engine_.Cancel(output.request_id);
    Complete(output.request_id);
  }

  void Complete(int64_t request) {
    auto node = running_.extract(request);
    std::unique_ptr<Job> job = std::move(node.mapped());
    Trace& trace = job->trace;
    job->features.resize(static_cast<size_t>(trace.feature_rows() * manifest_.feature_size() *
                                             SizeOf(manifest_.dtype)));
    trace.features = job->features;
    ++recording_.recorded;
    recording_.answer_tokens += trace.answer_tokens;
    finished_bytes_ += static_cast<int64_t>(job->features.size());
    Finish(job->prompt, trace.answer());
    finished_.push_back(std::move(job));
  }

  // One more row is done, unless it has another turn.
  void Finish(const EvalPrompt& prompt, std::span<const int32_t> answer) {
    if (auto next = data_.NextTurn(prompt, answer)) {
      Take(*next);
    } else {
      progress_.Advance();
    }
  }

  void Flush() {
    std::vector<Trace> traces;
    for (const auto& job : finished_) traces.push_back(job->trace);
    store_.Append(traces);
    finished_.clear();
    finished_bytes_ = 0;
    last_flush_ = Clock::now();
  }

  Backend& backend_;
  EvalData& data_;
  TraceStore& store_;
  const TraceManifest& manifest_;
  RecorderOptions options_;
  Engine engine_;
  Progress progress_;
  std::map<int64_t, std::unique_ptr<Job>> running_;  // by request id
  std::vector<std::unique_ptr<Job>> finished_;
  int64_t finished_bytes_ = 0;
  Clock::time_point last_flush_ = Clock::now();
  Recording recording_;
};

}  // namespace

Recording RecordTraces(const GemmaModel& verifier, EvalData& data, TraceStore& store,
                       const RecorderOptions& options) {
  return Recorder(verifier, data, store, options).Run();
}

}  // namespace talon
