/* cmocka with the headers it wants in front. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* The order matters. */
#include <cmocka.h>
