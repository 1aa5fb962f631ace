add_library(claw_test_driver STATIC integration/driver/contract.cc integration/driver/oci_fixture.cc
            support/busybox_root.cc support/program_root.cc)
target_link_libraries(claw_test_driver PUBLIC claw_options claw_runc claw_gvisor Catch2::Catch2)
target_compile_definitions(claw_test_driver PRIVATE
  CLAW_STARTER="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/clawlet-starter")
add_dependencies(claw_test_driver clawlet-starter)

# Makes system calls by number and says what each brought: goes into sandboxes.
add_executable(claw_syscall_prober integration/driver/syscall_prober.cc)
target_link_libraries(claw_syscall_prober PRIVATE claw_options)
target_link_options(claw_syscall_prober PRIVATE -static)

claw_test(driver_test LABEL integration TIMEOUT 300
  SOURCES integration/driver/exec_end_test.cc integration/driver/legacy_driver_test.cc
          integration/driver/oci_driver_test.cc
          integration/driver/syscalls_test.cc
  LINK claw_test_driver claw_policy)
add_dependencies(driver_test claw_syscall_prober)
target_compile_definitions(driver_test PRIVATE
  CLAW_SYSCALL_PROBER="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/claw_syscall_prober")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64")
  add_executable(foreign_call support/foreign_call.cc)
  target_link_options(foreign_call PRIVATE -static)
  target_compile_definitions(driver_test PRIVATE
    CLAW_FOREIGN_CALL="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/foreign_call")
  add_dependencies(driver_test foreign_call)
endif()

# A node over real runtimes, and what happens to it in the middle of a start.
claw_test(isolation_test LABEL integration TIMEOUT 300
  SOURCES integration/isolation/faults_test.cc integration/isolation/faulty_driver.cc
          integration/isolation/hardened_test.cc integration/isolation/real_node.cc
          integration/isolation/verdicts_test.cc
  LINK claw_lifecycle claw_store claw_test_driver)
target_compile_definitions(isolation_test PRIVATE
  CLAW_STARTER="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/clawlet-starter")
