// Numbers in the binary form of PostgreSQL's numeric.
// Format: numeric_send() and numeric_recv() of PostgreSQL's src/backend/utils/adt/numeric.c.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace tidemill::serve {

// sign × 0.d1 d2 d3 … × 10^point, the first digit not 0; no digits: zero.
class Decimal {
 public:
  // Finite. Of the digits the fewest that read back to the same double; -0.0 is 0.
  static Decimal of(double value);
  static Decimal of(int64_t value);

  // Whether numeric(precision, scale) holds it, once rounded to that scale; precision 0: any numeric.
  bool fits(int32_t precision, int32_t scale) const;
  // A value of COPY's binary format: its size, then its digits by four.
  void append_numeric(std::string* to) const;

 private:
  bool negative_ = false;
  std::array<char, 20> digits_{};  // '0' to '9'
  int size_ = 0;
  int point_ = 0;
};

// The same of "not a number".
void append_numeric_nan(std::string* to);

}  // namespace tidemill::serve
