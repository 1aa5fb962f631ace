claw_test(darwin_files_test LABEL unit
  SOURCES integration/darwin/files_test.cc LINK claw_base)
target_compile_definitions(darwin_files_test PRIVATE CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
# Compiles for macOS what a Mac needs; several minutes the first time. Not once for each sanitizer.
if(NOT CLAW_SANITIZE)
  add_test(NAME darwin_check_test
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/darwin/check ${CMAKE_SOURCE_DIR})
  set_tests_properties(darwin_check_test PROPERTIES LABELS darwin TIMEOUT 2400 PROCESSORS 2)
endif()
