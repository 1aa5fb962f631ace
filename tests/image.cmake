add_library(claw_test_image STATIC support/image_maker.cc support/registry.cc)
target_link_libraries(claw_test_image PRIVATE claw_options PUBLIC claw_image)

claw_test(image_unit_test LABEL unit
  SOURCES unit/image/config_test.cc unit/image/layer_scan_test.cc unit/image/manifest_test.cc
          unit/image/reference_test.cc unit/image/sanitize_test.cc unit/image/skopeo_test.cc
          unit/image/source_test.cc unit/image/tree_test.cc unit/image/users_test.cc
  LINK claw_test_image)
claw_test(image_test LABEL integration
  SOURCES integration/image/disk_test.cc integration/image/hostile_test.cc
          integration/image/import_test.cc integration/image/pull_test.cc
          integration/image/receive_test.cc integration/image/signed_test.cc
  LINK claw_test_image TIMEOUT 300)
