// Loops whose indices are constants, so that arrays of vectors stay in registers.
#pragma once

#include <cstddef>
#include <utility>

namespace talon::cpu {

// fn(0), fn(1), ... fn(N - 1), each index a std::integral_constant.
template <size_t N, typename Fn>
[[gnu::always_inline]] inline void Unroll(Fn fn) {
  [&]<size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
    (fn(std::integral_constant<size_t, I>()), ...);
  }
  (std::make_index_sequence<N>());
}

}  // namespace talon::cpu
