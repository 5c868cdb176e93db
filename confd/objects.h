/* Objects from a file: Kubernetes manifests in YAML or JSON, several documents, kind List too. For
 * people who want to see what confd would do, and for tests. */
#pragma once

#include "lib/base/err.h"
#include "lib/model/store.h"

/* Makes the store equal to the file. Objects that do not decode are given to 'report' with kind and
 * name; kinds that confd does not know are passed over. */
MUST_CHECK bool objects_read(const char *path, struct store *store,
                             void (*report)(void *owner, const char *text), void *owner,
                             struct err *err);
