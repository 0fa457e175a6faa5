// BF16, E4M3 and E2M1 against the published tables and against rounding by exhaustive search in
// double.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "talon/numeric/bf16.h"
#include "talon/numeric/e2m1.h"
#include "talon/numeric/e4m3.h"

namespace talon {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

// Code of the magnitude nearest to |value|, ties to the even code; `magnitudes` ascend with their
// codes.
uint8_t NearestMagnitude(const std::vector<double>& magnitudes, double value) {
  const double a = std::min(std::abs(value), magnitudes.back());
  size_t best = 0;
  for (size_t code = 1; code < magnitudes.size(); ++code) {
    const double distance = std::abs(magnitudes[code] - a);
    const double best_distance = std::abs(magnitudes[best] - a);
    if (distance < best_distance || (distance == best_distance && code % 2 == 0)) best = code;
  }
  return static_cast<uint8_t>(best);
}

std::vector<double> E4m3Magnitudes() {
  std::vector<double> magnitudes;
  for (int code = 0; code <= 0x7E; ++code) {
    const int exponent = code >> 3;
    const double mantissa = (code & 7) / 8.0;
    magnitudes.push_back(exponent == 0 ? std::ldexp(mantissa, -6)
                                       : std::ldexp(1.0 + mantissa, exponent - 7));
  }
  return magnitudes;
}

TEST(Bf16, EveryCodeSurvivesARoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto code = static_cast<uint16_t>(bits);
    const float value = Bf16ToFloat(code);
    EXPECT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(value))));
    } else {
      EXPECT_EQ(FloatToBf16(value), code);
    }
  }
}

TEST(Bf16, RoundsToNearestEvenBetweenEveryPairOfNeighbours) {
  for (uint32_t bits = 0; bits < 0x7F80; ++bits) {
    const float tie = std::bit_cast<float>((bits << 16) | 0x8000u);
    const auto even = static_cast<uint16_t>(bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(FloatToBf16(tie), even);
    ASSERT_EQ(FloatToBf16(std::nextafter(tie, 0.0f)), bits);
    ASSERT_EQ(FloatToBf16(std::nextafter(tie, kInfinity)), bits + 1);
    ASSERT_EQ(FloatToBf16(-tie), even | 0x8000);
  }
}

TEST(Bf16, NanWithAPayloadOnlyInTheLowHalfStaysNan) {
  EXPECT_TRUE(std::isnan(RoundToBf16(std::bit_cast<float>(0x7F800001u))));
  EXPECT_TRUE(std::isnan(RoundToBf16(std::bit_cast<float>(0xFFFFFFFFu))));
  EXPECT_EQ(RoundToBf16(kInfinity), kInfinity);
}

TEST(E4m3, DecodesEveryCode) {
  const std::vector<double> magnitudes = E4m3Magnitudes();
  for (int code = 0; code < 256; ++code) {
    const float value = DecodeE4m3(static_cast<uint8_t>(code));
    if ((code & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(IsNanE4m3(static_cast<uint8_t>(code)));
      continue;
    }
    EXPECT_FALSE(IsNanE4m3(static_cast<uint8_t>(code)));
    EXPECT_EQ(std::abs(static_cast<double>(value)), magnitudes[static_cast<size_t>(code & 0x7F)]);
    EXPECT_EQ(std::signbit(value), code >= 0x80);
    EXPECT_EQ(EncodeE4m3(value), code);
    EXPECT_EQ(FloatToBf16(value) << 16, std::bit_cast<uint32_t>(value)) << "exact in BF16";
  }
}

TEST(E4m3, EncodesEveryBf16ValueToTheNearestCode) {
  const std::vector<double> magnitudes = E4m3Magnitudes();
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = Bf16ToFloat(static_cast<uint16_t>(bits));
    const uint8_t sign = std::signbit(value) ? 0x80 : 0;
    if (std::isnan(value)) {
      ASSERT_EQ(EncodeE4m3(value), sign | 0x7F);
    } else {
      ASSERT_EQ(EncodeE4m3(value), sign | NearestMagnitude(magnitudes, value)) << value;
    }
  }
}

TEST(E4m3, RoundsToNearestEvenBetweenEveryPairOfNeighbours) {
  const std::vector<double> magnitudes = E4m3Magnitudes();
  for (size_t code = 0; code + 1 < magnitudes.size(); ++code) {
    const auto tie = static_cast<float>((magnitudes[code] + magnitudes[code + 1]) / 2);
    EXPECT_EQ(EncodeE4m3(tie), code % 2 == 0 ? code : code + 1);
    EXPECT_EQ(EncodeE4m3(std::nextafter(tie, 0.0f)), code);
    EXPECT_EQ(EncodeE4m3(std::nextafter(tie, kInfinity)), code + 1);
  }
}

TEST(E4m3, MatchesThePublishedTable) {
  const std::vector<std::pair<float, int>> table = {
      {1.0f, 0x38},    {448.0f, 0x7E},   {464.0f, 0x7E},        {464.1f, 0x7E},
      {0x1p-9f, 0x01}, {0x1p-10f, 0x00}, {0x1.1p-10f, 0x01},    {1e9f, 0x7E},
      {-500.0f, 0xFE}, {0.017f, 0x09},   {0.0029296875f, 0x02}, {0.015625f, 0x08},
      {6.25f, 0x4C},   {6.75f, 0x4E},    {kInfinity, 0x7E},     {-kInfinity, 0xFE}};
  for (const auto& [value, code] : table) EXPECT_EQ(EncodeE4m3(value), code) << value;
  EXPECT_EQ(EncodeE4m3(kNan) & 0x7F, 0x7F);
}

TEST(E2m1, EncodesEveryBf16ValueToTheNearestCode) {
  const std::vector<double> magnitudes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = Bf16ToFloat(static_cast<uint16_t>(bits));
    const int sign = value < 0 ? 8 : 0;
    const int expected = std::isnan(value) ? 7 : sign | NearestMagnitude(magnitudes, value);
    ASSERT_EQ(EncodeE2m1(value), expected) << value;
  }
}

TEST(E2m1, MatchesThePublishedTable) {
  const std::vector<std::pair<float, int>> table = {
      {0.0f, 0},   {-0.0f, 0},  {0.2f, 0},      {-0.2f, 8},       {0.25f, 0},
      {-0.25f, 8}, {0.26f, 1},  {0.75f, 2},     {-0.75f, 10},     {1.25f, 2},
      {1.75f, 4},  {2.5f, 4},   {3.5f, 6},      {5.0f, 6},        {5.01f, 7},
      {7.0f, 7},   {-9.0f, 15}, {kInfinity, 7}, {-kInfinity, 15}, {kNan, 7}};
  for (const auto& [value, code] : table) EXPECT_EQ(EncodeE2m1(value), code) << value;
}

TEST(E2m1, RoundsToNearestEvenBetweenEveryPairOfNeighbours) {
  for (size_t code = 0; code < 7; ++code) {
    const size_t even = code % 2 == 0 ? code : code + 1;
    const float tie = (kE2m1Values[code] + kE2m1Values[code + 1]) / 2;
    EXPECT_EQ(EncodeE2m1(tie), even);
    EXPECT_EQ(EncodeE2m1(std::nextafter(tie, 0.0f)), code);
    EXPECT_EQ(EncodeE2m1(std::nextafter(tie, kInfinity)), code + 1);
    EXPECT_EQ(EncodeE2m1(-tie), 8 | even);
  }
}

TEST(E2m1, DecodesEveryCode) {
  const double magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int code = 0; code < 16; ++code) {
    const float value = DecodeE2m1(static_cast<uint8_t>(code));
    EXPECT_EQ(std::abs(value), magnitudes[code & 7]);
    EXPECT_EQ(std::signbit(value), code >= 8);
  }
}

}  // namespace
}  // namespace talon
