#include "base/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace tidemill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Mathematics {
  double (*cos)(double) = nullptr;
  double (*other)(double) = nullptr;
};

Error failed(const std::string& tried) {
  return user_error("Tried:" + tried, Code::kNotFound);
}

TEST(Library, TheFirstThatFitsIsTaken) {
  LibraryTable<Mathematics> library;
  auto fill = [](SymbolBinder& bind, Mathematics& table) {
    bind("cos", table.cos);
    return std::string();
  };
  auto table = library.load({"/no/such/libm.so", "libm.so.6"}, fill, failed);
  ASSERT_TRUE(table.ok()) << table.error().message;
  EXPECT_EQ(library.get().cos(0), 1);
  // It is not looked for again.
  EXPECT_EQ(library.load({"/no/such/libm.so"}, fill, failed).value(), &library.get());
}

TEST(Library, EveryPlaceIsNamedWithWhatIsWrongThere) {
  LibraryTable<Mathematics> library;
  auto fill = [](SymbolBinder& bind, Mathematics& table) {
    bind("cos", table.cos);
    bind("no_such_function", table.other);
    bind("nor_this", table.other);
    return std::string();
  };
  auto table = library.load({"/no/such/libm.so", "libm.so.6"}, fill, failed);
  ASSERT_FALSE(table.ok());
  EXPECT_THAT(table.error().message, HasSubstr("\n  /no/such/libm.so: "));
  EXPECT_THAT(table.error().message, HasSubstr("\n  libm.so.6: lacks no_such_function"));
  auto old = library.load(
      {"libm.so.6"}, [](SymbolBinder&, Mathematics&) { return std::string("is too old"); }, failed);
  EXPECT_EQ(old.error().message, "Tried:\n  libm.so.6: is too old");
}

TEST(Library, WhatTheEnvironmentNamesIsTheOnlyPlace) {
  ASSERT_EQ(setenv("TIDEMILL_SOME_LIBRARY", "/chosen.so", 1), 0);
  EXPECT_THAT(library_places("TIDEMILL_SOME_LIBRARY", "lib.so", "/found/lib.so"), ElementsAre("/chosen.so"));
  ASSERT_EQ(unsetenv("TIDEMILL_SOME_LIBRARY"), 0);
  EXPECT_THAT(
      library_places("TIDEMILL_SOME_LIBRARY", "lib.so", "/found/lib.so"),
      ElementsAre(HasSubstr("/lib.so"), HasSubstr("/lib/tidemill/lib.so"), "/found/lib.so", "lib.so"));
}

}  // namespace
}  // namespace tidemill
