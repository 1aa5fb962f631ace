claw_test(metrics_test LABEL unit
  SOURCES support/http_client.cc support/prometheus_text.cc unit/metrics/chargeback_test.cc
          unit/metrics/exposition_test.cc unit/metrics/server_test.cc unit/rpc/node_fixture.cc
  LINK claw_app claw_fake_driver)
target_compile_definitions(metrics_test PRIVATE CLAW_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
