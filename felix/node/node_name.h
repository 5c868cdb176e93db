/* This node's name: NODENAME, else <state>/nodename, else HOSTNAME, else the host's name (the last
 * two in lower case). */
#pragma once

#include "lib/base/err.h"

/* 'setting' is the trimmed setting, "" when not given. The caller frees. Refuses what is not an RFC
 * 1123 name: it goes into API paths. */
MUST_CHECK bool node_name_find(const char *setting, const char *state_dir, char **ret_name,
                               struct err *err);
bool node_name_is_valid(const char *name);
