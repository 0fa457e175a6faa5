#include "talon/serve/serving_metrics.h"

#include "talon/serve/prometheus.h"

namespace talon {
namespace {

const std::vector<double> kTokenCounts = {1,   8,    16,   32,   64,   128,  256,
                                          512, 1024, 2048, 4096, 8192, 16384};
const std::vector<double> kFirstToken = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                         0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                         20,    40,    80,   160,  640,  2560};
const std::vector<double> kInterToken = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                         0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const std::vector<double> kLatency = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                      30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};

// 1, 2, 5, 10, 20, 50, ... up to `most`.
std::vector<double> Bounds125(int64_t most) {
  std::vector<double> bounds;
  for (int64_t scale = 1; scale <= most; scale *= 10) {
    for (const int64_t mantissa : {1, 2, 5}) {
      if (mantissa * scale <= most) bounds.push_back(static_cast<double>(mantissa * scale));
    }
  }
  return bounds;
}

double Value(int64_t count) { return static_cast<double>(count); }

}  // namespace

struct ServingMetrics::Histograms {
  explicit Histograms(int64_t max_model_len)
      : prompt_tokens(Bounds125(max_model_len)),
        generation_tokens(Bounds125(max_model_len)),
        max_tokens(Bounds125(max_model_len)) {}

  Histogram iteration_tokens{kTokenCounts};
  Histogram first_token{kFirstToken};
  Histogram inter_token{kInterToken};
  Histogram time_per_output_token{kInterToken};
  Histogram total{kLatency};
  Histogram queue{kLatency};
  Histogram inference{kLatency};
  Histogram prefill{kLatency};
  Histogram decode{kLatency};
  Histogram prompt_tokens;
  Histogram generation_tokens;
  Histogram max_tokens;
};

std::string_view Name(EndReason reason) {
  switch (reason) {
    case EndReason::kStop:
      return "stop";
    case EndReason::kLength:
      return "length";
    case EndReason::kAbort:
      return "abort";
    case EndReason::kError:
      return "error";
  }
  return "?";
}

ServingMetrics::ServingMetrics(std::string model_name, int64_t max_model_len,
                               int64_t num_speculative_tokens)
    : model_name_(std::move(model_name)),
      speculative_(num_speculative_tokens > 0),
      histograms_(std::make_unique<Histograms>(max_model_len)) {
  totals_.accepted_per_pos.resize(static_cast<size_t>(num_speculative_tokens));
  for (const EndReason reason :
       {EndReason::kStop, EndReason::kLength, EndReason::kAbort, EndReason::kError}) {
    finished_[reason] = 0;
  }
}

ServingMetrics::~ServingMetrics() = default;

void ServingMetrics::SetLoad(const EngineLoad& load) {
  const std::lock_guard lock(mutex_);
  totals_.load = load;
}

void ServingMetrics::CountStep(int64_t tokens) {
  const std::lock_guard lock(mutex_);
  histograms_->iteration_tokens.Observe(Value(tokens));
}

void ServingMetrics::CountFirstToken(int64_t prompt_tokens, double seconds_since_arrival) {
  const std::lock_guard lock(mutex_);
  totals_.prompt_tokens += prompt_tokens;
  histograms_->first_token.Observe(seconds_since_arrival);
}

void ServingMetrics::CountTokens(int64_t tokens) {
  const std::lock_guard lock(mutex_);
  totals_.generation_tokens += tokens;
}

void ServingMetrics::CountInterTokenLatency(double seconds) {
  const std::lock_guard lock(mutex_);
  histograms_->inter_token.Observe(seconds);
}

void ServingMetrics::CountRound(int64_t num_drafts, int64_t num_accepted) {
  const std::lock_guard lock(mutex_);
  ++totals_.num_drafts;
  totals_.num_draft_tokens += num_drafts;
  totals_.num_accepted_tokens += num_accepted;
  for (int64_t i = 0; i < num_accepted; ++i) ++totals_.accepted_per_pos.at(static_cast<size_t>(i));
}

void ServingMetrics::CountFinished(const RequestRecord& record) {
  const std::lock_guard lock(mutex_);
  ++finished_[record.reason];
  if (record.generation_tokens == 0) return;
  const double decode_s = record.total_s - record.first_token_s;
  histograms_->total.Observe(record.total_s);
  histograms_->queue.Observe(record.queue_s);
  histograms_->inference.Observe(record.total_s - record.queue_s);
  histograms_->prefill.Observe(record.first_token_s - record.queue_s);
  histograms_->decode.Observe(decode_s);
  if (record.generation_tokens > 1) {
    histograms_->time_per_output_token.Observe(decode_s / Value(record.generation_tokens - 1));
  }
  histograms_->prompt_tokens.Observe(Value(record.prompt_tokens));
  histograms_->generation_tokens.Observe(Value(record.generation_tokens));
  histograms_->max_tokens.Observe(Value(record.max_tokens));
}

void ServingMetrics::CountRejected() {
  const std::lock_guard lock(mutex_);
  ++rejected_;
}

void ServingMetrics::SetAcceptance(double expected_length, double measured_length, bool low) {
  const std::lock_guard lock(mutex_);
  acceptance_ = Acceptance{expected_length, measured_length, low};
}

MetricsTotals ServingMetrics::Totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

std::string ServingMetrics::Render() const {
  const std::lock_guard lock(mutex_);
  const EngineLoad& load = totals_.load;
  MetricsWriter out({{"model_name", model_name_}, {"engine", "0"}});
  out.Gauge("vllm:num_requests_running", "Number of requests in model execution batches.",
            Value(load.running));
  out.Gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.",
            Value(load.waiting));
  out.Gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.",
            load.kv_cache_usage);
  out.Counter("vllm:prefix_cache_queries_total", "Prefix cache queries, in queried tokens.",
              Value(load.prefix_cache_queries));
  out.Counter("vllm:prefix_cache_hits_total", "Prefix cache hits, in cached tokens.",
              Value(load.prefix_cache_hits));
  out.Counter("vllm:num_preemptions_total", "Cumulative number of preemptions.",
              Value(load.preemptions));
  out.Counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.",
              Value(totals_.prompt_tokens));
  out.Counter("vllm:generation_tokens_total", "Number of generation tokens processed.",
              Value(totals_.generation_tokens));
  std::vector<std::pair<std::string, double>> finished;
  for (const auto& [reason, count] : finished_) {
    finished.emplace_back(Name(reason), Value(count));
  }
  out.CounterBy("vllm:request_success_total", "Count of successfully processed requests.",
                "finished_reason", finished);
  out.CounterBy("vllm:admission_rejections_total",
                "Number of admission attempts rejected by a queue limit, by reason.", "reason",
                {{"queued_reqs", Value(rejected_)}});
  if (speculative_) RenderSpeculative(out);
  if (acceptance_) RenderAcceptance(out);
  RenderHistograms(out);
  return out.text();
}

void ServingMetrics::RenderSpeculative(MetricsWriter& out) const {
  out.Counter("vllm:spec_decode_num_drafts_total", "Number of spec decoding drafts.",
              Value(totals_.num_drafts));
  out.Counter("vllm:spec_decode_num_draft_tokens_total", "Number of draft tokens.",
              Value(totals_.num_draft_tokens));
  out.Counter("vllm:spec_decode_num_accepted_tokens_total", "Number of accepted tokens.",
              Value(totals_.num_accepted_tokens));
  std::vector<std::pair<std::string, double>> accepted;
  for (const int64_t count : totals_.accepted_per_pos) {
    accepted.emplace_back(std::to_string(accepted.size()), Value(count));
  }
  out.CounterBy("vllm:spec_decode_num_accepted_tokens_per_pos_total",
                "Accepted tokens per draft position.", "position", accepted);
}

void ServingMetrics::RenderAcceptance(MetricsWriter& out) const {
  out.Gauge("talon:acceptance_length_expected",
            "Acceptance length that talon eval --record stored with the drafter.",
            acceptance_->expected_length);
  out.Gauge("talon:acceptance_length_measured",
            "Acceptance length on the same prompts, after the start.",
            acceptance_->measured_length);
  out.Gauge("talon:acceptance_low", "1 when the measured length falls far short.",
            acceptance_->low ? 1.0 : 0.0);
}

void ServingMetrics::RenderHistograms(MetricsWriter& out) const {
  const Histograms& h = *histograms_;
  out.Write("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.",
            h.first_token);
  out.Write("vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.",
            h.inter_token);
  out.Write("vllm:request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.", h.time_per_output_token);
  out.Write("vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.",
            h.total);
  out.Write("vllm:request_queue_time_seconds",
            "Histogram of time spent in WAITING phase for request.", h.queue);
  out.Write("vllm:request_inference_time_seconds",
            "Histogram of time spent in RUNNING phase for request.", h.inference);
  out.Write("vllm:request_prefill_time_seconds",
            "Histogram of time spent in PREFILL phase for request.", h.prefill);
  out.Write("vllm:request_decode_time_seconds",
            "Histogram of time spent in DECODE phase for request.", h.decode);
  out.Write("vllm:request_prompt_tokens", "Number of prefill tokens processed.", h.prompt_tokens);
  out.Write("vllm:request_generation_tokens", "Number of generation tokens processed.",
            h.generation_tokens);
  out.Write("vllm:request_params_max_tokens", "Histogram of the max_tokens request parameter.",
            h.max_tokens);
  out.Write("vllm:iteration_tokens_total", "Histogram of number of tokens per engine_step.",
            h.iteration_tokens);
}

}  // namespace talon
