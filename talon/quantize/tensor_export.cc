#include "talon/quantize/tensor_export.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/numeric/nvfp4.h"
#include "talon/quantize/weight_quantizer.h"

namespace talon {
namespace {

constexpr size_t kBlock = static_cast<size_t>(kNvfp4BlockSize);
// Weights quantized between two writes.
constexpr size_t kChunkWeights = size_t{1} << 24;
constexpr size_t kChunkBytes = size_t{1} << 25;

class TensorProducer {
 public:
  TensorProducer(const QuantizationPlan& plan, ThreadPool& pool)
      : pool_(pool), progress_("writing", PlannedBytes(plan) / 1'000'000, "MB") {
    for (const PlannedTensor& tensor : plan.tensors) {
      for (TensorSpec& spec : OutputSpecs(tensor)) {
        planned_[spec.name] = &tensor;
        specs_.push_back(std::move(spec));
      }
    }
  }

  const std::vector<TensorSpec>& specs() const { return specs_; }

  void Produce(const TensorSpec& spec, const AppendBytes& append) {
    const PlannedTensor& tensor = *planned_.at(spec.name);
    if (tensor.action == TensorAction::kKeep) {
      AppendCopy(*tensor.source, append);
    } else if (spec.name == tensor.module + ".weight_scale_2") {
      AppendScalar(tensor.weight_scale_2, append);
    } else if (spec.name == tensor.module + ".input_scale") {
      AppendScalar(tensor.input_scale, append);
    } else if (spec.name == tensor.module + ".weight_scale") {
      AppendBlockScales(tensor, append);
    } else {
      AppendPacked(tensor, append);
    }
    written_bytes_ += ByteCount(spec);
    progress_.Advance(written_bytes_ / 1'000'000 -
                      std::exchange(shown_mb_, written_bytes_ / 1'000'000));
  }

 private:
  static void AppendScalar(float value, const AppendBytes& append) {
    append(std::as_bytes(std::span(&value, 1)));
  }

  static void AppendCopy(const TensorView& source, const AppendBytes& append) {
    for (size_t begin = 0; begin < source.bytes.size(); begin += kChunkBytes) {
      append(source.bytes.subspan(begin, std::min(kChunkBytes, source.bytes.size() - begin)));
      ReleaseTensorBytes(source, begin, kChunkBytes);
    }
  }

  // Block scales come before the codes in the file, and are kept until the codes are made.
  void AppendBlockScales(const PlannedTensor& tensor, const AppendBytes& append) {
    const std::span<const uint16_t> weights = Bf16Elements(*tensor.source);
    std::vector<uint8_t>& scales = scales_[tensor.module];
    scales.resize(weights.size() / kBlock);
    for (size_t begin = 0; begin < weights.size(); begin += kChunkWeights) {
      const size_t count = std::min(kChunkWeights, weights.size() - begin);
      ComputeBlockScales(pool_, weights.subspan(begin, count), tensor.weight_scale_2,
                         std::span(scales).subspan(begin / kBlock, count / kBlock));
      ReleaseTensorBytes(*tensor.source, 2 * begin, 2 * count);
    }
    append(std::as_bytes(std::span(scales)));
  }

  void AppendPacked(const PlannedTensor& tensor, const AppendBytes& append) {
    const std::span<const uint16_t> weights = Bf16Elements(*tensor.source);
    const auto scales = scales_.extract(tensor.module);
    CheckInternal(!scales.empty(), "codes were asked for before their block scales");
    std::vector<uint8_t> packed(std::min(kChunkWeights, weights.size()) / 2);
    for (size_t begin = 0; begin < weights.size(); begin += kChunkWeights) {
      const size_t count = std::min(kChunkWeights, weights.size() - begin);
      const std::span<uint8_t> chunk = std::span(packed).first(count / 2);
      PackWeights(pool_, weights.subspan(begin, count), tensor.weight_scale_2,
                  std::span(scales.mapped()).subspan(begin / kBlock, count / kBlock), chunk);
      append(std::as_bytes(chunk));
      ReleaseTensorBytes(*tensor.source, 2 * begin, 2 * count);
    }
  }

  ThreadPool& pool_;
  Progress progress_;
  std::vector<TensorSpec> specs_;
  std::map<std::string, const PlannedTensor*> planned_;
  std::map<std::string, std::vector<uint8_t>> scales_;
  int64_t written_bytes_ = 0;
  int64_t shown_mb_ = 0;
};

}  // namespace

int64_t PlannedBytes(const QuantizationPlan& plan) {
  int64_t total = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    for (const TensorSpec& spec : OutputSpecs(tensor)) total += ByteCount(spec);
  }
  return total;
}

void WritePlannedTensors(const QuantizationPlan& plan, const std::filesystem::path& path,
                         ThreadPool& pool) {
  TensorProducer producer(plan, pool);
  WriteSafetensors(path, producer.specs(), {{"format", "pt"}},
                   [&producer](const TensorSpec& spec, const AppendBytes& append) {
                     producer.Produce(spec, append);
                   });
}

}  // namespace talon
