claw_test(packet_test LABEL unit
  SOURCES unit/network/packet_test.cc
  LINK claw_network_sense ${RAPIDCHECK_LIBRARY})

pkg_check_modules(NFTABLES REQUIRED IMPORTED_TARGET libnftables)
claw_test(network_sense_test LABEL integration
  SOURCES integration/network/denial_log_test.cc integration/network/rule_watch_test.cc
  LINK claw_network_sense PkgConfig::NFTABLES)
