/* resource.Quantity of Kubernetes ("100M", "1.5Gi", "2e6"), as annotations use it.
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity */
#pragma once

#include <stdint.h>

#include "lib/base/err.h"

/* Whole numbers only: a part of one is rounded up, as Quantity.Value() does. Values of 2^53 and
 * more may be off by their last digits. */
MUST_CHECK bool quantity_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value,
                               struct err *err);
