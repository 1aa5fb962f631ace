#include "tests/tidy/coroutines.h"

#include <catch2/catch.hpp>

namespace claw::tidy {
namespace {

size_t Count(const std::string& statement) {
  return CheckCoroutines({.path = "agent/x.cc", .text = "void f() {\n  " + statement + "\n}\n"})
      .size();
}

TEST_CASE("coroutines: what GCC 12 gets wrong is found") {
  CHECK(Count("if (co_await Ready()) return;") == 1);
  CHECK(Count("while (!co_await Ready()) Wait();") == 1);
  CHECK(Count("if (done || co_await Ready()) return;") == 1);
  CHECK(Count("co_await pool.Run([x] { return x; });") == 1);
  CHECK(Count("co_await F({.a = 1});") == 1);
  CHECK(Count("co_await F({});") == 1);
  CHECK(Count("auto y = co_await F(a,\n      T{.a = 1, .b = G(2)});") == 1);
  CHECK(Count("co_return co_await T{x}.Run();") == 1);
  CHECK(Count("CO_ASSIGN_OR_RETURN(auto y, co_await F({.a = 1}));") == 1);
  CHECK(Count("Store(T{.a = 1}, co_await F());") == 1);
  CHECK(Count("auto y = co_await Commit(\n      [x](int a) -> int { return x; }, b);") == 1);
}

TEST_CASE("coroutines: what it gets right is not") {
  CHECK(Count("const bool ready = co_await Ready();") == 0);
  CHECK(Count("while (busy) co_await changed.Wait();") == 0);
  CHECK(Count("if (a && b) co_await Stop();") == 0);
  CHECK(Count("auto work = [x] { return x; };\n  co_await pool.Run(std::move(work));") == 0);
  CHECK(Count("T value{.a = 1};\n  co_await F(std::move(value));") == 0);
  CHECK(Count("co_await F(\"{}\", name);") == 0);
  CHECK(Count("co_await F(\"say \\\"{\\\"\");") == 0);
  CHECK(Count("if (a) {\n    b = T{1};\n  }\n  co_await F();") == 0);
  CHECK(Count("Spawn([&] {\n    if (a) { b(); }\n    co_await F();\n  });") == 0);
  CHECK(Count("for (; ok; x = co_await Next()) {\n    Use(x);\n  }") == 0);
  CHECK(Count("// if (co_await Ready()) would be wrong") == 0);
}

}  // namespace
}  // namespace claw::tidy
