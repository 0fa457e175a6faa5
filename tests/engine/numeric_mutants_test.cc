// Kernels that compute several rows in another way than one, in the last bit only: texts of 256
// tokens show it, so the comparisons of this folder would not miss such a kernel.
#include <gtest/gtest.h>

#include <cstring>

#include "talon/backend/forwarding_backend.h"
#include "talon/engine/lossless_settings.h"
#include "tests/engine/micro_pair.h"

namespace talon::test {
namespace {

// Memory for one op's intermediate values.
class Scratch {
 public:
  Scratch(Backend& backend, int64_t rows, int64_t cols, DType dtype)
      : buffer_(backend.Allocate(rows * cols * SizeOf(dtype))),
        tensor_{buffer_.get(), dtype, rows, cols, cols} {}
  const Tensor& tensor() const { return tensor_; }

 private:
  Buffer buffer_;
  Tensor tensor_;
};

// Products of even k are added apart from those of odd k.
class OtherOrder final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void Linear(const Tensor& x, std::span<const LinearOutput> outputs) override {
    if (x.rows == 1) return inner().Linear(x, outputs);
    for (const LinearOutput& output : outputs) {
      const Scratch even(inner(), x.rows, output.out.cols, DType::kF32);
      const Scratch odd(inner(), x.rows, output.out.cols, DType::kF32);
      Half(x, 0, *output.weight, even.tensor());
      Half(x, 1, *output.weight, odd.tensor());
      inner().Add(even.tensor(), odd.tensor(), even.tensor());
      inner().Copy(even.tensor(), output.out);
    }
  }

 private:
  void Half(const Tensor& x, int64_t parity, const LinearWeight& weight, const Tensor& out) {
    const Scratch half(inner(), x.rows, x.cols, x.dtype);
    inner().Copy(x, half.tensor());
    const int64_t size = SizeOf(x.dtype);
    for (int64_t r = 0; r < x.rows; ++r) {
      auto* row = static_cast<std::byte*>(half.tensor().Rows(r, 1).data);
      for (int64_t c = 1 - parity; c < x.cols; c += 2) {
        std::memset(row + c * size, 0, static_cast<size_t>(size));
      }
    }
    const LinearOutput output{&weight, out};
    inner().Linear(half.tensor(), {&output, 1});
  }
};

// The activation is not rounded before it meets `up`.
class OtherRounding final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                       const Tensor& out) override {
    if (gate.rows == 1) return inner().GatedActivation(activation, gate, up, out);
    const Scratch wide_gate(inner(), gate.rows, gate.cols, DType::kF32);
    const Scratch wide_up(inner(), gate.rows, gate.cols, DType::kF32);
    inner().Copy(gate, wide_gate.tensor());
    inner().Copy(up, wide_up.tensor());
    inner().GatedActivation(activation, wide_gate.tensor(), wide_up.tensor(), wide_gate.tensor());
    inner().Copy(wide_gate.tensor(), out);
  }
};

size_t Divergences(std::unique_ptr<Backend> backend) {
  const MicroPair pair(std::move(backend));
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 8; ++i) {
    requests.push_back(MicroRequest(MicroIds(70 + i, 30), 256, i % 2 == 0 ? 0.0 : 0.8, i));
  }
  const LosslessCheck check(requests, Answer(pair, LosslessReference({}), requests));
  EngineOptions options;
  options.num_speculative_tokens = 3;
  Engine engine(*pair.verifier.model, pair.drafter.model.get(), options);
  return check.Run(engine, {}).divergences.size();
}

std::unique_ptr<Backend> Cpu() { return MakeBackend({"cpu", 1}); }

TEST(NumericMutants, AnotherOrderOfAdditionsShows) {
  EXPECT_GT(Divergences(std::make_unique<OtherOrder>(Cpu())), 0u);
}

TEST(NumericMutants, AnotherRoundingPointShows) {
  EXPECT_GT(Divergences(std::make_unique<OtherRounding>(Cpu())), 0u);
}

TEST(NumericMutants, TheRightKernelsDoNot) {
  EXPECT_EQ(Divergences(std::make_unique<ForwardingBackend>(Cpu())), 0u);
}

}  // namespace
}  // namespace talon::test
