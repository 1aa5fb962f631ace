find_library(RAPIDCHECK_LIBRARY rapidcheck REQUIRED)

# Sources of drivers that only tests use.
add_subdirectory(${CMAKE_SOURCE_DIR}/drivers/fake ${CMAKE_BINARY_DIR}/drivers/fake)

claw_test(fake_driver_test LABEL unit
  SOURCES unit/driver/fake_driver_test.cc unit/driver/fake_fixture.cc
          integration/driver/contract.cc
  LINK claw_fake_driver)

claw_test(base_test LABEL unit
  SOURCES unit/base/bytes_test.cc unit/base/endpoint_test.cc unit/base/file_test.cc unit/base/ip_test.cc unit/base/linux_errno_test.cc unit/base/status_test.cc
          unit/base/subprocess_test.cc unit/base/system_defaults_test.cc unit/base/text_test.cc
          unit/base/words_test.cc
  LINK claw_base ${RAPIDCHECK_LIBRARY})

claw_test(model_test LABEL unit
  SOURCES unit/model/compat_test.cc unit/model/json_test.cc unit/model/network_test.cc
          unit/model/sandbox_test.cc
  LINK claw_model ${RAPIDCHECK_LIBRARY})

claw_test(policy_test LABEL unit
  SOURCES unit/policy/compat_test.cc unit/policy/hardening_test.cc
          unit/policy/isolation_property_test.cc unit/policy/isolation_test.cc
          unit/policy/mac_checks_test.cc
          unit/policy/network_test.cc unit/policy/quota_test.cc
  LINK claw_policy ${RAPIDCHECK_LIBRARY})
# I1 is worth more than the library's hundred tries.
set_tests_properties(policy_test PROPERTIES ENVIRONMENT RC_PARAMS=max_success=5000)

claw_test(budget_test LABEL unit
  SOURCES unit/budget/balloon_test.cc unit/budget/burst_test.cc unit/budget/dial_test.cc unit/budget/ledger_test.cc
          unit/budget/limits_test.cc unit/budget/overhead_test.cc unit/budget/plan_test.cc
  LINK claw_budget ${RAPIDCHECK_LIBRARY})

claw_test(placement_test LABEL unit
  SOURCES unit/placement/examine_property_test.cc unit/placement/examine_test.cc
          unit/placement/occupancy_test.cc unit/placement/score_test.cc
          unit/placement/table_test.cc unit/placement/world.cc
  LINK claw_placement ${RAPIDCHECK_LIBRARY})
# So many features that few random targets differ in one alone.
set_property(TEST placement_test APPEND PROPERTY ENVIRONMENT RC_PARAMS=max_success=2000)

claw_test(host_test LABEL unit
  SOURCES unit/host/cgroup_hierarchies_test.cc unit/host/cgroup_test.cc
          unit/host/mac_facts_test.cc unit/host/machine_facts_test.cc unit/host/pressure_test.cc
          unit/host/process_memory_test.cc unit/host/process_test.cc
  LINK claw_host)

claw_test(oci_test LABEL unit
  SOURCES unit/oci/bundle_test.cc unit/oci/exit_watcher_test.cc unit/oci/inside_report_test.cc
          unit/oci/k8s_log_test.cc unit/oci/refused_calls_test.cc
          unit/gvisor/syscall_log_test.cc
  LINK claw_gvisor)

claw_test(tidy_test LABEL unit
  SOURCES tidy/coroutines.cc tidy/coroutines_test.cc tidy/rules.cc tidy/rules_test.cc tidy/tidy_test.cc tidy/tree.cc
  LINK claw_base)
target_compile_definitions(tidy_test PRIVATE CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
