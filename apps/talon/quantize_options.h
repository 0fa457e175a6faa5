// The flags of `talon quantize`.
#pragma once

#include <string>

namespace talon {

struct QuantizeOptions {
  std::string model;
  std::string verifier;
  std::string output;
  std::string recipe = "max";
  std::string amax_file;
  std::string embedding = "auto";
  std::string lm_head = "bf16";
  std::string scale_division = "ieee";
  bool dry_run = false;
  bool json = false;
  bool full_hash = false;
};

}  // namespace talon
