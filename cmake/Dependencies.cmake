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
tidemill_library(dep_prometheus_core prometheus/collectable.h prometheus-cpp-core)
tidemill_library(dep_prometheus prometheus/exposer.h prometheus-cpp-pull)
target_link_libraries(dep_prometheus INTERFACE dep_prometheus_core)

# DuckDB is loaded at run time, only by solutions that use it: to build, only its C header is needed.
# An installed one is used where CMake finds 1.5 or later (DuckDB_ROOT names its prefix); else what
# tools/fetch-duckdb put into build/deps.
find_package(DuckDB 1.5 CONFIG QUIET)
set(duckdb_places ${CMAKE_SOURCE_DIR}/build/deps/duckdb)
if(DuckDB_FOUND)
  set(duckdb_places ${DuckDB_DIR}/../../../include ${DuckDB_DIR}/../..)
endif()
find_path(DUCKDB_INCLUDE duckdb.h PATHS ${duckdb_places} NO_DEFAULT_PATH)
find_library(DUCKDB_LIBRARY duckdb PATHS ${duckdb_places} NO_DEFAULT_PATH)
if(NOT DUCKDB_INCLUDE OR NOT DUCKDB_LIBRARY)
  message(FATAL_ERROR "DuckDB is missing: run tools/fetch-duckdb, or set DuckDB_ROOT to the prefix of an installed 1.5")
endif()
add_library(dep_duckdb INTERFACE)
target_include_directories(dep_duckdb SYSTEM INTERFACE ${DUCKDB_INCLUDE})

# librdkafka, the Kafka client, is loaded at run time, too. An installed one is used where CMake finds 2.12 or
# later (RDKAFKA_ROOT names its prefix); else what tools/fetch-librdkafka put into build/deps, which is the header
# alone until `make kafka` has built the library.
find_path(RDKAFKA_INCLUDE librdkafka/rdkafka.h HINTS $ENV{RDKAFKA_ROOT}/include)
set(rdkafka_version 0)
if(RDKAFKA_INCLUDE)
  file(STRINGS ${RDKAFKA_INCLUDE}/librdkafka/rdkafka.h rdkafka_line REGEX "^#define RD_KAFKA_VERSION +0x")
  string(REGEX MATCH "0x[0-9a-fA-F]+" rdkafka_version "${rdkafka_line}")
endif()
math(EXPR rdkafka_version "${rdkafka_version}")
math(EXPR rdkafka_oldest "0x020c0000")
if(rdkafka_version LESS rdkafka_oldest)
  set(RDKAFKA_INCLUDE ${CMAKE_SOURCE_DIR}/build/deps)
  set(RDKAFKA_LIBRARY ${CMAKE_SOURCE_DIR}/build/deps/librdkafka/librdkafka.so.1)
else()
  find_library(RDKAFKA_LIBRARY rdkafka HINTS $ENV{RDKAFKA_ROOT}/lib REQUIRED)
endif()
if(NOT EXISTS ${RDKAFKA_INCLUDE}/librdkafka/rdkafka.h)
  message(FATAL_ERROR "librdkafka's header is missing: run tools/fetch-librdkafka header, or set RDKAFKA_ROOT to the prefix of an installed 2.12")
endif()
add_library(dep_rdkafka INTERFACE)
target_include_directories(dep_rdkafka SYSTEM INTERFACE ${RDKAFKA_INCLUDE})

# libpq, PostgreSQL's client, is loaded at run time, too: Debian's libpq5, or an installed one of 12 or later.
find_path(LIBPQ_INCLUDE libpq-fe.h PATH_SUFFIXES postgresql REQUIRED)
add_library(dep_libpq INTERFACE)
target_include_directories(dep_libpq SYSTEM INTERFACE ${LIBPQ_INCLUDE})

# libcurl, the HTTP client for Azure storage, is loaded at run time, too: Debian's libcurl4, or another of 7.66 or later.
find_path(LIBCURL_INCLUDE curl/curl.h REQUIRED)
add_library(dep_libcurl INTERFACE)
target_include_directories(dep_libcurl SYSTEM INTERFACE ${LIBCURL_INCLUDE})

if(TIDEMILL_TESTS)
  find_package(GTest REQUIRED)
endif()
