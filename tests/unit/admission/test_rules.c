#include "world.h"
static void t(void **state) {}
UNIT_TESTS(TEST(t))
