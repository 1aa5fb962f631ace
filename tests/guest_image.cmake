# The image that arm64 guests boot, and what its init does, under emulation. tools/test makes the agent
# in it with the preset arm64.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CLAW_SANITIZE)
  foreach(test image init)
    add_test(NAME guest_${test}_test
      COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/guest_image/${test} ${CMAKE_SOURCE_DIR}
              ${CMAKE_BINARY_DIR}/guest_${test}_test)
    set_tests_properties(guest_${test}_test PROPERTIES LABELS vm TIMEOUT 900 PROCESSORS 2)
  endforeach()
endif()
