claw_test(vm_unit_test LABEL unit
  SOURCES unit/vm/domain_test.cc unit/vm/files_test.cc unit/vm/identity_test.cc
  LINK claw_vm claw_config OpenSSL::SSL)
