/// The matrix for a spreadsheet.
#pragma once

#include <string>

#include "report/analysis.h"

namespace fluxq::report {

/// matrix.csv: a header and a row per cell, RFC 4180 with CRLF. Numbers are plain (point, no unit;
/// units are in the header's names); what is not there is empty; text cannot act as a formula.
std::string matrix_csv(const Analysis& analysis);

}  // namespace fluxq::report
