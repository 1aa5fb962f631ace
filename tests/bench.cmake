if(NOT TARGET clawlet)
  return()
endif()
add_executable(bench_start EXCLUDE_FROM_ALL bench/start_bench.cc bench/agent_client.cc
               bench/peers.cc bench/report.cc support/busybox_root.cc)
target_link_libraries(bench_start PRIVATE claw_options claw_oci claw_proto CLI11::CLI11
                      nlohmann_json::nlohmann_json)
target_compile_definitions(bench_start PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(bench_start clawlet clawctl clawlet-starter)
