// A checkpoint's identity changes with its config, its tensors' names, shapes and (sampled) bytes.
#include "talon/checkpoint/identity.h"

#include <gtest/gtest.h>

#include <fstream>

#include "talon/base/hash.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

class IdentityTest : public testing::Test {
 protected:
  // A folder with one U8 tensor of `size` bytes, all zero but byte `changed`.
  std::string Identity(const std::string& config, const std::string& name, int64_t size,
                       int64_t changed = -1) {
    const fs::path file = directory_.path() / "model.safetensors";
    fs::remove(file);
    std::ofstream(directory_.path() / "config.json") << config;
    WriteSafetensors(file, {{name, DType::kU8, {size}}}, {},
                     [&](const TensorSpec&, const AppendBytes& append) {
                       std::vector<std::byte> bytes(static_cast<size_t>(size));
                       if (changed >= 0) bytes[static_cast<size_t>(changed)] = std::byte{1};
                       append(bytes);
                     });
    return CheckpointIdentity(TensorStore::Open(directory_.path()));
  }

  test::TempDir directory_;
};

TEST_F(IdentityTest, DependsOnConfigNameShapeAndBytes) {
  const std::string identity = Identity("{}", "a", 100000);
  EXPECT_EQ(identity.size(), 64);
  EXPECT_EQ(Identity("{}", "a", 100000), identity);
  EXPECT_NE(Identity("{ }", "a", 100000), identity);
  EXPECT_NE(Identity("{}", "b", 100000), identity);
  EXPECT_NE(Identity("{}", "a", 100001), identity);
  EXPECT_NE(Identity("{}", "a", 100000, 0), identity);
  EXPECT_NE(Identity("{}", "a", 100000, 99999), identity);
  // Small tensors are hashed whole.
  EXPECT_NE(Identity("{}", "a", 4096, 300), Identity("{}", "a", 4096));
}

TEST_F(IdentityTest, FullHashesAreThoseOfTheFiles) {
  Identity("{}", "a", 10);
  const std::vector<FileHash> hashes = HashFiles(TensorStore::Open(directory_.path()));
  ASSERT_EQ(hashes.size(), 2u);
  EXPECT_EQ(hashes[0].name, "config.json");
  EXPECT_EQ(hashes[0].sha256, Sha256Hex("{}"));
  EXPECT_EQ(hashes[1].name, "model.safetensors");
  EXPECT_EQ(hashes[1].size_bytes,
            static_cast<int64_t>(fs::file_size(directory_.path() / "model.safetensors")));
}

}  // namespace
}  // namespace talon
