#include "talon/bench/model_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>

#include "talon/bench/round_runner.h"

namespace talon {
namespace {

constexpr int64_t kMaxDrafts = 8;

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// How many drafts a coin accepts: as many as have a larger chance than one uniform draw.
int32_t DrawAccepted(std::mt19937_64& random, const std::vector<double>& acceptance,
                     int64_t drafts) {
  const double draw = std::uniform_real_distribution<double>(0.0, 1.0)(random);
  int32_t accepted = 0;
  while (accepted < drafts && draw < acceptance[static_cast<size_t>(accepted)]) ++accepted;
  return accepted;
}

Buffer Ones(Backend& backend, int64_t count) {
  return UploadInts(backend, std::vector<int32_t>(static_cast<size_t>(count), 1));
}

void FillCache(Backend& backend, const KvLayer& layer) {
  const int64_t rows = layer.num_pages * kKvPageTokens;
  const int64_t cols = layer.num_kv_heads * layer.head_dim;
  for (const Buffer& buffer : {layer.keys, layer.values}) {
    backend.FillRandom({buffer.get(), DType::kBF16, rows, cols, cols}, 0.3f, 9);
  }
}

}  // namespace

ModelBench::ModelBench(const BenchReport& report, const BenchShape& shape,
                       const ModelBenchOptions& options)
    : report_(report), backend_(report.backend()), shape_(shape), options_(options) {
  const double load_seconds = Seconds([&] {
    models_ = MakeBenchModels(backend_, shape_);
    backend_.Synchronize();
  });
  const int64_t sequences = *std::max_element(options_.batches.begin(), options_.batches.end());
  pages_ = (options_.context + 2 * kMaxDrafts) / kKvPageTokens + 1;
  verifier_cache_ =
      models_.verifier->MakeKvLayers(sequences * pages_, sequences * pages_, DType::kBF16);
  drafter_cache_ = models_.drafters[0].model->MakeKvLayer(sequences * pages_, DType::kBF16);
  for (const KvLayer& layer : verifier_cache_) FillCache(backend_, layer);
  FillCache(backend_, drafter_cache_);
  fmt::print("verifier: {}, {:.2f} GB a step; weights made in {:.1f} s\n",
             models_.verifier->format_summary(), static_cast<double>(models_.verifier_bytes) * 1e-9,
             load_seconds);
}

void ModelBench::DecodeSteps() {
  report_.Section(
      fmt::format("Decode and verification steps, {} tokens before (graph)", options_.context));
  double one_row = 0.0;
  for (const int64_t sequences : options_.batches) {
    for (const int64_t drafts : {0, 1, 3, 5, 8}) {
      const int64_t rows = sequences * (1 + drafts);
      DeviceBatch batch(backend_, rows, sequences, pages_);
      const auto count = static_cast<size_t>(sequences);
      batch.Set({std::vector<int32_t>(count, static_cast<int32_t>(1 + drafts)),
                 std::vector<int32_t>(count, static_cast<int32_t>(options_.context))});
      batch.Upload();
      const Buffer tokens = Ones(backend_, rows);
      const Buffer chosen = Ones(backend_, rows);
      const ForwardBatch forward = batch.Batch(rows, static_cast<const int32_t*>(tokens.get()));
      Arena arena(backend_);
      const double seconds = report_.TimeOps([&] {
        arena.Reset();
        const Tensor hidden = models_.verifier->Forward(forward, verifier_cache_, {}, arena);
        const Tensor logits = arena.Take(rows, shape_.verifier.vocab_size, DType::kF32);
        models_.verifier->Logits(hidden, logits, arena);
        backend_.Argmax(logits, static_cast<int32_t*>(chosen.get()));
      });
      if (rows == 1) one_row = seconds;
      const int64_t bytes = RoundBytes(nullptr, sequences, drafts);
      const double floor = static_cast<double>(bytes) / report_.read_bytes_per_second();
      report_.Line(
          fmt::format("{} sequences x {} rows", sequences, 1 + drafts), seconds, bytes,
          fmt::format("{:.3f} x floor, {:.3f} x one row", seconds / floor, seconds / one_row));
    }
  }
}

void ModelBench::DraftSteps() {
  report_.Section("Draft step: forward of one row, head, argmax (graph)");
  double bf16_seconds = 0.0;
  for (const BenchDrafter& drafter : models_.drafters) {
    DeviceBatch batch(backend_, 1, 1, pages_);
    batch.Set({{1}, {static_cast<int32_t>(options_.context)}});
    batch.Upload();
    const Buffer tokens = Ones(backend_, 2);
    auto* ids = static_cast<int32_t*>(tokens.get());
    const ForwardBatch forward = batch.Batch(1, ids);
    Arena inputs(backend_);
    const Tensor state = inputs.Take(1, drafter.model->hidden_size(), DType::kBF16);
    backend_.FillRandom(state, 1.0f, 5);
    Arena arena(backend_);
    constexpr int kSteps = 8;  // in one recording: a wait costs as much as a part of a step
    const double seconds = report_.TimeOps([&] {
      for (int i = 0; i < kSteps; ++i) {
        arena.Reset();
        const Tensor next = drafter.model->Forward(forward, state, drafter_cache_, arena);
        const Tensor logits = arena.Take(1, drafter.model->draft_vocab_size(), DType::kF32);
        drafter.model->Logits(next, logits, arena);
        backend_.Argmax(logits, ids + 1);
        backend_.MapDraftIds(drafter.model->draft_id_offsets(), 1, ids + 1);
      }
    }) / kSteps;
    if (bf16_seconds == 0.0) bf16_seconds = seconds;
    const int64_t kv =
        options_.context *
        KvTokenBytes({shape_.drafter.num_kv_heads, shape_.drafter.head_dim, false, {}});
    report_.Line(drafter.name, seconds, drafter.step_bytes + kv,
                 fmt::format("{:.2f} x as fast as BF16", bf16_seconds / seconds));
  }
}

int64_t ModelBench::RoundBytes(const BenchDrafter* drafter, int64_t sequences,
                               int64_t drafts) const {
  int64_t bytes =
      models_.verifier_bytes + sequences * KvReadBytes(shape_.verifier, options_.context);
  if (drafter == nullptr || drafts == 0) return bytes;
  const int64_t kv_token =
      KvTokenBytes({shape_.drafter.num_kv_heads, shape_.drafter.head_dim, false, {}});
  bytes += drafter->first_pass_bytes + (drafts - 1) * drafter->step_bytes;
  return bytes + drafts * sequences * options_.context * kv_token;
}

ModelBench::RoundResult ModelBench::TimeRounds(const BenchDrafter* drafter, int64_t sequences,
                                               int64_t drafts,
                                               const std::vector<double>& acceptance) {
  const Eagle3Drafter* model = drafter == nullptr ? nullptr : drafter->model.get();
  RoundRunner runner(*models_.verifier, model, verifier_cache_, &drafter_cache_, sequences, drafts,
                     options_.context, pages_);
  std::mt19937_64 random(17);
  const auto draw = [&] {
    std::vector<int32_t> accepted;
    for (int64_t s = 0; s < sequences; ++s) {
      accepted.push_back(DrawAccepted(random, acceptance, drafts));
    }
    return accepted;
  };
  std::vector<std::vector<int32_t>> plan;
  for (int64_t i = 0; i < options_.rounds; ++i) plan.push_back(draw());
  for (const auto& accepted : plan) runner.Run(accepted);  // records what is not yet recorded
  std::vector<double> times;
  int64_t tokens = 0;
  for (const auto& accepted : plan) {
    times.push_back(Seconds([&] { runner.Run(accepted); }));
    for (const int32_t count : accepted) tokens += count + 1;
  }
  return {Median(std::move(times)),
          static_cast<double>(tokens) / static_cast<double>(options_.rounds * sequences)};
}

void ModelBench::RoundTable(const BenchDrafter& drafter, const std::vector<double>& acceptance) {
  report_.Section(fmt::format("Speculative rounds, drafter {}, acceptance {:.3f}", drafter.name,
                              fmt::join(acceptance, ", ")));
  const auto max_drafts = std::min<int64_t>(kMaxDrafts, static_cast<int64_t>(acceptance.size()));
  for (const int64_t sequences : options_.batches) {
    double plain = 0.0;
    double best = 0.0;
    int64_t best_drafts = 0;
    for (int64_t drafts = 0; drafts <= max_drafts; ++drafts) {
      const RoundResult result = TimeRounds(&drafter, sequences, drafts, acceptance);
      const double rate = result.tokens * static_cast<double>(sequences) / result.seconds;
      if (drafts == 0) plain = rate;
      if (rate > best) {
        best = rate;
        best_drafts = drafts;
      }
      report_.Line(fmt::format("batch {}, k = {}", sequences, drafts), result.seconds,
                   RoundBytes(&drafter, sequences, drafts),
                   fmt::format("{:.2f} tokens a round, {:.1f} tokens/s, {:.2f} x", result.tokens,
                               rate, rate / plain));
    }
    fmt::print("batch {}: best k = {}, {:.2f} x no drafts\n", sequences, best_drafts, best / plain);
  }
}

void ModelBench::Rounds() {
  for (const auto& acceptance : options_.acceptance) {
    RoundTable(models_.drafters.back(), acceptance);
  }
}

void ModelBench::Prefill() {
  report_.Section("Prefill of one sequence (bytes: the weights once)");
  for (const int64_t wanted : options_.prefill_tokens) {
    const int64_t rows = std::min(wanted, options_.context);
    DeviceBatch batch(backend_, rows, 1, pages_);
    batch.Set({{static_cast<int32_t>(rows)}, {0}});
    batch.Upload();
    const Buffer tokens = Ones(backend_, rows);
    const ForwardBatch forward = batch.Batch(rows, static_cast<const int32_t*>(tokens.get()));
    Arena arena(backend_);
    const double seconds = report_.TimeOps(
        [&] {
          arena.Reset();
          models_.verifier->Forward(forward, verifier_cache_, {}, arena);
        },
        3);
    report_.Line(fmt::format("{} tokens", rows), seconds, models_.verifier_bytes,
                 fmt::format("{:.0f} tokens/s", static_cast<double>(rows) / seconds));
  }
}

}  // namespace talon
