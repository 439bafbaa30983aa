# make install: the program, DuckDB and librdkafka where they were fetched, the catalogue, and shell completions, which
# the program writes itself.
include(GNUInstallDirs)
install(TARGETS tidemill RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(DUCKDB_LIBRARY MATCHES "^${CMAKE_SOURCE_DIR}/build/deps/")
  install(FILES ${DUCKDB_LIBRARY} DESTINATION lib/tidemill)
endif()
if(RDKAFKA_LIBRARY MATCHES "^${CMAKE_SOURCE_DIR}/build/deps/")
  install(FILES ${RDKAFKA_LIBRARY} DESTINATION lib/tidemill OPTIONAL)
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/solutions DESTINATION share/tidemill FILES_MATCHING PATTERN "*.yaml" PATTERN "*.schema.json")

foreach(shell bash zsh)
  install(CODE "
    execute_process(COMMAND ${CMAKE_BINARY_DIR}/tidemill completion ${shell}
                    OUTPUT_FILE ${CMAKE_BINARY_DIR}/completion.${shell} COMMAND_ERROR_IS_FATAL ANY)")
endforeach()
install(FILES ${CMAKE_BINARY_DIR}/completion.bash DESTINATION share/bash-completion/completions RENAME tidemill)
install(FILES ${CMAKE_BINARY_DIR}/completion.zsh DESTINATION share/zsh/site-functions RENAME _tidemill)
