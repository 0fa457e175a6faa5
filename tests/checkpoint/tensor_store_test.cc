// Checkpoint folders: one file, shards with an index, and indexes that disagree with their shards.
#include <gtest/gtest.h>

#include "talon/checkpoint/safetensors.h"
#include "tests/checkpoint/safetensors_builder.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ExpectError;
using test::SafetensorsBytes;
using test::TempDir;
using test::WriteBytes;

// A shard with U8 tensors of one byte each.
void WriteShard(const std::filesystem::path& path, const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i == 0 ? "\"" : ",\"") + names[i] +
              R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(i) + "," +
              std::to_string(i + 1) + "]}";
  }
  WriteBytes(path, SafetensorsBytes(header + "}", names.size()));
}

class ShardedStore : public testing::Test {
 protected:
  void SetUp() override {
    WriteShard(path() / "one.safetensors", {"a", "b"});
    WriteShard(path() / "two.safetensors", {"c"});
  }
  const std::filesystem::path& path() const { return folder_.path(); }
  void WriteIndex(const std::string& weight_map) {
    WriteBytes(path() / "model.safetensors.index.json",
               R"({"metadata":{"total_size":3},"weight_map":)" + weight_map + "}");
  }
  void ExpectRefused(const std::string& message) {
    ExpectError(ErrorCode::kDataLoss, message, [&] { TensorStore::Open(path()); });
  }

 private:
  TempDir folder_;
};

TEST_F(ShardedStore, FindsTensorsOfAllShards) {
  WriteIndex(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  const TensorStore store = TensorStore::Open(path());
  EXPECT_EQ(store.tensors().size(), 3U);
  EXPECT_EQ(store.files().size(), 2U);
  EXPECT_EQ(store.headers().size(), 2U);
  EXPECT_EQ(std::to_integer<int>(store.Get("b").bytes[0]), 1);
  EXPECT_EQ(std::to_integer<int>(store.Get("c").bytes[0]), 0);
  EXPECT_EQ(store.Find("d"), nullptr);
  ExpectError(ErrorCode::kNotFound, "tensor 'd' is missing", [&] { store.Get("d"); });
}

TEST_F(ShardedStore, RefusesAnIndexThatDisagrees) {
  WriteIndex(R"({"a":"one.safetensors","c":"two.safetensors"})");
  ExpectRefused("holds tensor 'b', which model.safetensors.index.json does not list");
  WriteIndex(R"({"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"})");
  ExpectRefused("places in two.safetensors");
  WriteIndex(
      R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors","d":"two.safetensors"})");
  ExpectRefused("places tensor 'd' in two.safetensors, which lacks it");
  WriteShard(path() / "two.safetensors", {"b", "c"});
  WriteIndex(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  ExpectRefused("two.safetensors: holds tensor 'b'");
}

TEST_F(ShardedStore, RefusesABrokenIndex) {
  WriteIndex("{}");
  ExpectRefused("'weight_map'");
  WriteIndex(R"(["a"])");
  ExpectRefused("'weight_map'");
  WriteIndex(R"({"a":1})");
  ExpectRefused("no plain file name");
  WriteIndex(R"({"a":"../one.safetensors"})");
  ExpectRefused("no plain file name");
  WriteBytes(path() / "model.safetensors.index.json", "[1]");
  ExpectRefused("'weight_map'");
}

TEST_F(ShardedStore, NamesAMissingShard) {
  WriteIndex(R"({"a":"one.safetensors","b":"one.safetensors","c":"three.safetensors"})");
  ExpectError(ErrorCode::kNotFound, "three.safetensors", [&] { TensorStore::Open(path()); });
}

TEST(TensorStore, OpensOneFile) {
  const TensorStore store = TensorStore::Open(test::TestData("gemma4-dense"));
  EXPECT_EQ(store.Get("model.embed_tokens.weight").ShapeText(), "[512, 64]");
  EXPECT_EQ(store.files().size(), 1U);
}

TEST(TensorStore, SaysWhatAFolderHoldsInstead) {
  const TempDir folder;
  ExpectError(ErrorCode::kNotFound, "no model.safetensors",
              [&] { TensorStore::Open(folder.path()); });
  WriteBytes(folder.path() / "model-q4.gguf", "GGUF");
  ExpectError(ErrorCode::kUnsupported, "GGUF files are not supported",
              [&] { TensorStore::Open(folder.path()); });
  ExpectError(ErrorCode::kNotFound, "is no folder",
              [&] { TensorStore::Open(folder.path() / "absent"); });
}

}  // namespace
}  // namespace talon
