// Takes the events of a streamed answer out of its bytes and keeps the times at which pieces came.
#pragma once

#include <string>
#include <string_view>

#include "talon/bench/load_client.h"

namespace talon {

class EventReader {
 public:
  explicit EventReader(RequestTiming& timing) : timing_(timing) {}

  // `bytes` arrived `seconds` after the request's start.
  void Add(std::string_view bytes, double seconds);
  // The stream has ended.
  void Finish();

 private:
  void Read(const Json& event, double seconds);

  RequestTiming& timing_;
  std::string rest_;  // of an event whose end has not come
  bool begun_ = false;
};

}  // namespace talon
