/// Makes the Nth allocation or file operation of this process fail. The functions behind them are
/// replaced in this test program for everything that is loaded into it, SQLite and the C++ library
/// included; while nothing is armed they do nothing of their own.
#pragma once

#include <cstdint>

namespace fluxq::faults {

/// What fails: allocations (operator new, aligned_alloc), or file operations (open and mkdir: no
/// permission; pread and fsync: input/output error; pwrite, ftruncate, rename and symlink: no
/// space; close: input/output error, after closing).
enum class Kind { none, allocation, file };

/// From now on: the call number `first` (from 1) of that kind fails, and all that follow too if
/// `lasting`.
void arm(Kind kind, uint64_t first, bool lasting);
/// Nothing fails any more; returns how many calls there were since arm().
uint64_t disarm();

}  // namespace fluxq::faults
