/* The fields of PROTO_EXPLAIN. Used by lib/proto only. */
#pragma once

#include "lib/json/json.h"
#include "lib/proto/proto.h"

void proto_explain_done(struct proto_explain *explain);
void proto_explain_write(const struct proto_explain *explain, struct json_object *json);
/* On failure 'explain' holds what was read so far; proto_explain_done() is the caller's. */
MUST_CHECK bool proto_explain_read(const struct json_at *root, struct proto_explain *explain,
                                   struct err *err);
