# Third-party libraries, each behind one target. docs/dependencies.md says why each is here.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(simdjson REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(ZLIB REQUIRED)
find_package(absl REQUIRED)

function(tidemill_library target header library)
  find_path(${target}_INCLUDE ${header} REQUIRED)
  find_library(${target}_LIBRARY ${library} REQUIRED)
  add_library(${target} INTERFACE)
  target_include_directories(${target} SYSTEM INTERFACE ${${target}_INCLUDE})
  target_link_libraries(${target} INTERFACE ${${target}_LIBRARY})
endfunction()

tidemill_library(dep_isal isa-l/crc.h isal)
tidemill_library(dep_lz4 lz4frame.h lz4)
tidemill_library(dep_zstd zstd.h zstd)
tidemill_library(dep_snappy snappy-c.h snappy)
tidemill_library(dep_xxhash xxhash.h xxhash)

# DuckDB is loaded at run time, only by solutions that use it: only its C header is needed to build.
# An installed DuckDB >= 1.5 is used where there is one; else what tools/fetch-duckdb put into build/deps.
find_path(DUCKDB_INCLUDE duckdb.h HINTS ${CMAKE_SOURCE_DIR}/build/deps/duckdb REQUIRED)
find_library(DUCKDB_LIBRARY duckdb HINTS ${CMAKE_SOURCE_DIR}/build/deps/duckdb REQUIRED)
add_library(dep_duckdb INTERFACE)
target_include_directories(dep_duckdb SYSTEM INTERFACE ${DUCKDB_INCLUDE})

if(TIDEMILL_TESTS)
  find_package(GTest REQUIRED)
endif()
if(TIDEMILL_BENCH)
  find_package(benchmark REQUIRED)
endif()
