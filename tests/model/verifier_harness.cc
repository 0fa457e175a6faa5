#include "tests/model/verifier_harness.h"

#include "tests/support/test_data.h"

namespace talon::test {

VerifierHarness::VerifierHarness(const std::filesystem::path& directory, DType dtype,
                                 int num_threads, LinearNumerics numerics)
    : backend_(MakeBackend({TestDevice(), num_threads})),
      verifier_(LoadVerifier(*backend_, directory, {dtype, numerics})) {}

KvPool VerifierHarness::MakePoisonedPool(const TokenLists& sequences) {
  int64_t pages = 0;
  for (const auto& tokens : sequences) {
    pages += KvPool::PagesFor(static_cast<int64_t>(tokens.size()));
  }
  const DType dtype = model().options().dtype;
  return KvPool(model(), nullptr, {pages, pages, dtype, dtype, /*poison=*/true});
}

std::vector<float> VerifierHarness::Read(const Tensor& tensor, Arena& arena) {
  const Tensor wide = arena.Take(tensor.rows, tensor.cols, DType::kF32);
  backend_->Copy(tensor, wide);
  std::vector<float> host(static_cast<size_t>(tensor.rows * tensor.cols));
  backend_->Download(wide.data, static_cast<int64_t>(host.size() * sizeof(float)), host.data());
  return host;
}

FloatLists VerifierHarness::Split(const std::vector<float>& logits,
                                  const std::vector<int64_t>& rows) const {
  FloatLists parts;
  auto at = logits.begin();
  for (const int64_t count : rows) {
    const auto end = at + count * model().config().vocab_size;
    parts.emplace_back(at, end);
    at = end;
  }
  return parts;
}

FloatLists VerifierHarness::Run(const TokenLists& sequences, const Plan& plan) {
  KvPool pool = MakePoisonedPool(sequences);
  std::vector<SequencePages> pages(sequences.size());
  std::vector<int64_t> done(sequences.size(), 0);
  FloatLists logits(sequences.size());
  Arena arena(*backend_);
  for (const std::vector<Chunk>& step : plan) {
    arena.Reset();
    for (const Chunk& chunk : step) {
      const int64_t end = done[chunk.sequence] + chunk.num_tokens;
      pool.Extend(pages[chunk.sequence], end, end);
    }
    std::vector<SequencePages> used = pages;
    if (corrupt_pages) corrupt_pages(used);
    BatchBuilder builder;
    std::vector<int64_t> rows;
    for (const Chunk& chunk : step) {
      const std::span<const int32_t> tokens(sequences[chunk.sequence]);
      builder.Add(tokens.subspan(static_cast<size_t>(done[chunk.sequence]),
                                 static_cast<size_t>(chunk.num_tokens)),
                  done[chunk.sequence], used[chunk.sequence]);
      rows.push_back(chunk.num_tokens);
    }
    const ForwardBatch batch = builder.Upload(*backend_, arena);
    const Tensor hidden = model().Forward(batch, pool.verifier_layers(), {}, arena);
    const Tensor out = arena.Take(hidden.rows, model().config().vocab_size, DType::kF32);
    model().Logits(hidden, out, arena);
    const FloatLists parts = Split(Read(out, arena), rows);
    for (size_t i = 0; i < step.size(); ++i) {
      std::vector<float>& all = logits[step[i].sequence];
      all.insert(all.end(), parts[i].begin(), parts[i].end());
      done[step[i].sequence] += step[i].num_tokens;
    }
  }
  return logits;
}

FloatLists VerifierHarness::RunWhole(const TokenLists& sequences, FloatLists* hidden_states) {
  KvPool pool = MakePoisonedPool(sequences);
  std::vector<SequencePages> pages(sequences.size());
  std::vector<int64_t> rows;
  BatchBuilder builder;
  for (size_t i = 0; i < sequences.size(); ++i) {
    rows.push_back(static_cast<int64_t>(sequences[i].size()));
    pool.Extend(pages[i], rows.back(), rows.back());
    builder.Add(sequences[i], 0, pages[i]);
  }
  Arena arena(*backend_);
  const ForwardBatch batch = builder.Upload(*backend_, arena);
  VerifierCapture capture;
  capture.on_hidden = [&](int64_t, const Tensor& hidden) {
    hidden_states->push_back(Read(hidden, arena));
  };
  const Tensor hidden = model().Forward(batch, pool.verifier_layers(), capture, arena);
  const Tensor normed = arena.Take(hidden.rows, hidden.cols, hidden.dtype);
  model().FinalNorm(hidden, normed);
  hidden_states->push_back(Read(normed, arena));
  const Tensor logits = arena.Take(hidden.rows, model().config().vocab_size, DType::kF32);
  model().Logits(hidden, logits, arena);
  return Split(Read(logits, arena), rows);
}

}  // namespace talon::test
