#include "talon/bench/random_source.h"

#include <cmath>

namespace talon {

int64_t LinearBytes(LinearFormat format, int64_t out_features, int64_t in_features) {
  const int64_t count = out_features * in_features;
  switch (format) {
    case LinearFormat::kBF16:
      return 2 * count;
    case LinearFormat::kF8:
      return count;
    case LinearFormat::kNvfp4:
      return count / 2 + count / 16;
  }
  return 0;
}

LinearWeight RandomSource::Linear(const std::string& module, int64_t out_features,
                                  int64_t in_features) {
  const LinearFormat format = format_of_(module);
  linear_bytes_ += LinearBytes(format, out_features, in_features);
  return Counted(backend_.MakeRandomLinear(format, out_features, in_features, ++seed_));
}

// All ones: activations keep their size from layer to layer.
Buffer RandomSource::Gain(const std::string& name, int64_t size, float offset) {
  (void)name;
  (void)offset;
  const std::vector<float> ones(static_cast<size_t>(size), 1.0f);
  const auto bytes = size * static_cast<int64_t>(sizeof(float));
  Buffer buffer = backend_.Allocate(bytes);
  backend_.Upload(ones.data(), bytes, buffer.get());
  return buffer;
}

// Not 1, which backends skip.
float RandomSource::Scalar(const std::string& name) {
  (void)name;
  return 0.9375f;
}

Tensor RandomSource::Table(const std::string& module, int64_t rows, int64_t cols) {
  (void)module;
  buffers_.push_back(backend_.Allocate(rows * cols * SizeOf(DType::kBF16)));
  const Tensor table = {buffers_.back().get(), DType::kBF16, rows, cols, cols};
  backend_.FillRandom(table, 1.0f / std::sqrt(static_cast<float>(cols)), ++seed_);
  return table;
}

// Draft ids spread evenly over the vocabulary.
std::vector<int32_t> RandomSource::DraftOffsets(const Eagle3Config& config) {
  std::vector<int32_t> offsets;
  for (int64_t k = 0; k < config.draft_vocab_size; ++k) {
    offsets.push_back(static_cast<int32_t>(k * config.vocab_size / config.draft_vocab_size - k));
  }
  return offsets;
}

}  // namespace talon
