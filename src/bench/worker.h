/// The child of a benchmark run: one process, one scheme or the survey before them (`fluxq
/// bench-worker`, hidden). It takes orders from one descriptor and answers on another, until its
/// orders end.
#pragma once

#include "fluxq/cancel.h"

namespace fluxq {

/// Errors of an order are answered, not thrown; after one that the process does not outlive
/// (device_lost) this returns. Error(corrupt_file) for an order that is none; io.
void run_worker(int orders_fd, int answers_fd, const CancelToken& cancel);

}  // namespace fluxq
