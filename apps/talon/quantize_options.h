// The flags of `talon quantize`.
#pragma once

#include <cstdint>
#include <string>

#include "apps/talon/session.h"

namespace talon {

struct QuantizeOptions {
  SessionFlags session;  // verifier, device, threads, dtype, numerics, chat format
  std::string model;
  std::string output;
  std::string recipe = "max";
  std::string calibration_file;
  int64_t num_samples = 256;
  int64_t seq_length = 2048;
  int64_t self_fed_steps = 4;
  std::string amax_file;
  std::string embedding = "auto";
  std::string lm_head = "bf16";
  std::string scale_division = "ieee";
  bool dry_run = false;
  bool json = false;
  bool full_hash = false;
};

}  // namespace talon
