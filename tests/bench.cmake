# The simulation needs no agent. Its time is spent here, so it is optimised though it is a test.
add_library(claw_budget_sim STATIC EXCLUDE_FROM_ALL
  bench/budget_sim/clawlet_policy.cc bench/budget_sim/policies.cc bench/budget_sim/random.cc
  bench/budget_sim/shapes.cc bench/budget_sim/simulator.cc bench/budget_sim/statistics.cc
  bench/budget_sim/traces.cc)
target_link_libraries(claw_budget_sim PUBLIC claw_options claw_budget)
target_compile_options(claw_budget_sim PRIVATE -O2)
claw_test(budget_sim_test LABEL unit
  SOURCES unit/bench/budget_sim_test.cc unit/budget/burst_seen_test.cc
  LINK claw_budget_sim ${RAPIDCHECK_LIBRARY})
add_executable(bench_budget-sim EXCLUDE_FROM_ALL
               bench/budget_sim/budget_sim.cc bench/budget_sim/table.cc)
target_link_libraries(bench_budget-sim PRIVATE claw_budget_sim CLI11::CLI11
                      nlohmann_json::nlohmann_json)

# Its first part, decisions in one process, needs no agent either.
add_library(claw_placement_bench STATIC EXCLUDE_FROM_ALL
  bench/placement/decisions.cc bench/placement/fleet.cc bench/report.cc)
target_link_libraries(claw_placement_bench PUBLIC claw_options claw_placement claw_budget_sim
                      PRIVATE nlohmann_json::nlohmann_json)
target_compile_options(claw_placement_bench PRIVATE -O2)
add_executable(bench_placement EXCLUDE_FROM_ALL bench/placement/placement_bench.cc)
target_link_libraries(bench_placement PRIVATE claw_placement_bench CLI11::CLI11)

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

add_executable(bench_density EXCLUDE_FROM_ALL bench/density_bench.cc bench/density_node.cc
               bench/agent_process.cc support/busybox_root.cc support/program_root.cc)
target_link_libraries(bench_density PRIVATE claw_options claw_base claw_proto CLI11::CLI11
                      nlohmann_json::nlohmann_json)
target_compile_definitions(bench_density PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(bench_density clawlet clawctl clawlet-starter)
