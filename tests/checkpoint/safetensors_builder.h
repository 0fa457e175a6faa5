// Builds safetensors bytes by hand, right or wrong, for tests of the reader.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "talon/base/error.h"

namespace talon::test {

// The 8-byte little-endian length word.
inline std::string LengthWord(uint64_t value) {
  std::string word(8, '\0');
  for (size_t i = 0; i < 8; ++i) word[i] = static_cast<char>((value >> (8 * i)) & 0xFF);
  return word;
}

// Length word, header as given, then `data_bytes` bytes of data: 0, 1, 2, ...
inline std::string SafetensorsBytes(std::string_view header, size_t data_bytes) {
  std::string bytes = LengthWord(header.size()) + std::string(header);
  for (size_t i = 0; i < data_bytes; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

inline void WriteBytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
}

// Expects `statement` to throw talon::Error whose code and message match.
template <typename Function>
void ExpectError(ErrorCode code, const std::string& message_part, const Function& function) {
  try {
    function();
    ADD_FAILURE() << "no error; expected one saying '" << message_part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(message_part), std::string::npos)
        << "found: " << error.what() << "\nexpected part: " << message_part;
  }
}

}  // namespace talon::test
