// How much memory this process may still use on the host.
#pragma once

#include <cstdint>
#include <filesystem>

namespace talon {

// What can be allocated without swapping: the kernel's MemAvailable, or less where a control group
// (a container) has a limit. Mapped files count as available, since the kernel can drop them. 0
// when the kernel does not tell. `root` is where /proc and /sys are looked for.
int64_t AvailableMemoryBytes(const std::filesystem::path& root = "/");

}  // namespace talon
