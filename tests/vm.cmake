# In a guest, under emulation: for x86-64 only so far, and too slow with sanitizers.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CLAW_SANITIZE AND TARGET clawlet)
  add_test(NAME cgroup_v2_test
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/cgroup_v2/run ${CMAKE_BINARY_DIR}
            ${CMAKE_SOURCE_DIR}/build/guest-kernel)
  # Two virtual processors want two real ones.
  set_tests_properties(cgroup_v2_test PROPERTIES LABELS vm TIMEOUT 600 PROCESSORS 2)
endif()
