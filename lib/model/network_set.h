/* projectcalico NetworkSet (namespaced) and GlobalNetworkSet: prefixes with labels. A net may be
 * 0.0.0.0/0 or ::/0, which the kernel's sets cannot hold: who fills them splits it. A NetworkSet
 * has no label that labels_is_reserved() names; a GlobalNetworkSet, which only administrators
 * write, may. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/model/labels.h"
#include "lib/net/prefix.h"

struct kind_issues;

struct network_set {
    char *ns; /* NULL: global */
    char *name;
    struct labels labels;
    /* Networks (no host bits), sorted by prefix_compare(), none twice; bad ones left out and
     * reported (the feed keeps an earlier version that had none, see kind_ops.is_kept_whole). */
    struct prefix *nets;
    size_t n_nets;
};

/* Rows of the kinds' table, see kind.h. */
void *network_set_decode(struct json_object *json, const struct kind_issues *issues,
                         struct err *err);
void *global_network_set_decode(struct json_object *json, const struct kind_issues *issues,
                                struct err *err);
void network_set_free(void *object);
bool network_set_equal(const void *a, const void *b);
