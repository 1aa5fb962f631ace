claw_test(config_test LABEL unit
  SOURCES unit/config/app_test.cc unit/config/config_test.cc
  LINK claw_app)

claw_test(rpc_test LABEL unit
  SOURCES unit/rpc/messages_test.cc unit/rpc/network_messages_test.cc unit/rpc/streams_test.cc
  LINK claw_rpc ${RAPIDCHECK_LIBRARY})

claw_test(rpc_service_test LABEL unit
  SOURCES unit/rpc/budget_service_test.cc unit/rpc/compat_service_test.cc unit/rpc/guest_image_test.cc unit/rpc/guest_service_test.cc unit/rpc/hardened_service_test.cc unit/rpc/image_service_test.cc
          unit/rpc/network_service_test.cc unit/rpc/node_fixture.cc unit/rpc/placement_service_test.cc unit/rpc/policy_service_test.cc unit/rpc/pressure_service_test.cc
          unit/rpc/reservation_service_test.cc
          unit/rpc/service_test.cc unit/rpc/vm_balloon_test.cc
          unit/rpc/service_streams_test.cc unit/rpc/tenant_service_test.cc unit/rpc/vm_pool_test.cc unit/rpc/vm_sandbox_test.cc unit/rpc/vm_service_test.cc
  LINK claw_app claw_fake_driver)

claw_test(network_life_test LABEL unit
  SOURCES unit/rpc/network_life_test.cc unit/rpc/node_fixture.cc
  LINK claw_app claw_fake_driver)

claw_test(race_test LABEL unit
  SOURCES unit/rpc/node_fixture.cc unit/rpc/race_property_test.cc
  LINK claw_app claw_fake_driver ${RAPIDCHECK_LIBRARY})
set_tests_properties(race_test PROPERTIES ENVIRONMENT RC_PARAMS=max_success=500)

claw_test(placement_property_test LABEL unit
  SOURCES unit/rpc/node_fixture.cc unit/rpc/placement_property_test.cc
  LINK claw_app claw_fake_driver ${RAPIDCHECK_LIBRARY})

claw_test(budget_property_test LABEL unit
  SOURCES unit/rpc/node_fixture.cc unit/rpc/budget_property_test.cc
  LINK claw_app claw_fake_driver ${RAPIDCHECK_LIBRARY})
