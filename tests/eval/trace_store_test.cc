// The trace store: what is written is read back from the mapped files, runs can be continued, and
// traces of other sources or damaged shards are refused.
#include "talon/eval/trace_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "talon/base/error.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int64_t kHidden = 8;

TraceManifest SmallManifest() {
  TraceManifest manifest;
  manifest.verifier = "/models/a";
  manifest.verifier_identity = "1234";
  manifest.verifier_numerics = "BF16 (1 linear)";
  manifest.data_sha256 = "abcd";
  manifest.chat_format = "gemma4";
  manifest.turns = "first";
  manifest.max_tokens = 4;
  manifest.tail_tokens = 2;
  manifest.stop_token_ids = {1, 106};
  manifest.aux_layer_ids = {2, 4, 5};
  manifest.hidden_size = kHidden;
  return manifest;
}

// A trace whose features are the bytes of a counter that starts at `seed`.
struct OwnedTrace {
  std::vector<std::byte> bytes;
  Trace trace;
};

OwnedTrace MakeTrace(int64_t row, int64_t turn, int seed) {
  OwnedTrace owned;
  Trace& trace = owned.trace;
  trace.key = {row, turn};
  trace.id = "id/" + std::to_string(row) + " \"quoted\"";
  trace.category = "math";
  trace.finish = seed % 2 == 0 ? FinishReason::kStop : FinishReason::kLength;
  trace.prompt_tokens = 3;
  trace.answer_tokens = 4;
  for (int i = 0; i < 9; ++i) trace.tokens.push_back(seed * 100 + i);
  owned.bytes.resize(static_cast<size_t>(trace.feature_rows() * 3 * kHidden * 2));
  for (size_t i = 0; i < owned.bytes.size(); ++i) {
    owned.bytes[i] = static_cast<std::byte>((i + static_cast<size_t>(seed)) % 251);
  }
  trace.features = owned.bytes;
  return owned;
}

void ExpectEqual(const Trace& actual, const Trace& expected) {
  EXPECT_EQ(actual.id, expected.id);
  EXPECT_EQ(actual.category, expected.category);
  EXPECT_EQ(actual.finish, expected.finish);
  EXPECT_EQ(actual.prompt_tokens, expected.prompt_tokens);
  EXPECT_EQ(actual.answer_tokens, expected.answer_tokens);
  EXPECT_EQ(actual.tokens, expected.tokens);
  ASSERT_EQ(actual.features.size(), expected.features.size());
  EXPECT_EQ(std::memcmp(actual.features.data(), expected.features.data(), actual.features.size()),
            0);
}

class TraceStoreTest : public testing::Test {
 protected:
  fs::path Folder() const { return directory_.path() / "traces"; }

  test::TempDir directory_;
  OwnedTrace a_ = MakeTrace(0, 0, 1);
  OwnedTrace b_ = MakeTrace(0, 1, 2);
  OwnedTrace c_ = MakeTrace(7, 0, 3);
};

template <typename Fn>
std::string ErrorOf(const Fn& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(TraceStoreTest, ReadsBackWhatWasWritten) {
  {
    TraceStore store(Folder(), SmallManifest());
    EXPECT_EQ(store.size(), 0);
    store.Append({a_.trace, b_.trace});
    store.Append({c_.trace});
    ExpectEqual(store.Read({7, 0}), c_.trace);
  }
  const TraceStore store(Folder(), SmallManifest());
  EXPECT_EQ(store.size(), 3);
  EXPECT_TRUE(store.Contains({0, 1}));
  EXPECT_FALSE(store.Contains({1, 0}));
  ExpectEqual(store.Read({0, 0}), a_.trace);
  store.Release({0, 1});  // released pages are read again from the file
  ExpectEqual(store.Read({0, 1}), b_.trace);
  ExpectEqual(store.Read({7, 0}), c_.trace);
  EXPECT_THAT(ErrorOf([&] { store.Read({1, 0}); }), HasSubstr("no trace of row 1, turn 0"));
}

TEST_F(TraceStoreTest, ContinuesAndDropsUnfinishedShards) {
  { TraceStore(Folder(), SmallManifest()).Append({a_.trace}); }
  const fs::path partial = Folder() / "shard-00001.safetensors.partial-99";
  std::ofstream(partial) << "half";
  TraceStore store(Folder(), SmallManifest());
  store.Append({b_.trace});
  EXPECT_FALSE(fs::exists(partial));
  EXPECT_EQ(store.size(), 2);
  ExpectEqual(store.Read({0, 0}), a_.trace);
  ExpectEqual(store.Read({0, 1}), b_.trace);
}

TEST_F(TraceStoreTest, OneWriterAtATime) {
  TraceStore first(Folder(), SmallManifest());
  first.Append({a_.trace});
  TraceStore second(Folder(), SmallManifest());
  EXPECT_THAT(ErrorOf([&] { second.Append({b_.trace}); }), HasSubstr("another process"));
}

TEST_F(TraceStoreTest, RefusesTracesOfAnotherSource) {
  { TraceStore(Folder(), SmallManifest()); }
  TraceManifest manifest = SmallManifest();
  manifest.verifier = "/elsewhere/a";
  EXPECT_NO_THROW(TraceStore(Folder(), manifest));
  manifest.verifier_identity = "5678";
  EXPECT_THAT(ErrorOf([&] { TraceStore(Folder(), manifest); }),
              testing::AllOf(HasSubstr("manifest.json"), HasSubstr("verifier_identity"),
                             HasSubstr("1234"), HasSubstr("5678")));
  manifest = SmallManifest();
  manifest.max_tokens = 5;
  EXPECT_THAT(ErrorOf([&] { TraceStore(Folder(), manifest); }), HasSubstr("max_tokens"));
  manifest = SmallManifest();
  manifest.data_sha256 = "";
  EXPECT_THAT(ErrorOf([&] { TraceStore(Folder(), manifest); }), HasSubstr("data_sha256"));
  manifest = SmallManifest();
  manifest.aux_layer_ids = {2, 4};
  EXPECT_THAT(ErrorOf([&] { TraceStore(Folder(), manifest); }), HasSubstr("aux_layer_ids"));
}

TEST_F(TraceStoreTest, LongerTailsServeSmallerK) {
  { TraceStore(Folder(), SmallManifest()); }
  TraceManifest manifest = SmallManifest();
  manifest.tail_tokens = 1;
  EXPECT_EQ(TraceStore(Folder(), manifest).manifest().tail_tokens, 2);
  manifest.tail_tokens = 3;
  EXPECT_THAT(ErrorOf([&] { TraceStore(Folder(), manifest); }), HasSubstr("tail_tokens = 2"));
}

TEST_F(TraceStoreTest, RefusesOtherFolders) {
  std::ofstream(directory_.path() / "notes.txt") << "mine";
  EXPECT_THAT(ErrorOf([&] { TraceStore(directory_.path(), SmallManifest()); }),
              HasSubstr("not a trace folder"));
}

TEST_F(TraceStoreTest, RefusesDamagedShards) {
  { TraceStore(Folder(), SmallManifest()).Append({a_.trace}); }
  const fs::path shard = Folder() / "shard-00000.safetensors";
  fs::resize_file(shard, fs::file_size(shard) - 1);
  EXPECT_THAT(ErrorOf([&] { TraceStore(Folder(), SmallManifest()); }),
              HasSubstr("shard-00000.safetensors"));
}

void WriteShard(const fs::path& path, const std::string& key, const std::string& metadata) {
  WriteSafetensors(
      path, {{"0.0.tokens", DType::kI32, {9}}, {"0.0.features", DType::kBF16, {6, 3 * kHidden}}},
      {{key, metadata}}, [](const TensorSpec& spec, const AppendBytes& append) {
        int64_t size = SizeOf(spec.dtype);
        for (const int64_t extent : spec.shape) size *= extent;
        append(std::vector<std::byte>(static_cast<size_t>(size)));
      });
}

TEST_F(TraceStoreTest, RefusesMalformedMetadata) {
  { TraceStore(Folder(), SmallManifest()); }
  const fs::path shard = Folder() / "shard-00000.safetensors";
  const std::string good =
      R"({"id":"x","category":"c","prompt_tokens":3,"answer_tokens":4,"finish":"stop"})";
  const auto error = [&](const std::string& key, const std::string& metadata) {
    WriteShard(shard, key, metadata);
    return ErrorOf([&] { TraceStore(Folder(), SmallManifest()); });
  };
  EXPECT_EQ(error("0.0", good), "no error");
  EXPECT_THAT(error("0", good), HasSubstr("not ROW.TURN"));
  EXPECT_THAT(error("0.0x", good), HasSubstr("not ROW.TURN"));
  EXPECT_THAT(error("1.0", good), HasSubstr("'1.0.tokens' is missing"));
  EXPECT_THAT(error("0.0", "[]"), HasSubstr("metadata of trace 0.0"));
  EXPECT_THAT(error("0.0", "{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error("0.0", R"({"id":"x","category":"c","prompt_tokens":9,"answer_tokens":4,)"
                           R"("finish":"stop"})"),
              HasSubstr("has 9 tokens"));
  EXPECT_THAT(error("0.0", R"({"id":"x","category":"c","prompt_tokens":4,"answer_tokens":4,)"
                           R"("finish":"stop"})"),
              HasSubstr("'0.0.features' is BF16 [6, 24]; expected BF16 [7, 24]"));
}

}  // namespace
}  // namespace talon
