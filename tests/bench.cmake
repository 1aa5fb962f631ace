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

if(NOT TARGET clawlet)
  return()
endif()
# Its second part talks to etcd: Debian has no headers for its messages.
set(BENCH_GEN ${CMAKE_CURRENT_BINARY_DIR}/gen)
set(ETCD_SOURCE ${CMAKE_CURRENT_SOURCE_DIR}/bench/placement/etcd.proto)
set(ETCD_BASE ${BENCH_GEN}/tests/bench/placement/etcd)
add_custom_command(
  OUTPUT ${ETCD_BASE}.pb.cc ${ETCD_BASE}.pb.h ${ETCD_BASE}.grpc.pb.cc ${ETCD_BASE}.grpc.pb.h
  COMMAND ${CMAKE_COMMAND} -E make_directory ${BENCH_GEN}
  COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR} --cpp_out=${BENCH_GEN}
          --grpc_out=${BENCH_GEN} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${ETCD_SOURCE}
  DEPENDS ${ETCD_SOURCE}
  VERBATIM)
add_library(claw_bench_etcd STATIC EXCLUDE_FROM_ALL ${ETCD_BASE}.pb.cc ${ETCD_BASE}.grpc.pb.cc)
target_include_directories(claw_bench_etcd SYSTEM PUBLIC ${BENCH_GEN})
target_link_libraries(claw_bench_etcd PUBLIC PkgConfig::GRPC protobuf::libprotobuf)
add_executable(bench_placement EXCLUDE_FROM_ALL
  bench/placement/placement_bench.cc bench/placement/durable.cc bench/agent_process.cc
  support/busybox_root.cc)
target_link_libraries(bench_placement PRIVATE claw_placement_bench claw_bench_etcd claw_proto
                      claw_store CLI11::CLI11)
target_compile_definitions(bench_placement PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(bench_placement clawlet clawctl clawlet-starter)
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

add_executable(bench_network EXCLUDE_FROM_ALL bench/network_bench.cc bench/network_engine.cc
               bench/network_node.cc bench/network_scene.cc bench/agent_process.cc bench/report.cc
               support/busybox_root.cc support/program_root.cc)
target_link_libraries(bench_network PRIVATE claw_options claw_network claw_proto CLI11::CLI11
                      nlohmann_json::nlohmann_json)
target_compile_definitions(bench_network PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(bench_network clawlet clawctl clawlet-starter)

add_executable(bench_vm EXCLUDE_FROM_ALL bench/vm_bench.cc bench/agent_process.cc bench/report.cc)
target_link_libraries(bench_vm PRIVATE claw_options claw_base claw_proto CLI11::CLI11
                      nlohmann_json::nlohmann_json)
target_compile_definitions(bench_vm PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                           CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
add_dependencies(bench_vm clawlet clawctl clawlet-starter)
