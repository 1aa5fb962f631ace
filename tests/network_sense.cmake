claw_test(network_parts_test LABEL unit
  SOURCES unit/network/name_state_test.cc unit/network/packet_test.cc
  LINK claw_network_sense ${RAPIDCHECK_LIBRARY})

# In network namespaces of their own.
pkg_check_modules(NFTABLES REQUIRED IMPORTED_TARGET libnftables)
claw_test(network_sense_test LABEL integration
  SOURCES integration/network/denial_log_test.cc integration/network/dnsmasq_test.cc
          integration/network/resolver_test.cc integration/network/rule_watch_test.cc
          support/dns_server.cc
  LINK claw_network_sense PkgConfig::NFTABLES)
