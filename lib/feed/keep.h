/* Which members of each kind's objects are worth a tree. Everything else (managed fields, images,
 * container specs: nine tenths of a Pod or Node) is jumped over before json-c sees it. A decoder
 * that reads a new field needs a row here; for a Pod also one in lib/model/pod_text.c, which does
 * without the tree. */
#pragma once

#include "lib/json/scan.h"
#include "lib/model/kind.h"

const struct json_keep *feed_keep(enum kind kind);
