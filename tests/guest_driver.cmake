# Sandboxes over the API of a real agent in the role of a guest.
if(TARGET clawlet)
  claw_test(guest_driver_test LABEL integration TIMEOUT 600
    SOURCES integration/guest/guest_agent.cc integration/guest/guest_driver_test.cc
            integration/driver/contract.cc
    LINK claw_test_agent claw_guest claw_vm_driver claw_budget claw_vm OpenSSL::SSL)
endif()
