# Real libvirt, libvirtd and QEMU, with guests that only wait: for x86-64 so far, as are the packages.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CLAW_SANITIZE)
  claw_test(vm_libvirt_test LABEL vm TIMEOUT 300
    SOURCES integration/vm/hypervisor_test.cc integration/vm/machines_test.cc support/libvirt_daemon.cc
    LINK claw_vm claw_host)
  set_tests_properties(vm_libvirt_test PROPERTIES PROCESSORS 2)
endif()
