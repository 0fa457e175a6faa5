// Finds stop strings in a text that arrives in pieces. Text that may be the beginning of a stop
// string is held back, so what was given out never has to be taken back.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace talon {

class StopStrings {
 public:
  // `include_in_text`: a match stays in the text instead of ending it before the match.
  StopStrings(std::vector<std::string> stops, bool include_in_text);

  // Adds text; returns what is final. Once a stop string was found nothing more comes.
  std::string Push(std::string_view text);
  // Adds text in which no stop string may end yet.
  std::string PushExempt(std::string_view text);
  // The text that was held back, when none was found to the end.
  std::string Finish();
  // The stop string that ended the text. Of several the one that begins first; then the first
  // listed.
  const std::optional<std::string>& found() const { return found_; }

 private:
  // How much of the end of `held_` may be the beginning of a stop string.
  size_t PossibleBeginning() const;
  // Gives out what cannot be the beginning of a stop string.
  std::string TakeFinal();

  std::vector<std::string> stops_;
  bool include_in_text_;
  std::string held_;
  size_t exempt_bytes_ = 0;  // of `held_`: stop strings must end behind them
  std::optional<std::string> found_;
};

}  // namespace talon
