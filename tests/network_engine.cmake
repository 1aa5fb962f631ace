add_library(claw_test_network STATIC integration/network/world.cc)
target_link_libraries(claw_test_network PUBLIC claw_options claw_network Catch2::Catch2)

claw_test(network_test LABEL integration TIMEOUT 300
  SOURCES integration/network/crash_test.cc integration/network/life_test.cc
          integration/network/policy_test.cc integration/network/scale_test.cc
          integration/network/spoof_test.cc
  LINK claw_test_network)

add_executable(network_kill_agent integration/network/kill_agent.cc)
target_link_libraries(network_kill_agent PRIVATE claw_options claw_network)
claw_test(network_kill_test LABEL integration TIMEOUT 600
  SOURCES integration/network/kill_test.cc
  LINK claw_test_network)
target_compile_definitions(network_kill_test PRIVATE
  CLAW_KILL_AGENT="$<TARGET_FILE:network_kill_agent>")
add_dependencies(network_kill_test network_kill_agent)

claw_test(network_rules_test LABEL unit
  SOURCES unit/network/elements_test.cc unit/network/ruleset_test.cc
  LINK claw_network ${RAPIDCHECK_LIBRARY})
set_property(TEST network_rules_test APPEND PROPERTY ENVIRONMENT RC_PARAMS=max_success=1000)
