claw_test(clawctl_test LABEL unit
  SOURCES unit/clawctl/budget_test.cc unit/clawctl/commands_test.cc unit/clawctl/compat_test.cc
          unit/clawctl/error_test.cc unit/clawctl/fake_agent.cc unit/clawctl/fake_compat.cc
          unit/clawctl/fake_network.cc unit/clawctl/fake_node.cc unit/clawctl/fake_placement.cc unit/clawctl/fake_records.cc unit/clawctl/fake_vm.cc
          unit/clawctl/fixture.cc unit/clawctl/format_test.cc unit/clawctl/help_test.cc
          unit/clawctl/network_test.cc unit/clawctl/placement_test.cc unit/clawctl/policy_test.cc unit/clawctl/run_test.cc
          unit/clawctl/vm_test.cc unit/clawctl/words_test.cc
  LINK claw_clawctl)
# Signals are tested on a process of their own.
add_dependencies(clawctl_test clawctl)
target_compile_definitions(clawctl_test PRIVATE CLAWCTL_BINARY="$<TARGET_FILE:clawctl>")
