pkg_check_modules(TOMLPLUSPLUS REQUIRED IMPORTED_TARGET tomlplusplus)
find_library(GRPC_REFLECTION_LIBRARY grpc++_reflection REQUIRED)

claw_library(claw_rpc
  SOURCES rpc/acceptor.cc rpc/attach.cc rpc/budget_calls.cc rpc/call_task.cc rpc/caller.cc rpc/compat_service.cc
          rpc/convert.cc rpc/convert_compat.cc rpc/convert_network.cc rpc/convert_tenant.cc rpc/event_feed.cc
          rpc/event_service.cc
          rpc/exec.cc rpc/fd_waiter.cc rpc/gates.cc rpc/guest_calls.cc rpc/guest_image.cc rpc/guest_service.cc rpc/image_service.cc rpc/log_stream.cc
          rpc/malformed.cc rpc/names.cc rpc/network_service.cc rpc/node_service.cc rpc/node_view.cc rpc/placement_calls.cc rpc/placement_service.cc rpc/page.cc rpc/program_input.cc
          rpc/sandbox_calls.cc rpc/sandbox_service.cc rpc/sandbox_watch.cc rpc/server.cc
          rpc/status.cc rpc/task_group.cc rpc/tenant_service.cc rpc/tls.cc rpc/vm_service.cc
  LINK claw_lifecycle claw_proto ${GRPC_REFLECTION_LIBRARY})

claw_precompile(claw_lifecycle lifecycle/entry.h)
claw_precompile(claw_rpc rpc/reactors.h rpc/convert.h)

claw_library(claw_metrics
  SOURCES metrics/exposition.cc metrics/families.cc metrics/server.cc
  LINK claw_lifecycle ${PROMETHEUS_LIBRARY})
target_include_directories(claw_metrics SYSTEM PRIVATE ${PROMETHEUS_INCLUDE})

claw_library(claw_config
  SOURCES config.cc app/config_file.cc app/config_keys.cc app/network_keys.cc app/server_keys.cc app/vm_keys.cc
  LINK claw_budget PkgConfig::TOMLPLUSPLUS)

if(CLAW_SYSTEM STREQUAL "linux")
  set(CONTAINER_LIBRARIES claw_runc claw_gvisor claw_network)
endif()
claw_library(claw_app
  SOURCES app/${CLAW_SYSTEM}/host_runtimes.cc app/command_line.cc app/daemon.cc app/log.cc app/node_config.cc app/pressure_watch.cc
          app/service_manager.cc app/vms.cc
  LINK claw_config claw_rpc claw_metrics claw_image claw_store claw_guest claw_vm ${CONTAINER_LIBRARIES} CLI11::CLI11 spdlog::spdlog)

claw_library(claw_main SOURCES main.cc LINK claw_app)
set_source_files_properties(main.cc PROPERTIES
  COMPILE_DEFINITIONS CLAWLET_VERSION="${PROJECT_VERSION}")

add_executable(clawlet $<TARGET_OBJECTS:claw_main>)
set_target_properties(clawlet PROPERTIES LINKER_LANGUAGE CXX)
if(CLAW_SYSTEM STREQUAL "linux")
  add_dependencies(clawlet clawlet-starter)
endif()
find_library(GRPCPP_ARCHIVE libgrpc++.a)
find_library(GRPC_REFLECTION_ARCHIVE libgrpc++_reflection.a)
find_library(PROTOBUF_ARCHIVE libprotobuf.a)
find_library(SQLITE_ARCHIVE libsqlite3.a)
if(GRPCPP_ARCHIVE AND GRPC_REFLECTION_ARCHIVE AND PROTOBUF_ARCHIVE AND SQLITE_ARCHIVE AND NOT APPLE
   AND NOT CLAW_SANITIZE)
  pkg_check_modules(LIBARCHIVE REQUIRED IMPORTED_TARGET libarchive)
  # Half of the agent's memory at rest was gRPC's and its friends' shared libraries, which nobody
  # shares with it. The targets are named as files, because as targets they would bring the shared
  # libraries along.
  set(CLAWLET_PARTS
    claw_app claw_config claw_rpc claw_metrics claw_lifecycle claw_image claw_store claw_runc claw_gvisor claw_guest claw_vm_driver claw_vm
    claw_oci claw_network claw_network_sense claw_host claw_placement claw_policy claw_budget claw_model claw_proto claw_base)
  list(TRANSFORM CLAWLET_PARTS REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE CLAWLET_FILES)
  target_link_libraries(clawlet PRIVATE
    -Wl,--gc-sections -Wl,--start-group ${CLAWLET_FILES} -Wl,--end-group -Wl,--as-needed
    -Wl,-Bstatic -Wl,--start-group ${GRPC_REFLECTION_ARCHIVE} ${PROTOBUF_ARCHIVE}
    ${SQLITECPP_LIBRARY} ${SQLITE_ARCHIVE} ${GRPC_STATIC_LIBRARIES} -Wl,--end-group
    -Wl,-Bdynamic ${PROMETHEUS_LIBRARY} PkgConfig::LIBARCHIVE PkgConfig::SECCOMP PkgConfig::TOMLPLUSPLUS spdlog::spdlog
    PkgConfig::NFTABLES PkgConfig::NFLOG PkgConfig::MNL PkgConfig::CARES ${CMAKE_DL_LIBS})
  add_dependencies(clawlet ${CLAWLET_PARTS})
else()
  target_link_libraries(clawlet PRIVATE claw_app)
endif()
