// The process that kill_test.cc kills. Writes tenants and events into the database named by argv[1]
// for ever, from the number argv[2] on, and prints each number after its write was acknowledged.

#include <unistd.h>

#include <cstdlib>
#include <semaphore>

#include "store/store.h"

int main(int argc, char** argv) {
  using claw::StrCat;
  if (argc != 3) return 2;
  auto store = claw::store::Store::Open({.path = argv[1]});
  if (!store.ok()) return 3;
  std::counting_semaphore<8> in_flight(8);
  for (int64_t number = std::atoll(argv[2]);; ++number) {
    in_flight.acquire();
    (*store)->Write(
        [number](claw::store::Transaction& transaction) -> claw::Status {
          RETURN_IF_ERROR(transaction.PutTenant({.name = StrCat("t", number)}));
          if (number % 50 == 0) RETURN_IF_ERROR(transaction.TrimEvents(20));
          return transaction.AppendEvent({.revision = number});
        },
        [number, &in_flight](const claw::Status& status) {
          const std::string line = StrCat(number, "\n");
          if (!status.ok() || ::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::_Exit(4);
          in_flight.release();
        });
  }
}
