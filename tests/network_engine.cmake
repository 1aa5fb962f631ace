add_library(claw_test_network STATIC integration/network/world.cc)
target_link_libraries(claw_test_network PUBLIC claw_options claw_network Catch2::Catch2)

claw_test(network_test LABEL integration TIMEOUT 300
  SOURCES integration/network/policy_test.cc
  LINK claw_test_network)
