if(NOT TARGET clawlet)
  return()
endif()
foreach(suite run recovery limits bad_input)
  claw_test(e2e_${suite}_test LABEL e2e TIMEOUT 300
    SOURCES e2e/${suite}_test.cc e2e/agent.cc support/busybox_root.cc
    LINK claw_host nlohmann_json::nlohmann_json)
  target_compile_definitions(e2e_${suite}_test PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  add_dependencies(e2e_${suite}_test clawlet clawctl clawlet-starter)
endforeach()
