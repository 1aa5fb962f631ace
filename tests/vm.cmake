# In a guest, under emulation: for x86-64 only so far, and too slow with sanitizers.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CLAW_SANITIZE AND TARGET clawlet)
  add_test(NAME cgroup_v2_test
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/cgroup_v2/run ${CMAKE_BINARY_DIR}
            ${CMAKE_SOURCE_DIR}/build/guest-kernel)
  # Two virtual processors want two real ones.
  set_tests_properties(cgroup_v2_test PROPERTIES LABELS vm TIMEOUT 600 PROCESSORS 2)
endif()

# Boots what tools/test makes with the preset arm64 and tools/guest-image.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CLAW_SANITIZE AND TARGET clawlet)
  claw_test(e2e_vm_test LABEL vm TIMEOUT 900
    SOURCES e2e/vm_test.cc LINK claw_test_agent)
  claw_test(e2e_vm_sandbox_test LABEL vm TIMEOUT 1200
    SOURCES e2e/vm_sandbox_test.cc LINK claw_test_agent claw_test_image)
  foreach(suite e2e_vm_test e2e_vm_sandbox_test)
    target_compile_definitions(${suite} PRIVATE CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    set_tests_properties(${suite} PROPERTIES PROCESSORS 2)
  endforeach()
endif()
