# Language, warnings and sanitizers: the same for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# NDEBUG is never defined: assertions on invariants stay on in release builds.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
if(CMAKE_UNITY_BUILD)
  # Builds that are run, not debugged: lines for a sanitizer's report, which cost a third less to compile.
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                    -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports overlaps inside std::string that cannot happen (GCC bug 105651).
  add_compile_options(-Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_UNITY_BUILD)
  # Several sources in one translation unit: GCC takes what one of them keeps to itself for a header's.
  add_compile_options(-Wno-subobject-linkage)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # 2013 and later: SSE4.2, AVX2, BMI. simdjson and ISA-L choose at run time as well.
  add_compile_options(-march=x86-64-v3)
endif()
if(TIDEMILL_SANITIZE)
  add_compile_options(-fsanitize=${TIDEMILL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TIDEMILL_SANITIZE})
endif()
# Clang only. Fuzz targets can then be guided by the code that an input reaches.
if(TIDEMILL_GUIDED)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_compile_definitions(TIDEMILL_GUIDED)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libclang_rt.fuzzer_no_main-${CMAKE_SYSTEM_PROCESSOR}.a
                  OUTPUT_VARIABLE TIDEMILL_LIBFUZZER OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  # Objects do not depend on where the sources are (-ffile-prefix-map), so all clones share one cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
                                  CCACHE_IGNOREOPTIONS=-ffile-prefix-map=* ${CCACHE})
endif()
