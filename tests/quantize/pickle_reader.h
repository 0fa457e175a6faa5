// Turns a torch archive without tensors into JSON, so that tests can compare archives by content.
// Int keys become text, a tuple becomes {"tuple": [...]}, a global its dotted name, a call {"call":
// name, "args": ...}.
#pragma once

#include <string>
#include <string_view>

#include "talon/base/json.h"

namespace talon::test {

// Reads the archive's data.pkl. Throws std::runtime_error for what it does not know.
nlohmann::json ReadTorchArchive(std::string_view archive);

// Names and sizes of the archive's entries in order.
std::vector<std::string> TorchArchiveEntries(std::string_view archive);

}  // namespace talon::test
