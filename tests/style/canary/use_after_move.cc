// What clang-tidy must complain about, so that a configuration that finds nothing is noticed.
#include <string>
#include <string_view>
#include <utility>

std::string use_after_move(std::string text) {
  std::string taken = std::move(text);
  return text + taken;
}

std::string make_text();

std::string_view dangling_view() {
  std::string_view view = make_text();
  return view;
}
