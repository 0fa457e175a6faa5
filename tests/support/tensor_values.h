// A stored tensor as a vector.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "talon/checkpoint/safetensors.h"

namespace talon::test {

// The bytes of tensor `name` read as T.
template <typename T>
std::vector<T> Values(const TensorStore& store, const std::string& name) {
  const TensorView& view = store.Get(name);
  std::vector<T> values(view.bytes.size() / sizeof(T));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

}  // namespace talon::test
