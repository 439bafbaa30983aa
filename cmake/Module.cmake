# tidemill_module(NAME DEPS <modules> LIBS <third-party>)
#   One folder of src/, one static library tm_NAME. Unit tests (*_test.cc) and fuzz targets
#   (*_fuzz.cc) stand beside the code and become NAME_test and one program per fuzz target.
#   A fuzz target has a plain main, so that it builds with every compiler and cannot rot. Its kept corpus is
#   testdata/<target>/; ctest runs it for TIDEMILL_FUZZ_SECONDS if it reads what others send (FUZZED_LONG), a
#   sixth of that if only what this program wrote.
#   What the folder's testing/ holds (harnesses, models) becomes tm_NAME_testing, which tests of this
#   module and of those that depend on it may use; the program never does.
#   With CMAKE_UNITY_BUILD the sources of a module become a few translation units; its tests, which keep
#   constants of their own, get GoogleTest's headers precompiled instead.
#   TEST_DEPS <modules> are used by the tests and fuzz targets only.
#   TEST_PROPERTIES <name value>: properties of each of the tests.
#   FUZZED_LONG <targets>: see above.
#   CANARIES: builds for tests compile its planted bugs (src/base/canary.h).
#
# The target thread_tests builds those test programs in which a test's name says that it is about
# threads (Concurrent, Thread): what is worth running under ThreadSanitizer. Builds for that have no other
# tests.
#
# The target fuzz_targets builds all fuzz targets.
if(TIDEMILL_TESTS)
  add_custom_target(thread_tests)
  add_custom_target(fuzz_targets)
  set(TIDEMILL_FUZZ_SECONDS 1 CACHE STRING "how long ctest runs each fuzz target")
endif()

function(tidemill_module name)
  cmake_parse_arguments(arg "CANARIES" "" "DEPS;LIBS;TEST_DEPS;TEST_PROPERTIES;FUZZED_LONG" ${ARGN})
  file(GLOB all CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/*/*.cc)
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(fuzzers ${all})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz|main)\\.cc$")
  set(testing ${sources})
  list(FILTER testing INCLUDE REGEX "/testing/")
  list(FILTER sources EXCLUDE REGEX "/testing/")

  list(TRANSFORM arg_DEPS PREPEND tm_ OUTPUT_VARIABLE deps)
  if(sources)
    add_library(tm_${name} STATIC ${sources})
    target_include_directories(tm_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
    target_link_libraries(tm_${name} PUBLIC ${deps} ${arg_LIBS} Threads::Threads)
  else()
    add_library(tm_${name} INTERFACE)
    target_include_directories(tm_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(tm_${name} INTERFACE ${deps} ${arg_LIBS} Threads::Threads)
  endif()

  if(TIDEMILL_TESTS)
    if(sources AND arg_CANARIES)
      target_compile_definitions(tm_${name} PRIVATE TIDEMILL_CANARIES)
    endif()
    list(TRANSFORM arg_TEST_DEPS PREPEND tm_ OUTPUT_VARIABLE test_deps)
    if(testing)
      add_library(tm_${name}_testing STATIC ${testing})
      target_link_libraries(tm_${name}_testing PUBLIC tm_${name})
    endif()
    foreach(module ${name} ${arg_DEPS})
      if(TARGET tm_${module}_testing)
        list(APPEND test_deps tm_${module}_testing)
      endif()
    endforeach()
    if(testing)
      foreach(module ${arg_DEPS})
        if(TARGET tm_${module}_testing)
          target_link_libraries(tm_${name}_testing PUBLIC tm_${module}_testing)
        endif()
      endforeach()
    endif()
    set(about_threads)
    foreach(file ${tests})
      file(STRINGS ${file} found REGEX "^TEST.*(Concurrent|Thread)")
      if(found)
        list(APPEND about_threads ${file})
      endif()
    endforeach()
    if(TIDEMILL_SANITIZE STREQUAL "thread")
      set(tests ${about_threads})
    endif()
    if(tests)
      add_executable(${name}_test ${tests})
      # GoogleTest's macros take an optimiser three times as long as they take to run.
      target_compile_options(${name}_test PRIVATE -O0)
      set_target_properties(${name}_test PROPERTIES UNITY_BUILD OFF)
      list(LENGTH tests count)
      if(CMAKE_UNITY_BUILD AND count GREATER 3)
        target_precompile_headers(${name}_test PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
      endif()
      target_link_libraries(${name}_test PRIVATE tm_${name} ${test_deps} GTest::gmock GTest::gtest_main)
      if(about_threads)
        add_dependencies(thread_tests ${name}_test)
      endif()
      gtest_discover_tests(${name}_test PROPERTIES LABELS unit TIMEOUT 300 ${arg_TEST_PROPERTIES} DISCOVERY_TIMEOUT 60)
    endif()
    foreach(file ${fuzzers})
      get_filename_component(fuzz ${file} NAME_WE)
      add_executable(${fuzz} ${file})
      target_link_libraries(${fuzz} PRIVATE tm_${name} ${test_deps})
      add_dependencies(fuzz_targets ${fuzz})
      set(kept ${CMAKE_CURRENT_SOURCE_DIR}/testdata/${fuzz})
      if(NOT IS_DIRECTORY ${kept})
        set(kept)
      endif()
      set(seconds ${TIDEMILL_FUZZ_SECONDS})
      if(NOT fuzz IN_LIST arg_FUZZED_LONG)
        math(EXPR seconds "(${seconds} + 5) / 6")
      endif()
      add_test(NAME ${fuzz} COMMAND ${fuzz} --seconds ${seconds} ${kept})
      set_tests_properties(${fuzz} PROPERTIES LABELS fuzz)
    endforeach()
  endif()
endfunction()
