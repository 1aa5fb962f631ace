if(NOT TARGET clawlet)
  return()
endif()
add_library(claw_test_agent STATIC e2e/agent.cc support/busybox_root.cc)
target_link_libraries(claw_test_agent PUBLIC claw_options claw_host nlohmann_json::nlohmann_json
                      Catch2::Catch2)
target_compile_definitions(claw_test_agent PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(claw_test_agent clawlet clawctl clawlet-starter)

foreach(suite run recovery limits bad_input)
  claw_test(e2e_${suite}_test LABEL e2e TIMEOUT 300
    SOURCES e2e/${suite}_test.cc LINK claw_test_agent)
endforeach()

claw_test(e2e_suite_test LABEL e2e TIMEOUT 300
  SOURCES e2e/suite_test.cc support/program_root.cc LINK claw_test_agent)
target_compile_definitions(e2e_suite_test PRIVATE CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
