#include "talon/serve/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace talon {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("flaw", "lawn"), 2);
  EXPECT_EQ(EditDistance("same", "same"), 0);
}

TEST(NearestName, FindsTheTypo) {
  const std::vector<std::string> flags = {"--max-num-seqs", "--max-model-len", "--port"};
  EXPECT_EQ(NearestName("--max-num-seq", flags), "--max-num-seqs");
  EXPECT_EQ(NearestName("--max-model-length", flags), "--max-model-len");
  EXPECT_EQ(NearestName("--prot", flags), "--port");
}

TEST(NearestName, TakesTheFirstOfEquallyNearOnes) {
  const std::vector<std::string> names = {"ab", "ac"};
  EXPECT_EQ(NearestName("ad", names), "ab");
}

}  // namespace
}  // namespace talon
