// Attention over paged sequences: against plain softmax in float64, and a row's bits whatever
// shares its call.
#include "talon/backend/cpu/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/reference.h"
#include "tests/backend/paged_case.h"
#include "tests/backend/targets.h"

namespace talon::test {
namespace {

// Three sequences: a long prefill, one decode row deep in its history, a few verification rows that
// cross a page.
const std::vector<NewRows> kSequences = {{0, 75}, {131, 132}, {44, 50}};

std::vector<PagedShape> Shapes() {
  std::vector<PagedShape> shapes;
  for (const int64_t window : {0, 1, 20, 64}) shapes.push_back({4, 2, 64, window});
  for (const int64_t head_dim : {16, 32, 128, 256, 512}) shapes.push_back({2, 1, head_dim, 30});
  shapes.push_back({8, 1, 64, 0});
  shapes.push_back({3, 3, 64, 17});
  shapes.push_back({4, 2, 64, 33, DType::kF8E4M3, DType::kBF16});
  shapes.push_back({4, 2, 64, 33, DType::kF32, DType::kF32});
  shapes.push_back({4, 2, 64, 0, DType::kBF16, DType::kF32});
  return shapes;
}

std::string Describe(const PagedShape& shape) {
  return testing::PrintToString(shape.num_heads) + " heads on " +
         testing::PrintToString(shape.num_kv_heads) + " of " +
         testing::PrintToString(shape.head_dim) + ", window " +
         testing::PrintToString(shape.window);
}

TEST(Attention, MatchesPlainSoftmaxAndNeverSeesDeadSlots) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  ForEachTarget([&] {
    for (const PagedShape& shape : Shapes()) {
      SCOPED_TRACE(Describe(shape));
      PagedCase paged(*backend, shape, kSequences, 21);
      HostTensor out = paged.MakeOut();
      HostTensor expected = paged.MakeOut();
      backend->Attention(paged.AllRows(out));
      cpu::reference::Attention(paged.AllRows(expected), {0, paged.num_rows()});
      for (int64_t r = 0; r < paged.num_rows(); ++r) {
        for (int64_t c = 0; c < out.view().cols; ++c) {
          const double exact = expected.at(r, c);
          const double ulp = shape.dtype == DType::kBF16 ? std::abs(exact) * 0x1p-7 : 0.0;
          ASSERT_NEAR(out.at(r, c), exact, 3e-6 + ulp) << "row " << r << " col " << c;
        }
      }
    }
  });
}

TEST(Attention, ARowHasTheSameBitsAloneInAnyChunkAndAtAnyThreadCount) {
  ForEachTarget([&] {
    for (const PagedShape& shape : Shapes()) {
      SCOPED_TRACE(Describe(shape));
      const auto one_thread = MakeBackend({.device = "cpu", .num_threads = 1});
      PagedCase paged(*one_thread, shape, kSequences, 22);
      HostTensor together = paged.MakeOut();
      one_thread->Attention(paged.AllRows(together));
      for (const int threads : {2, 3}) {
        const auto backend = MakeBackend({.device = "cpu", .num_threads = threads});
        HostTensor out = paged.MakeOut();
        backend->Attention(paged.AllRows(out));
        EXPECT_EQ(out.bytes(), together.bytes());
      }
      for (const int64_t chunk : {1, 3, 7, 16, 40}) {
        HostTensor out = paged.MakeOut();
        for (size_t s = 0; s < kSequences.size(); ++s) {
          const int64_t count = kSequences[s].end - kSequences[s].begin;
          for (int64_t begin = 0; begin < count; begin += chunk) {
            one_thread->Attention(
                paged.Params(static_cast<int64_t>(s), begin, std::min(begin + chunk, count), out));
          }
        }
        EXPECT_EQ(out.bytes(), together.bytes()) << "chunk " << chunk;
      }
    }
  });
}

// The checks above would miss nothing if a wrong kernel passed them: these must differ.
TEST(Attention, MutantsAreCaught) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 1});
  const PagedShape shape = {4, 2, 64, 20};
  const auto run = [&](const std::function<void(PagedCase&, AttentionParams&)>& change) {
    PagedCase paged(*backend, shape, kSequences, 23);
    HostTensor out = paged.MakeOut();
    AttentionParams params = paged.AllRows(out);
    change(paged, params);
    backend->Attention(params);
    return out.bytes();
  };
  const auto right = run([](PagedCase&, AttentionParams&) {});
  EXPECT_EQ(run([](PagedCase&, AttentionParams&) {}), right);
  // A window one longer, the neighbour's page, one key nudged by an ulp, a dead slot made visible.
  EXPECT_NE(run([](PagedCase&, AttentionParams& params) { params.window = 19; }), right);
  EXPECT_NE(run([](PagedCase& paged, AttentionParams&) {
              std::swap(paged.pages()[0], paged.pages()[1]);
            }),
            right);
  EXPECT_NE(run([](PagedCase& paged, AttentionParams&) {
              const int64_t index = cpu::KeyIndex(paged.cache(), paged.pages()[0], 0, 3, 5);
              static_cast<uint16_t*>(paged.cache().keys.get())[index] ^= 1;
            }),
            right);
  EXPECT_NE(run([](PagedCase&, AttentionParams& params) { params.window = 21; }), right);
}

TEST(Attention, ScoresFarApartStayFinite) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 1});
  const PagedShape shape = {2, 1, 64, 0, DType::kF32, DType::kF32};
  PagedCase paged(*backend, shape, {{0, 60}}, 24);
  for (int64_t r = 0; r < 60; ++r) {
    for (int64_t c = 0; c < 128; ++c) paged.q().set(r, c, paged.q().at(r, c) * 300.0f);
  }
  HostTensor out = paged.MakeOut();
  HostTensor expected = paged.MakeOut();
  backend->Attention(paged.AllRows(out));
  cpu::reference::Attention(paged.AllRows(expected), {0, 60});
  for (int64_t r = 0; r < 60; ++r) {
    for (int64_t c = 0; c < 128; ++c) {
      ASSERT_TRUE(std::isfinite(out.at(r, c)));
      // Scores near 1,000 carry 6e-5, which the exponential turns into a relative error.
      ASSERT_NEAR(out.at(r, c), expected.at(r, c), 2e-3);
    }
  }
}

}  // namespace
}  // namespace talon::test
