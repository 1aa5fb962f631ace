pkg_check_modules(TOMLPLUSPLUS REQUIRED IMPORTED_TARGET tomlplusplus)
find_library(GRPC_REFLECTION_LIBRARY grpc++_reflection REQUIRED)

claw_library(claw_rpc
  SOURCES rpc/acceptor.cc rpc/attach.cc rpc/call_task.cc rpc/caller.cc rpc/convert.cc rpc/convert_tenant.cc rpc/event_feed.cc rpc/event_service.cc
          rpc/exec.cc rpc/fd_waiter.cc rpc/gates.cc rpc/image_service.cc rpc/log_stream.cc
          rpc/malformed.cc rpc/names.cc rpc/node_service.cc rpc/page.cc rpc/program_input.cc
          rpc/sandbox_calls.cc rpc/sandbox_service.cc rpc/sandbox_watch.cc rpc/server.cc
          rpc/status.cc rpc/task_group.cc rpc/tenant_service.cc rpc/unix_socket.cc
  LINK claw_lifecycle claw_proto ${GRPC_REFLECTION_LIBRARY})

claw_library(claw_config
  SOURCES config.cc app/config_file.cc app/config_keys.cc
  LINK claw_budget PkgConfig::TOMLPLUSPLUS)

claw_library(claw_app
  SOURCES app/command_line.cc app/daemon.cc app/log.cc app/service_manager.cc
  LINK claw_config claw_rpc claw_image claw_store claw_runc claw_gvisor CLI11::CLI11 spdlog::spdlog)

add_executable(clawlet main.cc)
target_link_libraries(clawlet PRIVATE claw_options claw_app)
add_dependencies(clawlet clawlet-starter)
set_source_files_properties(main.cc PROPERTIES
  COMPILE_DEFINITIONS CLAWLET_VERSION="${PROJECT_VERSION}")
