// Runs a callable that must throw a talon::Error with this code, and returns its sentence so that a
// test can look at it; an empty string (and a failed expectation) when it does not.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "talon/base/error.h"

namespace talon::test {

template <typename Callable>
std::string ErrorOf(ErrorCode code, Callable&& callable) {
  try {
    callable();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no talon::Error was thrown";
  return {};
}

}  // namespace talon::test
