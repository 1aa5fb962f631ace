claw_test(store_test LABEL unit TIMEOUT 300
  SOURCES unit/store/corruption_test.cc unit/store/disk_error_test.cc
          unit/store/disk_full_test.cc unit/store/events_test.cc unit/store/fixture.cc
          unit/store/kill_test.cc unit/store/migrations_test.cc
          unit/store/records_test.cc unit/store/writer_test.cc
  LINK claw_store ${SQLITECPP_LIBRARY} SQLite::SQLite3)

# The process that kill_test.cc kills.
add_executable(store_kill_child unit/store/kill_child.cc)
target_link_libraries(store_kill_child PRIVATE claw_options claw_store)
add_dependencies(store_test store_kill_child)
target_compile_definitions(store_test PRIVATE
  CLAW_STORE_TESTDATA="${CMAKE_CURRENT_SOURCE_DIR}/unit/store/testdata"
  CLAW_STORE_KILL_CHILD="$<TARGET_FILE:store_kill_child>")
