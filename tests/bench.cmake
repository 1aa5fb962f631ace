if(NOT TARGET clawlet)
  return()
endif()
add_executable(bench_start EXCLUDE_FROM_ALL bench/start_bench.cc bench/agent_client.cc bench/agent_process.cc
               bench/peers.cc bench/report.cc support/busybox_root.cc)
target_link_libraries(bench_start PRIVATE claw_options claw_oci claw_proto CLI11::CLI11
                      nlohmann_json::nlohmann_json)
target_compile_definitions(bench_start PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(bench_start clawlet clawctl clawlet-starter)

add_executable(bench_compat EXCLUDE_FROM_ALL bench/compat_bench.cc bench/agent_process.cc
               bench/report.cc)
target_link_libraries(bench_compat PRIVATE claw_options claw_base claw_proto CLI11::CLI11
                      nlohmann_json::nlohmann_json)
target_compile_definitions(bench_compat PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                           CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
add_dependencies(bench_compat clawlet clawctl clawlet-starter)
