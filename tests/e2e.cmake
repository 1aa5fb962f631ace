if(NOT TARGET clawlet)
  return()
endif()
add_library(claw_test_agent STATIC e2e/agent.cc support/busybox_root.cc)
target_link_libraries(claw_test_agent PUBLIC claw_options claw_host nlohmann_json::nlohmann_json
                      Catch2::Catch2)
target_compile_definitions(claw_test_agent PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(claw_test_agent clawlet clawctl clawlet-starter)

foreach(suite run recovery limits bad_input follow pressure budget)
  claw_test(e2e_${suite}_test LABEL e2e TIMEOUT 300
    SOURCES e2e/${suite}_test.cc LINK claw_test_agent)
endforeach()
# It makes the whole machine's programs wait for memory.
set_tests_properties(e2e_pressure_test PROPERTIES RUN_SERIAL ON)

claw_test(e2e_metrics_test LABEL e2e TIMEOUT 300
  SOURCES e2e/metrics_test.cc support/http_client.cc support/prometheus_text.cc
  LINK claw_test_agent)
target_compile_definitions(e2e_metrics_test PRIVATE CLAW_BIN="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")

# The protocols of gRPC itself that the agent speaks: Debian has no headers for their messages.
set(E2E_GEN ${CMAKE_CURRENT_BINARY_DIR}/gen)
set(E2E_PROTO_SOURCES)
foreach(file health reflection)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/e2e/${file}.proto)
  set(base ${E2E_GEN}/tests/e2e/${file})
  add_custom_command(
    OUTPUT ${base}.pb.cc ${base}.pb.h ${base}.grpc.pb.cc ${base}.grpc.pb.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${E2E_GEN}
    COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR} --cpp_out=${E2E_GEN}
            --grpc_out=${E2E_GEN} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${source}
    DEPENDS ${source}
    VERBATIM)
  list(APPEND E2E_PROTO_SOURCES ${base}.pb.cc ${base}.grpc.pb.cc)
endforeach()
add_library(claw_test_proto STATIC ${E2E_PROTO_SOURCES})
target_include_directories(claw_test_proto SYSTEM PUBLIC ${E2E_GEN})
target_link_libraries(claw_test_proto PUBLIC PkgConfig::GRPC protobuf::libprotobuf)

claw_test(e2e_api_test LABEL e2e TIMEOUT 300
  SOURCES e2e/api_test.cc LINK claw_test_agent claw_test_proto)

claw_test(e2e_controller_test LABEL e2e TIMEOUT 300
  SOURCES e2e/controller_test.cc LINK claw_test_agent)
target_compile_definitions(e2e_controller_test PRIVATE CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")

claw_test(e2e_network_test LABEL e2e TIMEOUT 300
  SOURCES e2e/network_test.cc integration/network/world.cc support/dns_server.cc
  LINK claw_test_agent claw_network)

claw_test(e2e_suite_test LABEL e2e TIMEOUT 300
  SOURCES e2e/suite_test.cc support/program_root.cc LINK claw_test_agent)
target_compile_definitions(e2e_suite_test PRIVATE CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
