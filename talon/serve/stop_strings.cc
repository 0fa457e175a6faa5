#include "talon/serve/stop_strings.h"

#include <algorithm>
#include <utility>

namespace talon {

StopStrings::StopStrings(std::vector<std::string> stops, bool include_in_text)
    : stops_(std::move(stops)), include_in_text_(include_in_text) {}

size_t StopStrings::PossibleBeginning() const {
  size_t longest = 0;
  for (const std::string_view stop : stops_) {
    const std::string_view held = held_;
    size_t size = std::min(stop.size() - 1, held.size());
    while (size > longest && !held.ends_with(stop.substr(0, size))) --size;
    longest = std::max(longest, size);
  }
  return longest;
}

std::string StopStrings::Push(std::string_view text) {
  if (found_) return "";
  held_ += text;
  size_t begin = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t first = stop.size() > exempt_bytes_ ? 0 : exempt_bytes_ - stop.size() + 1;
    const size_t at = held_.find(stop, first);
    if (at < begin) {
      begin = at;
      found_ = stop;
    }
  }
  if (found_) {
    held_.resize(include_in_text_ ? begin + found_->size() : begin);
    return std::exchange(held_, "");
  }
  return TakeFinal();
}

std::string StopStrings::PushExempt(std::string_view text) {
  held_ += text;
  exempt_bytes_ = held_.size();
  return TakeFinal();
}

std::string StopStrings::TakeFinal() {
  const size_t final_size = held_.size() - PossibleBeginning();
  std::string final_text = held_.substr(0, final_size);
  held_.erase(0, final_size);
  exempt_bytes_ -= std::min(exempt_bytes_, final_size);
  return final_text;
}

std::string StopStrings::Finish() { return std::exchange(held_, ""); }

}  // namespace talon
