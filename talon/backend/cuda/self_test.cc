#include "talon/backend/cuda/self_test.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

namespace talon::cuda {
namespace {

constexpr int64_t kOuts = 8192;
constexpr int64_t kIns = 5376;
constexpr int64_t kManyRows = 64;

struct Value {
  Buffer buffer;
  Tensor tensor;
};

class SelfTest {
 public:
  SelfTest(CudaBackend& backend, double max_error)
      : backend_(backend),
        max_error_(max_error),
        read_bytes_per_second_(backend.MeasureReadBandwidth()) {}

  std::vector<std::string> Run() {
    CheckLinear(LinearFormat::kNvfp4, "NVFP4");
    CheckLinear(LinearFormat::kBF16, "BF16");
    CheckLinear(LinearFormat::kF8, "FP8");
    CheckAttention();
    return std::move(lines_);
  }

 private:
  Value Make(DType dtype, int64_t rows, int64_t cols) {
    Value value;
    value.buffer = backend_.Allocate(rows * cols * SizeOf(dtype));
    value.tensor = {value.buffer.get(), dtype, rows, cols, cols};
    return value;
  }
  std::vector<float> Read(const Tensor& tensor) {
    std::vector<float> values(static_cast<size_t>(tensor.rows * tensor.cols));
    backend_.Download(tensor.data, static_cast<int64_t>(values.size() * sizeof(float)),
                      values.data());
    return values;
  }
  // || a - b || / || b ||, infinite when a number is none.
  static double Error(const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
      difference += std::pow(static_cast<double>(a[i]) - b[i], 2.0);
      norm += std::pow(static_cast<double>(b[i]), 2.0);
    }
    const double error = std::sqrt(difference / norm);
    return std::isfinite(error) ? error : INFINITY;
  }

  bool Passes(const std::string& kernel, double error, const std::string& speed = "") {
    const bool passes = error < max_error_;
    lines_.push_back(passes ? fmt::format("{}: ok (error {:.0e}){}", kernel, error, speed)
                            : fmt::format("{}: WRONG on this device (error {:.0e}); its plain form "
                                          "is used instead, which is slow",
                                          kernel, error));
    return passes;
  }

  std::vector<float> Linear(const LinearWeight& weight, int64_t rows) {
    const Value out = Make(DType::kF32, rows, kOuts);
    const LinearOutput outputs[] = {{&weight, out.tensor}};
    backend_.Linear(input_.tensor.Rows(0, rows), outputs);
    return Read(out.tensor);
  }

  void CheckLinear(LinearFormat format, const std::string& name) {
    input_ = Make(DType::kBF16, kManyRows, kIns);
    backend_.FillRandom(input_.tensor, 1.0f, 7);
    const LinearWeight weight = backend_.MakeRandomLinear(format, kOuts, kIns, 11);
    FormatTrust& trust = backend_.trust().Of(format);
    trust = {false, false};
    const std::vector<float> plain = Linear(weight, kManyRows);
    trust = {true, false};
    constexpr int64_t kFewRowCount = 5;
    const std::vector<float> few = Linear(weight, kFewRowCount);
    const std::vector<float> expected(plain.begin(), plain.begin() + kFewRowCount * kOuts);
    const bool few_passes = Passes(name + " few-row linear", Error(few, expected), Speed(format));
    bool many_passes = false;
    if (backend_.has_warpgroup_products()) {
      trust = {true, true};
      many_passes = Passes(name + " many-row linear", Error(Linear(weight, kManyRows), plain));
    }
    trust = {few_passes, many_passes};
  }

  // Of one row against a matrix that no cache holds.
  std::string Speed(LinearFormat format) {
    constexpr int64_t kSpeedOuts = 43008;
    constexpr int kRuns = 5;
    const LinearWeight weight = backend_.MakeRandomLinear(format, kSpeedOuts, kIns, 13);
    const Value out = Make(DType::kBF16, 1, kSpeedOuts);
    const LinearOutput outputs[] = {{&weight, out.tensor}};
    const auto work = [&] {
      for (int i = 0; i < kRuns; ++i) backend_.Linear(input_.tensor.Rows(0, 1), outputs);
      backend_.Synchronize();
    };
    work();
    const auto begin = std::chrono::steady_clock::now();
    work();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / kRuns;
    const double rate =
        static_cast<double>(LayoutOf(format, kSpeedOuts, kIns).SizeBytes()) / seconds;
    return fmt::format(", {:.0f} GB/s, {:.0f} % of a plain read", rate * 1e-9,
                       100.0 * rate / read_bytes_per_second_);
  }

  void CheckAttention() {
    constexpr int64_t kTokens = 200, kHeads = 8, kDim = 256, kRows = 4;
    constexpr int64_t kPages = (kTokens + kKvPageTokens - 1) / kKvPageTokens;
    const KvLayer cache = backend_.MakeKvLayer(kPages, 2, kDim, DType::kBF16);
    for (const Buffer& buffer : {cache.keys, cache.values}) {
      const int64_t count = kPages * kKvPageTokens * 2;
      backend_.FillRandom({buffer.get(), DType::kBF16, count, kDim, kDim}, 0.5f, 17);
    }
    const Value q = Make(DType::kBF16, kRows, kHeads * kDim);
    const Value out = Make(DType::kF32, kRows, kHeads * kDim);
    backend_.FillRandom(q.tensor, 0.5f, 19);
    std::vector<int32_t> ints(kPages + kRows + 2);  // pages, positions, row_begin
    std::iota(ints.begin(), ints.begin() + kPages, 0);
    std::iota(ints.begin() + kPages, ints.end() - 2, static_cast<int32_t>(kTokens - kRows));
    ints.back() = kRows;
    ints[ints.size() - 2] = 0;
    const auto bytes = static_cast<int64_t>(ints.size() * sizeof(int32_t));
    const Buffer memory = backend_.Allocate(bytes);
    backend_.Upload(ints.data(), bytes, memory.get());
    const auto* pages = static_cast<const int32_t*>(memory.get());
    AttentionParams params;
    params.q = q.tensor;
    params.out = out.tensor;
    params.num_heads = kHeads;
    params.scale = 0.1f;
    params.rows = {kRows, 1, pages + kPages + kRows, pages + kPages};
    params.table = {pages, kPages};
    params.cache = &cache;
    backend_.trust().tensor_attention = false;
    backend_.Attention(params);
    const std::vector<float> plain = Read(out.tensor);
    backend_.trust().tensor_attention = true;
    backend_.Attention(params);
    backend_.trust().tensor_attention = Passes("attention", Error(Read(out.tensor), plain));
  }

  CudaBackend& backend_;
  double max_error_;
  double read_bytes_per_second_;
  Value input_;  // [kManyRows, kIns]
  std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> RunSelfTest(CudaBackend& backend, double max_error) {
  return SelfTest(backend, max_error).Run();
}

}  // namespace talon::cuda
