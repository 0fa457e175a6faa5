#include "talon/model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "talon/base/error.h"
#include "talon/checkpoint/drafter_tensors.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/nvfp4.h"

namespace talon {
namespace {

std::string_view KindName(const LinearWeight& weight) {
  switch (weight.format) {
    case LinearFormat::kBF16:
      return "BF16";
    case LinearFormat::kF8:
      return "FP8";
    case LinearFormat::kNvfp4:
      return weight.numerics == LinearNumerics::kW4A4 ? "NVFP4 W4A4" : "NVFP4 W4A16";
  }
  return "?";
}

// A BF16 or F32 vector of exactly `size` elements, widened to F32.
std::vector<float> ReadVector(const TensorView& tensor, int64_t size) {
  if (tensor.num_elements() != size) {
    Throw(ErrorCode::kDataLoss, "{}: found shape {}, expected {} elements", tensor.Where(),
          tensor.ShapeText(), size);
  }
  std::vector<float> values(static_cast<size_t>(size));
  if (tensor.dtype == DType::kF32) {
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  } else if (tensor.dtype == DType::kBF16) {
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t bits = 0;
      std::memcpy(&bits, tensor.bytes.data() + 2 * i, 2);
      values[i] = Bf16ToFloat(bits);
    }
  } else {
    Throw(ErrorCode::kUnsupported, "{}: found {}, expected BF16 or F32", tensor.Where(),
          Name(tensor.dtype));
  }
  return values;
}

// The rows of an NVFP4 table, rounded to BF16.
std::vector<uint16_t> DecodeTable(const HostLinear& table) {
  if (table.format != LinearFormat::kNvfp4) {
    Throw(ErrorCode::kUnsupported, "{}: an embedding table must be BF16 or NVFP4", table.name);
  }
  const int64_t cols = table.in_features;
  std::vector<uint16_t> decoded(static_cast<size_t>(table.out_features * cols));
  std::vector<float> row(static_cast<size_t>(cols));
  for (int64_t r = 0; r < table.out_features; ++r) {
    DequantizeNvfp4(static_cast<const uint8_t*>(table.data) + r * cols / 2,
                    table.block_scales + r * cols / kNvfp4BlockSize, table.weight_scale, row);
    for (int64_t c = 0; c < cols; ++c) {
      decoded[static_cast<size_t>(r * cols + c)] = FloatToBf16(row[static_cast<size_t>(c)]);
    }
  }
  return decoded;
}

}  // namespace

void SetKvScales(const KvScales& scales, KvLayer& layer) {
  if (layer.dtype != DType::kF8E4M3) return;
  layer.k_scale = scales.k;
  layer.v_scale = scales.v;
}

LinearWeight WeightSource::Counted(LinearWeight weight) {
  ++format_counts_[std::string(KindName(weight))];
  return weight;
}

KvScales WeightSource::AttentionKvScales(const std::string& attention) {
  KvScales scales;
  const auto read = [&](const char* linear, const char* scale, float& value) {
    for (const std::string& tensor : {fmt::format("{}.{}.{}", attention, linear, scale),
                                      fmt::format("{}.{}", attention, scale)}) {
      if (!Has(tensor)) continue;
      value = Scalar(tensor);
      scales.in_checkpoint = true;
      if (std::isfinite(value) && value > 0.0f) return;
      Throw(ErrorCode::kDataLoss, "{}: tensor {} is {}, expected a positive number", name(), tensor,
            value);
    }
  };
  read("k_proj", "k_scale", scales.k);
  read("v_proj", "v_scale", scales.v);
  return scales;
}

LinearWeight WeightLoader::Linear(const std::string& module, int64_t out_features,
                                  int64_t in_features) {
  const HostLinear host = BindLinear(store_, module, out_features, in_features);
  const bool quantize_inputs = options_.numerics == LinearNumerics::kW4A4 &&
                               host.format == LinearFormat::kNvfp4 && host.input_scale > 0;
  return Counted(backend_.MakeLinear(
      host, quantize_inputs ? LinearNumerics::kW4A4 : LinearNumerics::kWeightOnly));
}

std::vector<int32_t> WeightLoader::DraftOffsets(const Eagle3Config& config) {
  return LoadDraftOffsets(store_, config);
}

Buffer WeightLoader::Gain(const std::string& name, int64_t size, float offset) {
  std::vector<float> values = ReadVector(store_.Get(name), size);
  if (offset != 0.0f) {
    for (float& value : values) value += offset;
  }
  const auto bytes = size * static_cast<int64_t>(sizeof(float));
  Buffer buffer = backend_.Allocate(bytes);
  backend_.Upload(values.data(), bytes, buffer.get());
  return buffer;
}

float WeightLoader::Scalar(const std::string& name) { return ReadVector(store_.Get(name), 1)[0]; }

Tensor WeightLoader::Table(const std::string& module, int64_t rows, int64_t cols) {
  const HostLinear host = BindLinear(store_, module, rows, cols);
  const int64_t bytes = rows * cols * SizeOf(DType::kBF16);
  if (host.format == LinearFormat::kBF16) {
    buffers_.push_back(backend_.Import(host.data, bytes, host.owner));
  } else {
    const std::vector<uint16_t> decoded = DecodeTable(host);
    buffers_.push_back(backend_.Allocate(bytes));
    backend_.Upload(decoded.data(), bytes, buffers_.back().get());
  }
  return {buffers_.back().get(), DType::kBF16, rows, cols, cols};
}

std::string FormatSummary(const std::map<std::string, int>& counts) {
  std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [name, count] : sorted) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{} ({} linear{})", name, count, count == 1 ? "" : "s");
  }
  return text;
}

}  // namespace talon
